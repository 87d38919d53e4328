"""Shares, differences and what is said where nothing varies: the same data get the same interval whatever their shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.errors import BadInput
from superalign.stats import (
    all_equal,
    clopper_pearson,
    crossed_mean,
    difference,
    mean_interval,
    mean_over,
    pooled_share,
    share,
)
from superalign.types import Interval, Unmeasured


def rounded(found: Interval | Unmeasured) -> tuple[float, ...]:
    assert isinstance(found, Interval)
    return tuple(round(v, 9) for v in (found.value, found.low, found.high, found.n))


@pytest.mark.parametrize("hits", [0, 300])
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_300_of_300_right_gets_one_interval_however_many_seeds_agree(hits: int, seeds: int) -> None:
    values = np.full((300, seeds), hits / 300)
    exact = rounded(clopper_pearson(hits, n=300))
    assert rounded(share(values)) == exact
    assert rounded(mean_over(values, span=(0.0, 1.0))) == exact
    assert rounded(share(values[:, 0])) == exact
    assert rounded(share(values[:, 0] == 1.0)) == exact


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95]))
def test_yes_and_no_over_items_are_counted_exactly(counts: tuple[int, int], confidence: float) -> None:
    k, n = counts
    assert share([1.0] * k + [0.0] * (n - k), confidence=confidence) == clopper_pearson(k, n=n, confidence=confidence)


def test_where_values_vary_over_items_and_seeds_both_count_and_nothing_impossible_is_said() -> None:
    rng = np.random.default_rng(0)
    x_PS = (rng.random((40, 3)) < 0.5).astype(float)
    assert rounded(share(x_PS)) == rounded(crossed_mean(x_PS))
    few_PS = np.zeros((40, 3))
    few_PS[0, 0] = 1.0
    plain, found = crossed_mean(few_PS), share(few_PS)
    assert isinstance(plain, Interval)
    assert isinstance(found, Interval)
    assert plain.low < 0.0 == found.low
    assert found.high == plain.high
    assert rounded(difference(few_PS)) == rounded(plain)


def test_means_of_one_seed_are_over_items() -> None:
    x = [0.25, 0.5, 0.5, 0.75]
    assert rounded(share(x)) == rounded(mean_interval(x))
    apart = [-0.1, 0.25, 0.0, 0.05]
    assert rounded(difference(apart)) == rounded(mean_interval(apart))


def test_a_difference_that_is_always_the_same_may_go_either_way() -> None:
    none, always = difference(np.zeros((50, 4))), difference([1.0] * 50)
    assert isinstance(none, Interval)
    assert isinstance(always, Interval)
    unseen = 1 - 0.025 ** (1 / 50)
    assert (none.value, none.low, none.high) == (0.0, pytest.approx(-unseen), pytest.approx(unseen))
    # The others might differ the other way round: twice as far.
    assert (always.value, always.low, always.high) == (1.0, pytest.approx(1 - 2 * unseen), 1.0)


def test_a_share_between_that_is_always_the_same_is_no_certainty_either() -> None:
    found = share(np.full((20, 2), 0.5))
    assert isinstance(found, Interval)
    assert found.low < 0.5 < found.high
    assert found == all_equal(0.5, n=20, span=(0.0, 1.0))


@given(st.floats(-3, 7), st.integers(1, 1000), st.sampled_from([0.8, 0.95, 0.99]))
def test_equal_values_are_bounded_within_the_span_and_more_of_them_say_more(
    v: float, n: int, confidence: float
) -> None:
    found = all_equal(v, n=n, span=(-3.0, 7.0), confidence=confidence)
    more = all_equal(v, n=n + 1, span=(-3.0, 7.0), confidence=confidence)
    assert -3.0 <= found.low <= more.low <= v <= more.high <= found.high <= 7.0
    assert found.n == n


def test_of_yes_and_no_that_never_vary_the_bound_is_missed_as_seldom_as_it_says() -> None:
    # The share that just escapes the bound is seen without an exception in one of forty samples.
    bound = share([True] * 30)
    assert isinstance(bound, Interval)
    assert bound.low**30 == pytest.approx(0.025)


def test_without_values_or_with_one_item_under_seeds_that_differ_there_is_no_number() -> None:
    for nothing in ([], np.zeros((0, 3)), np.array([]).T):
        assert isinstance(share(nothing), Unmeasured)
        assert isinstance(difference(nothing), Unmeasured)
    assert isinstance(share([[0.0, 1.0]]), Unmeasured)
    assert rounded(share([[1.0, 1.0]])) == rounded(clopper_pearson(1, n=1))


@pytest.mark.parametrize("values", [[0.5, 1.2], [-0.1, 0.5], [float("nan")], ["a"], [[[1.0]]]])
def test_what_is_no_share_is_refused(values: list[object]) -> None:
    with pytest.raises(BadInput):
        share(values)


def test_a_difference_may_be_negative_but_no_more_than_all() -> None:
    assert isinstance(difference([-1.0, 1.0]), Interval)
    with pytest.raises(BadInput, match=r"-1\.5, outside \[-1, 1\]"):
        difference([-1.5, 0.0])


def test_values_without_a_span_have_a_mean_and_none_where_nothing_varies() -> None:
    nats = np.random.default_rng(1).normal(size=(20, 3)) * 9
    assert rounded(mean_over(nats)) == rounded(crossed_mean(nats))
    assert rounded(mean_over(nats[:, 0])) == rounded(mean_interval(nats[:, 0]))
    assert isinstance(mean_over(np.full((20, 3), 7.0)), Unmeasured)


def test_rounding_beyond_the_span_is_no_error() -> None:
    assert rounded(share(np.full(10, 1.0 + 1e-12))) == rounded(clopper_pearson(10, n=10))


def test_shares_that_differ_are_pooled_by_their_spread_and_cut_to_shares() -> None:
    shares = [Interval(value=v, low=v - 0.1, high=1.0, n=50) for v in (0.9, 1.0, 0.7)]
    between = mean_interval([0.9, 1.0, 0.7])
    assert isinstance(between, Interval)
    assert between.high > 1
    found = pooled_share([*shares, Unmeasured("not run")])
    assert found == Interval(value=between.value, low=between.low, high=1.0, n=3)


def test_shares_that_are_equal_are_pooled_over_all_problems() -> None:
    half = Interval(value=0.5, low=0.3, high=0.7, n=30)
    assert pooled_share([half, half]) == clopper_pearson(30, n=60)
    assert pooled_share([half]) == clopper_pearson(15, n=30)
    for nothing in ([], [Unmeasured("not run")]):
        assert isinstance(pooled_share(nothing), Unmeasured)
