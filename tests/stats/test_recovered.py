"""The share of a gap that is recovered: by hand, by simulation, and where there is none."""

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.stats import area_parts, auroc, auroc_delong, recovered_gap
from superalign.stats.ranking import delong_variance
from superalign.types import Interval, Unmeasured


def tables(rng: np.random.Generator, *, items: int, seeds: int, share: float, gap: float = 0.3) -> list[np.ndarray]:
    """Draw floor, method and ceiling with effects of items and of seeds, the method that share of the way up."""
    item_P1, seed_S = rng.normal(0, 0.5, (items, 1)), rng.normal(0, 0.02, seeds)
    rise_P1 = rng.normal(gap, 0.3, (items, 1)) + rng.normal(0, 0.02, seeds)
    floor = item_P1 + seed_S + rng.normal(0, 0.3, (items, seeds))
    method = item_P1 + seed_S + share * rise_P1 + rng.normal(0, 0.3, (items, seeds)) + rng.normal(0, 0.02, seeds)
    ceiling = item_P1 + seed_S + rise_P1 + rng.normal(0, 0.3, (items, seeds))
    return [floor, method, ceiling]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_its_interval_covers_the_share_about_as_often_as_it_says(share: float) -> None:
    rng = np.random.default_rng(int(10 * share))
    covered, bounded = 0, 0
    for _ in range(300):
        floor, method, ceiling = tables(rng, items=120, seeds=5, share=share)
        found = recovered_gap(method, floor_PS=floor, ceiling_PS=ceiling)
        if isinstance(found, Interval):
            bounded += 1
            covered += found.low <= share <= found.high
    assert bounded > 250
    assert covered / bounded > 0.92


def test_means_are_taken_before_the_ratio() -> None:
    floor, ceiling = np.zeros((4, 2)), np.array([[1.0, 0.1]] * 4) + np.linspace(-0.01, 0.01, 4)[:, None]
    method = np.array([[0.5, 0.1]] * 4)
    found = recovered_gap(method, floor_PS=floor, ceiling_PS=ceiling, confidence=0.5)
    assert isinstance(found, Interval)
    assert found.value == pytest.approx(0.6 / 1.1)


def test_a_gap_that_may_be_nothing_leaves_the_share_undefined() -> None:
    floor, method, ceiling = tables(np.random.default_rng(0), items=30, seeds=3, share=0.5, gap=0.0)
    found = recovered_gap(method, floor_PS=floor, ceiling_PS=ceiling)
    assert isinstance(found, Unmeasured)
    assert "includes 0" in found.why
    one = recovered_gap(method[:, :1], floor_PS=floor[:, :1], ceiling_PS=ceiling[:, :1])
    assert isinstance(one, Unmeasured)
    assert "both need at least two" in one.why


def test_a_floor_above_the_ceiling_leaves_the_share_undefined() -> None:
    floor, method, ceiling = tables(np.random.default_rng(0), items=200, seeds=3, share=0.5, gap=-0.5)
    found = recovered_gap(method, floor_PS=floor, ceiling_PS=ceiling)
    assert isinstance(found, Unmeasured)
    assert "the floor lies above the ceiling" in found.why


def test_tables_of_other_items_are_refused() -> None:
    with pytest.raises(BadInput, match="the same items under the same seeds"):
        recovered_gap(np.ones((3, 2)), floor_PS=np.zeros((2, 2)), ceiling_PS=np.ones((3, 2)))


def test_parts_of_an_area_have_its_mean_and_delongs_spread() -> None:
    rng = np.random.default_rng(3)
    positive_N = rng.random(400) < 0.4
    scores_N = np.round(rng.normal(positive_N * 0.8), 1)  # with ties
    parts_N = area_parts(scores_N, positive_N=positive_N)
    positives, negatives = scores_N[positive_N], scores_N[~positive_N]
    assert parts_N.mean() == pytest.approx(auroc(positives, negatives=negatives))
    assert parts_N.var() / len(parts_N) == pytest.approx(delong_variance(positives, negatives=negatives), rel=0.02)
    assert isinstance(auroc_delong(positives, negatives=negatives), Interval)
    with pytest.raises(BadInput, match="Only one class"):
        area_parts(scores_N, positive_N=np.ones(400, bool))


def test_a_method_that_answers_as_the_ceiling_does_recovers_all_but_what_so_many_items_may_miss() -> None:
    floor, ceiling = np.zeros((100, 3)), np.ones((100, 3))
    floor[::2] = 1.0
    found = recovered_gap(ceiling, floor_PS=floor, ceiling_PS=ceiling)
    assert isinstance(found, Interval)
    assert found.value == 1.0
    assert 0.85 < found.low < 0.95
    assert found.n == 100
