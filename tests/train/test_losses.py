"""Losses against their definitions, written another way."""

import numpy as np
import pytest
import torch

from superalign.train.losses import clipped_gain, kl_exact, kl_k3, language_modelling, weighted_nats


@pytest.fixture
def logits():
    return torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))


def test_language_modelling_ignores_tokens_without_weight(logits):
    tokens = torch.zeros(2, 5, dtype=torch.long)
    weights = torch.ones(2, 5)
    weights[:, 3:] = 0
    other = tokens.clone()
    other[:, 3:] = 4
    assert float(language_modelling(logits, tokens, weights)) == float(language_modelling(logits, other, weights))


@pytest.mark.parametrize(
    ("advantage", "moved", "flows"), [(1, 0.5, False), (1, -0.5, True), (-1, -0.5, False), (-1, 0.5, True)]
)
def test_the_clip_cuts_only_what_has_already_moved_the_right_way(advantage, moved, flows):
    new = torch.tensor([moved], requires_grad=True)
    gain, _ = clipped_gain(new, torch.zeros(1), torch.tensor([float(advantage)]), clip=0.2)
    gain.sum().backward()
    assert (float(new.grad) != 0) == flows


def test_both_kl_estimators_agree_on_average(logits):
    policy, reference = (torch.log_softmax(x, -1) for x in (logits[0, :1], logits[1, :1]))
    drawn = torch.multinomial(policy[0].exp(), 200_000, replacement=True, generator=torch.Generator().manual_seed(2))
    exact, k3 = float(kl_exact(policy, reference)), kl_k3(policy[0, drawn], reference[0, drawn])
    assert float(k3.min()) >= 0
    assert float(k3.mean()) == pytest.approx(exact, rel=0.03)


def test_language_modelling_is_the_weighted_mean_over_the_tokens_that_are_predicted(logits):
    tokens = torch.randint(0, 7, (2, 5), generator=torch.Generator().manual_seed(3))
    weights = torch.rand(2, 5, generator=torch.Generator().manual_seed(4))
    nats = [
        [-float(torch.log_softmax(logits[b, t], 0)[tokens[b, t + 1]]) for t in range(4)] for b in range(2)
    ]  # the first token is predicted by nothing
    want = np.average(np.array(nats), weights=weights[:, 1:].numpy())
    assert float(language_modelling(logits, tokens, weights)) == pytest.approx(want, abs=1e-6)


def test_weights_scale_nothing_and_without_any_the_loss_is_nothing():
    logits, tokens = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    weights = torch.tensor([1.0, 3.0])
    want = (1 * np.log1p(np.exp(-2.0)) + 3 * np.log1p(np.exp(1.0))) / 4
    assert float(weighted_nats(logits, tokens, weights)) == pytest.approx(want, abs=1e-6)
    assert float(weighted_nats(logits, tokens, 1e-3 * weights)) == pytest.approx(want, abs=1e-6)
    assert float(weighted_nats(logits, tokens, 0 * weights)) == 0.0


@pytest.mark.parametrize(
    ("moved", "advantage", "gain"),
    [
        (1.1, 2.0, 2.2), (1.2, 2.0, 2.4), (1.5, 2.0, 2.4), (0.9, 2.0, 1.8), (0.5, 2.0, 1.0),
        (0.8, -2.0, -1.6), (0.5, -2.0, -1.6), (1.1, -2.0, -2.2), (1.5, -2.0, -3.0), (1.5, 0.0, 0.0),
    ],
)  # fmt: skip
def test_gains_are_those_of_the_paper_on_both_sides_of_the_clip(moved, advantage, gain):
    old = torch.tensor([-1.5])
    got, ratio = clipped_gain(old + np.log(moved), old, torch.tensor([advantage]), clip=0.2)
    assert (float(got), float(ratio)) == (pytest.approx(gain, abs=1e-6), pytest.approx(moved, abs=1e-6))


def test_the_exact_kl_is_summed_over_the_vocabulary_and_runs_from_the_policy():
    p, q = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]), np.array([[0.2, 0.2, 0.6], [0.1, 0.1, 0.8]])
    got = kl_exact(torch.tensor(p).log(), torch.tensor(q).log())
    assert got.tolist() == pytest.approx((p * np.log(p / q)).sum(1).tolist())
    assert float(got[1]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("moved", [-1.0, 0.0, 0.7])
def test_the_estimate_from_one_token_is_schulmans_third(moved):
    got = float(kl_k3(torch.tensor([moved - 2.0]), torch.tensor([-2.0])))
    assert got == pytest.approx(np.exp(-moved) - 1 + moved, abs=1e-6)
