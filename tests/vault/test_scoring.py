"""Parts average to the score of each metric; gains cover the truth."""

import numpy as np
import pytest

from superalign.stats import auroc
from superalign.stats.method_parts import recall_parts
from superalign.types import Interval, Unmeasured
from superalign.vault import Part
from superalign.vault.scoring import Scale, gain


def scale(metric, truth, **inputs):
    return Scale(metric=metric, part=Part(inputs=inputs, truth_NS=truth))


def test_parts_average_to_the_score():
    rng = np.random.default_rng(0)
    truth_N, score_N = rng.integers(0, 2, 500), rng.normal(size=500)
    of = {m: scale(m, truth_N).parts(score_N).mean() for m in ("area", "share", "recall")}
    assert of["area"] == pytest.approx(auroc(score_N[truth_N == 1], negatives=score_N[truth_N == 0]))
    assert of["share"] == pytest.approx(((score_N > 0) == truth_N).mean())
    negatives = np.sort(score_N[truth_N == 0])
    allowed = int(0.01 * len(negatives))
    threshold = negatives[-1 - allowed]
    assert (score_N[truth_N == 0] > threshold).sum() == allowed
    assert of["recall"] == pytest.approx((score_N[truth_N == 1] > threshold).mean())


def test_few_negatives_allow_no_false_flag():
    truth_N = np.array([1, 1, 0, 0, 0])
    assert recall_parts(np.array([3.0, 1.0, 2.0, 0.0, 0.0]), positive_N=truth_N == 1).mean() == 0.5


def test_checks_go_where_scores_are_highest_and_never_to_steps_that_are_not_there():
    truth_NS = np.array([[0, 1, -1], [0, 0, -1], [1, 0, 0]])
    scores_NS = np.array([[0.0, 1.0, 9.0], [1.0, 0.0, 9.0], [0.0, 1.0, 2.0]])
    one = scale("judged", truth_NS, budget=np.ones(3, int))
    assert one.parts(scores_NS).tolist() == [1.0, 1.0, 0.0]
    assert scale("judged", truth_NS, budget=np.array([0, 0, 3])).parts(scores_NS).tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("metric", ["area", "share", "recall"])
def test_gains_cover_the_truth_and_a_null_seldom_passes(metric):
    rng, covered, passed, runs = np.random.default_rng(1), 0, 0, 60
    for _ in range(runs):
        truth_N = (np.arange(600) % 2).astype(int)
        signal_N = 2.0 * truth_N - 1
        first_N, second_N = (signal_N + rng.normal(size=600) for _ in range(2))
        of = scale(metric, truth_N)
        found = gain(of, first_N[None], second_N[None])
        assert isinstance(found, Interval)
        covered += found.low <= 0 <= found.high
        strict = gain(of, first_N[None], second_N[None], confidence=0.98)
        passed += strict.low > 0
    assert covered >= 52
    assert passed <= 4


def test_a_gain_has_items_and_seeds_in_its_interval_and_the_baseline_has_none_over_itself():
    rng = np.random.default_rng(2)
    truth_N = rng.integers(0, 2, 300)
    base_RN = np.stack([truth_N - 0.5 + rng.normal(size=300) for _ in range(5)])
    better_RN = np.stack([2 * truth_N - 1 + rng.normal(size=300) for _ in range(5)])
    for metric in ("area", "share", "recall"):
        of = scale(metric, truth_N)
        assert gain(of, better_RN, base_RN).low > 0
        assert isinstance(gain(of, base_RN, base_RN), Unmeasured)
        assert 0.3 < gain(of, better_RN).value < 1 or metric == "recall"
