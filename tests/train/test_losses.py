"""Losses against their definitions, written another way."""

import numpy as np
import pytest
import torch

from superalign.train.losses import (
    bradley_terry,
    classification,
    clipped_gain,
    kl_exact,
    kl_k3,
    language_modelling,
    token_logprobs,
)


@pytest.fixture
def logits():
    return torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))


def test_token_logprobs_are_those_of_the_next_token(logits):
    tokens = torch.randint(0, 7, (2, 5), generator=torch.Generator().manual_seed(1))
    got = token_logprobs(logits, tokens)
    for b in range(2):
        for t in range(4):
            want = torch.log_softmax(logits[b, t], 0)[tokens[b, t + 1]]
            assert float(got[b, t]) == pytest.approx(float(want), abs=1e-6)


def test_language_modelling_ignores_tokens_without_weight(logits):
    tokens = torch.zeros(2, 5, dtype=torch.long)
    weights = torch.ones(2, 5)
    weights[:, 3:] = 0
    other = tokens.clone()
    other[:, 3:] = 4
    assert float(language_modelling(logits, tokens, weights)) == float(language_modelling(logits, other, weights))


def test_bradley_terry_is_lower_the_wider_the_right_margin():
    low, high = (float(bradley_terry(torch.tensor([m]), torch.zeros(1))) for m in (2.0, 0.5))
    assert low < high
    assert low == pytest.approx(np.log1p(np.exp(-2.0)), abs=1e-6)


def test_classification_is_least_at_its_soft_targets():
    targets = torch.tensor([[0.2, 0.8]])
    best = float(classification(targets.log(), targets))
    assert best == pytest.approx(-(0.2 * np.log(0.2) + 0.8 * np.log(0.8)), abs=1e-6)
    assert float(classification(torch.tensor([[0.0, 0.0]]), targets)) > best


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
