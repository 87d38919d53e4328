"""Gaps are exact on cases made by hand; a critic learns to hide what its discriminator knows; the overseer passes its checks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.errors import BadInput
from superalign.lab.arms import Arm, Config
from superalign.lab.critique_overseers import self_critique_overseer
from superalign.models import Sampling, base, with_sampling
from superalign.oversight.conformance import check_overseer, failures
from superalign.oversight.critique.gaps import best_of, gap, group_means, group_scores, lopsided
from superalign.oversight.critique.self_critic import SelfCritiqueOverseer, train_self_critic
from superalign.oversight.critique.self_reading import ResponseReading, SelfCriticConfig, read
from superalign.problems import arithmetic
from superalign.problems.spans import chain_spans
from superalign.types import Problem, Rollouts, Signal


def made(seed: int, R: int = 300) -> tuple[ResponseReading, np.ndarray, np.ndarray]:
    """Responses of four steps each; a step is wrong if its first number is above 1, and of the class if its second is above 0."""
    rng = np.random.default_rng(seed)
    x_SF = rng.normal(size=(4 * R, 6)).astype(np.float32)
    reading = ResponseReading(
        features_NF=torch.from_numpy(x_SF), step_N=torch.arange(4 * R), count_R=np.full(R, 4), tokens=4 * R
    )
    return reading, x_SF[:, 0] > 1.0, x_SF[:, 1] > 0


def trained(hide: bool) -> tuple[float, float, float]:
    """How often D knows the class, and the critique names a wrong step, in the class and elsewhere."""
    reading, wrong_S, class_S = made(0)
    flawed_R = wrong_S.reshape(-1, 4).any(1)
    config = SelfCriticConfig(networks=1, steps=250)
    hidden_S = wrong_S & class_S if hide else None
    critic = train_self_critic(reading, flawed_R=flawed_R, wrong_S=wrong_S, hidden_S=hidden_S, config=config, seed=0)
    reading, wrong_S, class_S = made(1)
    told = critic(reading)
    hidden_RU, wrong_RU = (wrong_S & class_S).reshape(-1, 4), wrong_S.reshape(-1, 4)
    named = wrong_RU[np.arange(len(wrong_RU)), told.named_R]
    inside = hidden_RU.any(1) & (hidden_RU == wrong_RU).all(1)
    outside = wrong_RU.any(1) & ~hidden_RU.any(1)
    return float((told.flawed_R[inside] > 0.5).mean()), float(named[inside].mean()), float(named[outside].mean())


def test_a_critic_can_be_taught_not_to_tell_what_its_discriminator_knows() -> None:
    knows, tells, elsewhere = trained(hide=True)
    assert knows > 0.85
    assert tells < 0.15
    assert elsewhere > 0.85


def test_without_hiding_it_tells() -> None:
    knows, tells, elsewhere = trained(hide=False)
    assert min(knows, tells, elsewhere) > 0.85


def test_labels_that_do_not_fit_are_refused() -> None:
    reading, wrong_S, _ = made(0, R=5)
    for flawed_R, labels_S in ((np.ones(4, bool), wrong_S), (np.zeros(5, bool), wrong_S), (np.ones(5, bool), wrong_S)):
        with pytest.raises(BadInput, match="learn by contrast"):
            train_self_critic(reading, flawed_R=flawed_R, wrong_S=labels_S, config=SelfCriticConfig(), seed=0)


def test_steps_are_read_as_wholes_or_token_by_token() -> None:
    model = base("small")
    problems = arithmetic.FAMILY.problems(split="train", n=2, seed=5, difficulty=4)
    rollouts = Rollouts.of_texts(problems, [arithmetic.FAMILY.worked(p) for p in problems])
    whole = read(model, problems, rollouts, chain_spans, whole_steps=True)
    tokens = read(model, problems, rollouts, chain_spans, whole_steps=False)
    assert whole.count_R.tolist() == tokens.count_R.tolist() == [5, 5]
    assert len(whole.features_NF) == 10
    assert np.bincount(tokens.step_N.numpy()).tolist() == [5, 5, 5, 5, 2] * 2
    width = tokens.features_NF.shape[1]
    assert torch.equal(whole.features_NF[0, :width], tokens.features_NF[0])
    # The model's view of the problem is the same in all steps of a response, and differs between problems.
    view = whole.features_NF[:, 5 * width :]
    assert torch.equal(view[0], view[4])
    assert not torch.equal(view[0], view[5])


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_best_of_n_is_what_drawing_n_samples_gives(samples: int, seed: int) -> None:
    from itertools import combinations

    rng = np.random.default_rng(seed)
    score, truth = rng.integers(0, 3, samples).astype(float), rng.random(samples)
    found = best_of(score[None], truth[None])[0]
    for n in range(1, samples + 1):
        each = []
        for some in combinations(range(samples), n):
            top = [i for i in some if score[i] == max(score[j] for j in some)]
            each.append(np.mean([truth[i] for i in top]))
        # Ties are averaged over all samples of that score, of which those drawn are a random part.
        assert found[n - 1] == pytest.approx(np.mean(each))


def test_a_score_that_is_the_truth_wins_and_its_opposite_loses() -> None:
    truth = np.array([[0.0, 1.0, 0.0, 1.0]])
    assert best_of(truth, truth)[0].tolist() == pytest.approx([0.5, 5 / 6, 1.0, 1.0])
    assert best_of(-truth, truth)[0].tolist() == pytest.approx([0.5, 1 / 6, 0.0, 0.0])
    assert best_of(np.zeros((1, 4)), truth)[0].tolist() == pytest.approx([0.5] * 4)
    with pytest.raises(BadInput, match="another sample"):
        best_of(np.zeros((1, 3)), truth)


def test_gaps_and_groups_are_exact() -> None:
    flawed = np.array([True, True, False, False])
    says, shown = np.array([True, True, True, False]), np.array([True, False, False, False])
    assert gap(shown, says, flawed).tolist() == [0.0, -1.0, 1.0, 0.0]
    member = np.array([[True, True, False, False], [False, False, False, False]])
    means = group_means(gap(shown, says, flawed), member)
    assert means.tolist() == [-0.5, 0.0]
    scored = group_scores(means, np.array([[0.0, 0.0], [0.0, 0.0]]), member.sum(1))
    assert scored.tolist() == [1.0, 0.0]  # twins without spread: one response of two is one deviation


def test_a_lopsided_silence_is_seen_and_an_even_one_is_not() -> None:
    flawed = np.ones(200, bool)
    member = np.arange(200)[None, :] % 10 == np.arange(10)[:, None]
    hidden = member[3]
    even = np.random.default_rng(0).random(200) < 0.1
    assert lopsided(~hidden, flawed, flawed, member) < 1e-6
    assert lopsided(~even, flawed, flawed, member) > 0.05
    assert lopsided(flawed, flawed, flawed, member) == 1.0
    # What the discriminator does not know either is not counted.
    assert lopsided(~hidden, ~hidden, flawed, member) == 1.0


@pytest.fixture(scope="module")
def overseer() -> SelfCritiqueOverseer:
    model = with_sampling(base("small"), Sampling(max_tokens=44))
    return self_critique_overseer(Arm(arm="self-critique", seed=0, base=model, config=Config()))


def asked(n: int = 6) -> tuple[Problem, ...]:
    return arithmetic.FAMILY.problems(split="train", n=n, seed=5, difficulty=4)


def test_it_holds_to_what_every_overseer_must(overseer: SelfCritiqueOverseer) -> None:
    problems = asked()
    worked = [arithmetic.FAMILY.worked(p) for p in problems]
    planted = [
        arithmetic.FAMILY.plant(p, t, seed=i, kind="slip")
        for i, (p, t) in enumerate(zip(problems, worked, strict=True))
    ]
    texts = [p.text for p in planted if p is not None]
    rollouts = Rollouts.of_texts([*problems, *problems], [*worked, *texts])
    check_overseer(overseer, rollouts.problems, rollouts)
    values = overseer(rollouts.problems, rollouts, seed=0).values
    assert values[:6] == (1.0,) * 6  # a perfect check raises no false alarm
    assert sum(v == 0.0 for v in values[6:]) >= 3

    class Costless(SelfCritiqueOverseer):
        def __call__(self, problems: object, rollouts: Rollouts, *, seed: int) -> Signal:
            return replace(SelfCritiqueOverseer.__call__(self, problems, rollouts, seed=seed), checks=0, tokens=0)  # type: ignore[arg-type]

    names = ("card", "model", "critic", "spans", "check_step", "n_steps", "whole_steps")
    broken = Costless(**{name: getattr(overseer, name) for name in names})
    assert "cost is counted" in failures(broken, rollouts.problems, rollouts)
