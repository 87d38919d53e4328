import inspect
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from superalign.errors import BadInput
from superalign.stats import (
    Thresholds,
    choose_thresholds,
    flagged_fraction,
    flags,
    lowest_rate,
    recall_at_rate,
    recall_bootstrap,
)
from superalign.stats.recall import _gaps, _weighted_recall
from superalign.types import Interval, Unmeasured


def _chosen(negatives: object, **settings: object) -> Thresholds:
    made = choose_thresholds(negatives, **settings)  # type: ignore[arg-type]
    assert isinstance(made, Thresholds)
    return made


@pytest.mark.parametrize(("n", "k"), [(299, 0), (1000, 4), (2000, 12), (3000, 20)])
def test_an_assured_one_per_cent_gives_up_the_known_number(n: int, k: int) -> None:
    assert _gaps(n, rate=0.01, assurance=0.95) == k + 1


def test_the_lowest_rates_are_the_known_ones() -> None:
    assert lowest_rate(99) == 0.01
    assert lowest_rate(98) > 0.01  # type: ignore[operator]
    assert round(lowest_rate(99, assurance=0.95), 3) == 0.030  # type: ignore[arg-type]
    assert lowest_rate(299, assurance=0.95) <= 0.01 < lowest_rate(298, assurance=0.95)  # type: ignore[operator]
    assert isinstance(lowest_rate(0), Unmeasured)
    assert isinstance(lowest_rate(1, sides="both"), Unmeasured)


@given(st.integers(1, 400), st.sampled_from([0.01, 0.05, 0.1, 0.29]), st.sampled_from(["high", "low", "both"]))
@settings(max_examples=80, deadline=None)
def test_no_more_negatives_are_flagged_than_the_rate_allows(n: int, rate: float, sides: str) -> None:
    negatives = np.random.default_rng(n).normal(size=n)
    made = choose_thresholds(negatives, rate=rate, sides=sides)  # type: ignore[arg-type]
    lowest = lowest_rate(n, sides=sides)  # type: ignore[arg-type]
    if isinstance(made, Unmeasured):
        assert isinstance(lowest, Unmeasured) or lowest > rate
        return
    ends = 2 if sides == "both" else 1
    assert made.rate <= rate + 1e-12
    assert flags(negatives, thresholds=made).sum() == round(made.rate * (n + 1)) - ends


@pytest.mark.parametrize("sides", ["high", "low", "both"])
def test_new_negatives_are_flagged_at_the_stated_rate_on_average(sides: str) -> None:
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(2000):
        made = _chosen(rng.normal(size=59), rate=0.05, sides=sides)
        assert made.rate == 0.05
        below = 0.0 if isinstance(made.low, Unmeasured) else float(ndtr(made.low))
        above = 0.0 if isinstance(made.high, Unmeasured) else float(ndtr(-made.high))
        rates.append(below + above)
    assert np.mean(rates) == pytest.approx(0.05, abs=4 * np.std(rates) / np.sqrt(2000))


def test_an_assured_rate_is_exceeded_no_more_often_than_said() -> None:
    rng = np.random.default_rng(0)
    assured = [ndtr(-float(_chosen(rng.normal(size=200), rate=0.05, assurance=0.95).high)) for _ in range(2000)]
    average = [ndtr(-float(_chosen(rng.normal(size=200), rate=0.05).high)) for _ in range(2000)]
    assert np.mean(np.array(assured) > 0.05) <= 0.06
    assert np.mean(np.array(average) > 0.05) > 0.3  # the same check fails for thresholds that hold only on average


def test_both_sides_find_what_one_side_cannot() -> None:
    negatives = np.random.default_rng(0).normal(size=399)
    low_scores = np.full(10, -9.0)
    assert flags(low_scores, thresholds=_chosen(negatives, rate=0.05, sides="both")).all()
    assert flags(low_scores, thresholds=_chosen(negatives, rate=0.05, sides="low")).all()
    assert not flags(low_scores, thresholds=_chosen(negatives, rate=0.05)).any()


def test_a_tie_with_the_threshold_is_not_flagged() -> None:
    made = _chosen([0.0] * 50 + [1.0] * 50, rate=0.05)
    assert made.high == 1.0
    assert flags([1.0, 1.1], thresholds=made).tolist() == [False, True]


def test_too_few_negatives_are_unmeasured_or_state_the_rate_they_support() -> None:
    refused = choose_thresholds(range(12), rate=0.05)
    assert isinstance(refused, Unmeasured)
    assert "0.07692" in refused.why
    assert _chosen(range(12), rate=0.05, or_lowest=True).rate == pytest.approx(1 / 13)
    assert isinstance(recall_at_rate([1.0], negatives=range(12), rate=0.05), Unmeasured)
    assert isinstance(recall_bootstrap([1.0], negatives=range(12), rate=0.05, seed=0), Unmeasured)
    assert isinstance(choose_thresholds([], rate=0.05, or_lowest=True), Unmeasured)


def test_a_bound_given_the_threshold_covers_at_least_what_it_says(coverage: Callable[..., float]) -> None:
    thresholds = _chosen(np.linspace(-2, 2, 99), rate=0.05)
    recall = float(ndtr(2.5 - float(thresholds.high)))

    def make(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        return flagged_fraction(rng.normal(2.5, 1, 40), thresholds=thresholds)

    assert coverage(make, truth=recall) >= 0.95


def test_choosing_the_threshold_again_covers_where_the_conditional_interval_does_not(
    coverage: Callable[..., float],
) -> None:
    """The target is recall at the true rate; with 99 negatives the threshold itself is uncertain."""
    recall = float(ndtr(1.2 - ndtri(0.95)))

    def outer(rng: np.random.Generator, seed: int) -> Interval | Unmeasured:
        return recall_bootstrap(rng.normal(1.2, 1, 50), negatives=rng.normal(size=99), rate=0.05, seed=seed, draws=100)

    def given_threshold(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        return recall_at_rate(rng.normal(1.2, 1, 50), negatives=rng.normal(size=99), rate=0.05)

    assert 0.93 <= coverage(outer, truth=recall) <= 0.98  # never narrower than an exact interval, so a little wide
    assert coverage(given_threshold, truth=recall, repetitions=500) < 0.85


@pytest.mark.parametrize("sides", ["high", "low", "both"])
def test_a_resample_weighs_like_repeated_scores(sides: str) -> None:
    rng = np.random.default_rng(2)
    pos, neg = rng.normal(0, 3, 9), np.sort(rng.normal(size=40))
    weight_BN, weight_BM = rng.integers(0, 3, (20, 9)), rng.integers(0, 3, (20, 40))
    got = _weighted_recall(pos, neg, weight_BN, weight_BM, rate=0.12, sides=sides)  # type: ignore[arg-type]
    for b in range(20):
        thresholds = _chosen(np.repeat(neg, weight_BM[b]), rate=0.12, sides=sides)
        assert got[b] == pytest.approx(flags(np.repeat(pos, weight_BN[b]), thresholds=thresholds).mean())


def test_a_perfect_recall_keeps_a_binomial_width_also_in_clusters() -> None:
    negatives = np.linspace(0, 1, 99)
    units = recall_bootstrap([2.0] * 20, negatives=negatives, rate=0.05, seed=0)
    labels = (np.arange(20) // 4, 100 + np.arange(99))
    clusters = recall_bootstrap([2.0] * 20, negatives=negatives, rate=0.05, clusters=labels, seed=0)
    assert isinstance(units, Interval)
    assert isinstance(clusters, Interval)
    assert (units.value, units.high, round(units.low, 3), units.n) == (1.0, 1.0, 0.832, 20)
    assert (clusters.value, clusters.high, round(clusters.low, 3), clusters.n) == (1.0, 1.0, 0.478, 5)


def test_missing_positives_and_bad_settings() -> None:
    negatives = np.linspace(0, 1, 99)
    assert isinstance(recall_at_rate([], negatives=negatives, rate=0.05), Unmeasured)
    assert isinstance(recall_bootstrap([], negatives=negatives, rate=0.05, seed=0), Unmeasured)
    with pytest.raises((BadInput, TypeError)):
        inspect.unwrap(lowest_rate)(20, sides="up")
    with pytest.raises(BadInput, match="strictly between 0 and 1"):
        choose_thresholds(negatives, rate=5.0)
