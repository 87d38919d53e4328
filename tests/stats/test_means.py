from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats as reference

from superalign.errors import BadInput
from superalign.stats import mean_interval, median_interval, paired_difference, ratio_interval
from superalign.types import Interval, Unmeasured


def test_the_mean_interval_agrees_with_scipy() -> None:
    x = np.random.default_rng(0).normal(size=7)
    wanted = reference.t.interval(0.9, 6, loc=x.mean(), scale=reference.sem(x))
    interval = mean_interval(x, confidence=0.9)
    assert isinstance(interval, Interval)
    assert (interval.low, interval.high) == pytest.approx(wanted)


@pytest.mark.parametrize("n", [3, 5, 40])
def test_the_mean_interval_covers_what_it_says(coverage: Callable[..., float], n: int) -> None:
    assert 0.93 <= coverage(lambda rng, _: mean_interval(rng.normal(2.0, 3.0, n)), truth=2.0) <= 0.97


@pytest.mark.parametrize("n", [6, 9, 40])
def test_the_median_interval_covers_at_least_what_it_says_whatever_the_distribution(
    coverage: Callable[..., float], n: int
) -> None:
    truth = float(np.log(2.0))
    assert coverage(lambda rng, _: median_interval(rng.exponential(1.0, n)), truth=truth) >= 0.94


def test_five_values_are_too_few_for_a_median() -> None:
    assert isinstance(median_interval([1.0, 2.0, 3.0, 4.0, 5.0]), Unmeasured)
    assert isinstance(median_interval([1.0, 2.0, 3.0, 4.0, 5.0], confidence=0.9), Interval)


def test_the_paired_difference_covers_what_it_says(coverage: Callable[..., float]) -> None:
    def make(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        item = 5 * rng.normal(size=12)
        return paired_difference(item + 0.5 + rng.normal(size=12), item + rng.normal(size=12))

    assert 0.93 <= coverage(make, truth=0.5) <= 0.97


def test_pairing_removes_what_items_share() -> None:
    rng = np.random.default_rng(0)
    item = 5 * rng.normal(size=30)
    first, second = item + 1 + 0.1 * rng.normal(size=30), item + 0.1 * rng.normal(size=30)
    paired = paired_difference(first, second)
    shuffled = paired_difference(first, second[::-1])
    assert isinstance(paired, Interval)
    assert isinstance(shuffled, Interval)
    assert paired.excludes(0.0)
    assert not shuffled.excludes(0.0)


@pytest.mark.parametrize("values", [[], [1.0], [0.3, 0.1 + 0.2, 0.3]])
def test_without_spread_there_is_no_interval(values: list[float]) -> None:
    assert isinstance(mean_interval(values), Unmeasured)
    assert isinstance(paired_difference(values, [0.0] * len(values)), Unmeasured)


@pytest.mark.parametrize("paired", [True, False])
def test_fieller_covers_what_it_says(coverage: Callable[..., float], paired: bool) -> None:
    def make(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        shared = rng.normal(size=20)
        x = 1 + 0.5 * shared + 0.5 * rng.normal(size=20)
        y = 2 + 0.7 * (shared if paired else rng.normal(size=20)) + rng.normal(size=20)
        return ratio_interval(x, y, paired=paired)

    assert 0.93 <= coverage(make, truth=0.5) <= 0.97


def test_fieller_ends_are_where_the_t_test_of_their_difference_just_rejects() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(1, 1, 15), rng.normal(3, 1, 15)
    interval = ratio_interval(x, y)
    assert isinstance(interval, Interval)
    for end in (interval.low, interval.high):
        assert reference.ttest_1samp(x - end * y, 0).pvalue == pytest.approx(0.05)


def test_fieller_is_undefined_exactly_when_the_denominator_may_be_zero() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        x, y = rng.normal(1, 1, 10), rng.normal(0.7, 1, 10)
        below = mean_interval(y)
        assert isinstance(below, Interval)
        made = ratio_interval(x, y)
        assert isinstance(made, Unmeasured) == (not below.excludes(0.0))
        assert isinstance(made, Interval) or made.why.startswith("undefined: ")
        seen.add(type(made))
    assert seen == {Interval, Unmeasured}


def test_fieller_without_spread_or_units_is_unmeasured() -> None:
    assert isinstance(ratio_interval([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), Unmeasured)
    assert isinstance(ratio_interval([1.0, 1.0], [2.0, 2.0], paired=False), Unmeasured)
    assert isinstance(ratio_interval([1.0, 1.0], [0.0, 0.0]), Unmeasured)
    assert isinstance(ratio_interval([], []), Unmeasured)
    with pytest.raises(BadInput, match="matched by position"):
        ratio_interval([1.0, 2.0], [1.0, 2.0, 3.0])
