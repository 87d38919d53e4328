"""Losses of weak supervision, against what is worked out by hand."""

import numpy as np
import pytest
import torch

from superalign.train.weak_losses import CONFIDENCE, Schedule, naive, own_weight, product


def cross_entropy(odds: np.ndarray, target: np.ndarray) -> float:
    p = 1 / (1 + np.exp(-odds))
    return float(-(target * np.log(p) + (1 - target) * np.log(1 - p)).mean())


ODDS = np.array([-2.0, -0.5, 0.25, 1.0, 3.0])
LABELS = np.array([0.9, 0.2, 0.8, 0.6, 0.7])


def test_the_naive_loss_is_cross_entropy() -> None:
    found = naive(torch.tensor(ODDS), torch.tensor(LABELS), 0.0)
    assert float(found) == pytest.approx(cross_entropy(ODDS, LABELS))


@pytest.mark.parametrize("schedule", CONFIDENCE)
def test_confidence_mixes_labels_with_the_students_own_hard_answers(schedule: Schedule) -> None:
    yes = 0.5 if schedule == "paper" else LABELS.mean()  # as many as the median leaves, or as the labels have
    own = (np.quantile(ODDS, 1 - yes) < ODDS).astype(float)
    for done in (0.0, 0.05, 0.15, 1.0):
        a = own_weight(done, schedule)
        found = CONFIDENCE[schedule](torch.tensor(ODDS), torch.tensor(LABELS), done)
        assert float(found) == pytest.approx((1 - a) * cross_entropy(ODDS, LABELS) + a * cross_entropy(ODDS, own))


def test_the_three_schedules_differ_as_the_paper_its_code_and_the_mended_ramp_do() -> None:
    assert [own_weight(0.0999, s) for s in CONFIDENCE] == pytest.approx([0.24975, 0.04995, 0.4995])
    assert [own_weight(0.2, s) for s in CONFIDENCE] == [0.5, 0.5, 0.5]


def test_a_students_own_answers_get_no_gradient() -> None:
    odds = torch.tensor([0.7], requires_grad=True)
    product(odds, torch.tensor([0.5]), 0.5).backward()
    assert odds.grad is not None
    assert float(odds.grad) == pytest.approx(0.0)
    sure = torch.tensor([0.7], requires_grad=True)
    product(sure, torch.tensor([0.9]), 0.5).backward()
    assert sure.grad is not None
    assert float(sure.grad) < 0
