"""The policy-gradient loop: it learns, repeats, resumes, leaves its input alone, and never takes unmeasured for zero."""

import dataclasses
import sys

import numpy as np
import pytest
import torch

from superalign.errors import BadInput, ConfigError
from superalign.models import encode, lora, sequence_logprobs, with_sampling
from superalign.train import PolicyGradientConfig, policy_gradient
from superalign.types import Signal, Unmeasured

CONFIG = PolicyGradientConfig(steps=3, problems=4, group=4, lr=3e-3, kl=0.0)


def even(problems, rollouts, *, seed):
    """Pays a rollout whose first token has an even id, so that there is something to learn in a few steps."""
    return Signal(overseer="", values=tuple(float(t % 2 == 0) for t in rollouts.tokens_RT[:, 0]), checks=len(rollouts))


def weights_of(model):
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def test_it_learns_what_the_overseer_pays_for(model, problems):
    seen = []
    policy_gradient(
        model, problems, even, config=dataclasses.replace(CONFIG, steps=30, group=8, lr=3e-2), seed=0, log=seen.append
    )
    paid = [m["value_mean"] for m in seen]
    assert np.mean(paid[-5:]) > np.mean(paid[:5]) + 0.2


def test_same_seed_same_weights_and_the_input_is_left_alone(model, problems):
    before = weights_of(model).clone()
    a, b, c = (policy_gradient(model, problems, even, config=CONFIG, seed=s) for s in (0, 0, 1))
    assert torch.equal(weights_of(a), weights_of(b))
    assert a.subject == b.subject
    assert not torch.equal(weights_of(a), weights_of(c))
    assert torch.equal(weights_of(model), before)


def test_the_subject_says_how_it_came_to_be(model, problems):
    made = policy_gradient(model, problems, even, config=CONFIG, seed=5).subject
    assert made.base == model.subject.digest
    assert made.weights != model.subject.weights
    assert made.seed == 5
    assert dict(made.config)["group"] == 4


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampler_and_update_agree_on_the_first_step(tiny, problems, temperature):
    seen = []
    policy_gradient(tiny(temperature=temperature), problems, even, config=CONFIG, seed=0, log=seen.append)
    assert all(m["ratio_deviation"] < 1e-4 for m in seen)


def test_the_assertion_on_the_ratio_can_fail(model, problems, monkeypatch):
    module = sys.modules["superalign.train.policy_gradient"]
    real = module._logprobs
    monkeypatch.setattr(module, "_logprobs", lambda n, d, c, t: real(n, d, c, t * 1.1))
    with pytest.raises(AssertionError):
        policy_gradient(model, problems, even, config=CONFIG, seed=0)


def test_one_update_follows_the_textbook_gradient(tiny, model, problems):
    """One step against a loss written per rollout from the models' own scorer, without chunks or merging."""
    config = dataclasses.replace(CONFIG, steps=1, kl=0.3, clip_norm=1e9)
    kept = {}

    def keep(asked, rollouts, *, seed):
        kept.update(asked=asked, rollouts=rollouts)
        return even(asked, rollouts, seed=seed)

    trained = policy_gradient(model, problems, keep, config=config, seed=0)
    rollouts = kept["rollouts"]
    values = (rollouts.tokens_RT[:, 0] % 2 == 0).astype(float).reshape(config.problems, config.group)
    advantage_R = ((values - values.mean(1, keepdims=True)) * config.group / (config.group - 1)).ravel()
    other = tiny()
    prompts, _ = encode(other, [p.prompt for p in kept["asked"]])
    responses = [rollouts.tokens_RT[r, : rollouts.length_R[r]].astype(np.int64) for r in range(len(rollouts))]
    logprobs_RT = sequence_logprobs(other.network, [prompts[p] for p in rollouts.problem_R], responses)
    # The KL and its gradient are 0 where policy and reference are one.
    loss = -(logprobs_RT * torch.tensor(advantage_R, dtype=torch.float32)[:, None]).sum() / int(rollouts.length_R.sum())
    loss.backward()
    for p in other.network.parameters():
        p.data -= config.lr * p.grad / (p.grad.abs() + 1e-8)  # Adam's first step
    moved = weights_of(trained) - weights_of(model)
    assert float(moved.abs().max()) == pytest.approx(config.lr, rel=0.05)
    big = torch.cat([p.grad.flatten() for p in other.network.parameters()]).abs() > 1e-5
    torch.testing.assert_close(weights_of(trained)[big], weights_of(other)[big], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("estimator", ["exact", "k3"])
def test_a_heavy_kl_holds_the_policy_back(model, problems, estimator):
    far, near = {}, {}
    for kl, out in ((0.0, far), (20.0, near)):
        config = dataclasses.replace(CONFIG, steps=12, lr=1e-2, kl=kl, kl_estimator=estimator)
        policy_gradient(model, problems, even, config=config, seed=0, log=lambda m, out=out: out.update(m))
    free = {}
    config = dataclasses.replace(CONFIG, steps=12, lr=1e-2, kl=1e-9, kl_estimator=estimator)
    policy_gradient(model, problems, even, config=config, seed=0, log=free.update)
    assert near["kl_nats_per_token"] < 0.5 * free["kl_nats_per_token"]
    assert far["kl_nats_per_token"] == 0  # not asked for, not computed


def test_several_epochs_move_the_ratio_and_group_normalised_runs(model, problems):
    seen = []
    config = dataclasses.replace(CONFIG, epochs=3, lr=2e-2, advantage="group normalised")
    policy_gradient(model, problems, even, config=config, seed=0, log=seen.append)
    assert max(m["clipped_fraction"] for m in seen) > 0
    assert seen[0]["ratio_deviation"] < 1e-4  # that of the first epoch


def test_lora_trains_the_adapter_alone(model, problems):
    adapted = lora(model, rank=2, seed=0)
    trained = policy_gradient(adapted, problems, even, config=CONFIG, seed=0)
    before, after = (dict(m.network.named_parameters()) for m in (adapted, trained))
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert moved
    assert all("lora" in n for n in moved)


def test_an_unmeasured_rollout_pulls_nothing(model, problems):
    def blind(asked, rollouts, *, seed):
        return Signal(overseer="", values=(Unmeasured("dark"),) * len(rollouts))

    def one_eyed(asked, rollouts, *, seed):
        return Signal(
            overseer="", values=tuple(1.0 if i % 4 == 0 else Unmeasured("dark") for i in range(len(rollouts)))
        )

    for overseer, count in ((blind, 16), (one_eyed, 12)):
        seen = []
        made = policy_gradient(model, problems, overseer, config=CONFIG, seed=0, log=seen.append)
        assert torch.equal(weights_of(made), weights_of(model))
        assert [m["unmeasured"] for m in seen] == [count] * 3


def test_a_killed_run_resumes_to_the_same_weights(model, problems, tmp_path):
    whole = policy_gradient(model, problems, even, config=CONFIG, seed=0)
    file = tmp_path / "run.pt"

    class Killed(Exception):
        pass

    def dies(metrics):
        if metrics["step"] == 2:
            raise Killed

    config = dataclasses.replace(CONFIG, save_every=1)
    with pytest.raises(Killed):
        policy_gradient(model, problems, even, config=config, seed=0, log=dies, checkpoint=file)
    steps = []
    resumed = policy_gradient(
        model, problems, even, config=config, seed=0, log=lambda m: steps.append(m["step"]), checkpoint=file
    )
    assert steps == [2, 3]
    assert torch.equal(weights_of(whole), weights_of(resumed))


@pytest.mark.parametrize(
    ("change", "sampling"),
    [({"problems": 99}, {}), ({"group": 1}, {}), ({"steps": 0}, {}), ({}, {"temperature": 0.0}), ({}, {"top_p": 0.9})],
)
def test_settings_that_cannot_be_trained_with_are_refused(model, problems, change, sampling):
    with_sampling_model = with_sampling(model, dataclasses.replace(model.sampling, **sampling))
    with pytest.raises(ConfigError):
        policy_gradient(with_sampling_model, problems, even, config=dataclasses.replace(CONFIG, **change), seed=0)


def test_too_few_values_are_refused(model, problems):
    with pytest.raises(BadInput, match="1 values for 16 rollouts"):
        policy_gradient(
            model, problems, lambda p, r, *, seed: Signal(overseer="", values=(1.0,)), config=CONFIG, seed=0
        )
