"""Right and wrong solutions of one question, in pairs; and a threshold between planted ones."""

import numpy as np
import pytest

from superalign.trials.planted_steps import best_threshold
from superalign.trials.real_solutions import Pairs, chosen_on
from superalign.types import Unmeasured


def test_ranking_within_a_question_counts_ties_half() -> None:
    pairs = Pairs(right_K=np.array([0, 0, 3]), wrong_K=np.array([1, 2, 4]), question_K=np.array([0, 0, 1]))
    assert pairs.wins(np.array([1.0, 2.0, 1.0, 5.0, 0.0])).tolist() == [1.0, 0.5, 0.0]
    none = pairs.where(np.zeros(3, bool))
    assert isinstance(none.over_questions(none.wins(np.zeros(5)), seed=0), Unmeasured)


def test_balancing_takes_the_models_out() -> None:
    # model 1 is right more often; a score that only knows the model wins 3 of 4 pairs, and half when balanced
    pairs = Pairs(right_K=np.array([0, 2, 4, 7]), wrong_K=np.array([1, 3, 5, 6]), question_K=np.arange(4))
    source = np.array([1, 0, 1, 0, 1, 0, 1, 0])
    knows_model = 1.0 - source
    assert pairs.wins(knows_model).mean() == 0.75
    assert pairs.balanced_wins(knows_model, source).mean() == pytest.approx(0.5)
    knows_truth = np.array([0.0, 1, 0, 1, 0, 1, 1, 0])
    assert pairs.balanced_wins(knows_truth, source).mean() == pytest.approx(1.0)


def test_a_threshold_separates() -> None:
    assert best_threshold(np.array([0.0, 0.1, 0.2]), np.array([0.9, 1.0])) == pytest.approx(0.55)
    assert best_threshold(np.array([1.0]), np.array([1.0])) == 1.0


def test_questions_that_were_chosen_on_are_about_five_ninths() -> None:
    share = np.mean([chosen_on(f"question {i}") for i in range(3000)])
    assert 0.5 < share < 0.61
