import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from superalign.errors import BadInput
from superalign.stats import clopper_pearson, needed_positives, wilson
from superalign.types import Interval, Unmeasured


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"), [(18, 20, 0.683, 0.988), (95, 100, 0.887, 0.984), (0, 100, 0.0, 0.036)]
)
def test_clopper_pearson_gives_the_known_values(successes: int, n: int, low: float, high: float) -> None:
    interval = clopper_pearson(successes, n=n)
    assert isinstance(interval, Interval)
    assert (round(interval.low, 3), round(interval.high, 3), interval.n) == (low, high, n)


@given(st.integers(1, 300), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_both_agree_with_scipy(n: int, data: st.DataObject, confidence: float) -> None:
    successes = data.draw(st.integers(0, n))
    trusted = reference.binomtest(successes, n)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        interval = ours(successes, n=n, confidence=confidence)
        assert isinstance(interval, Interval)
        wanted = trusted.proportion_ci(confidence, method=method)
        assert interval.low == pytest.approx(wanted.low, abs=1e-9)
        assert interval.high == pytest.approx(wanted.high, abs=1e-9)


@given(st.integers(1, 300), st.data())
@settings(max_examples=30, deadline=None)
def test_a_one_sided_bound_agrees_with_scipy(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    for side, alternative in (("low", "greater"), ("high", "less")):
        interval = clopper_pearson(successes, n=n, side=side)  # type: ignore[arg-type]
        assert isinstance(interval, Interval)
        wanted = reference.binomtest(successes, n, alternative=alternative).proportion_ci(0.95, method="exact")
        assert (interval.low, interval.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def _rates(rate: float, n: int) -> np.ndarray:
    return np.random.default_rng(0).binomial(n, rate, size=2000)


def _covered(method: str, rate: float, n: int) -> float:
    made = [{"wilson": wilson, "clopper_pearson": clopper_pearson}[method](int(k), n=n) for k in _rates(rate, n)]
    return float(np.mean([i.low <= rate <= i.high for i in made if isinstance(i, Interval)]))


# Wilson's coverage swings with the rate (computed: 0.937 at 0.3 of 100, 0.963 at 0.3 of 80), so three rates near the
# middle of the swing, and below the average over all rates.
@pytest.mark.parametrize(("rate", "n"), [(0.5, 60), (0.25, 120), (0.9, 200)])
def test_wilson_covers_what_it_says(rate: float, n: int) -> None:
    assert 0.93 <= _covered("wilson", rate, n) <= 0.97


def test_wilson_covers_what_it_says_on_average_over_rates() -> None:
    rng = np.random.default_rng(0)
    rates = rng.uniform(size=2000)
    made = [wilson(int(k), n=40) for k in rng.binomial(40, rates)]
    covered = [i.low <= rate <= i.high for i, rate in zip(made, rates, strict=True) if isinstance(i, Interval)]
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize(("rate", "n"), [(0.3, 100), (0.02, 50), (0.9, 20)])
def test_clopper_pearson_never_covers_less_than_it_says(rate: float, n: int) -> None:
    assert _covered("clopper_pearson", rate, n) >= 0.95


def test_the_coverage_check_can_fail() -> None:
    """The textbook interval p +- 1.96 se falls far short for a rare event, and the same check says so."""
    p = _rates(0.02, 50) / 50
    half = 1.96 * np.sqrt(p * (1 - p) / 50)
    assert float(np.mean((p - half <= 0.02) & (p + half >= 0.02))) < 0.8


@pytest.mark.parametrize("method", [wilson, clopper_pearson])
def test_no_trials_is_unmeasured_and_impossible_counts_are_refused(method: object) -> None:
    assert isinstance(method(0, n=0), Unmeasured)  # type: ignore[operator]
    with pytest.raises(BadInput, match="5 successes in 4 trials"):
        method(5, n=4)  # type: ignore[operator]
    with pytest.raises(BadInput, match="whole number"):
        method(-1, n=4)  # type: ignore[operator]


@pytest.mark.parametrize("side", ["both", "low"])
@pytest.mark.parametrize(("bar", "misses"), [(0.5, 0), (0.9, 0), (0.9, 2), (0.99, 1)])
def test_needed_positives_is_the_smallest_number_that_reaches_the_bar(bar: float, misses: int, side: str) -> None:
    n = needed_positives(bar, misses=misses, side=side)  # type: ignore[arg-type]
    enough = clopper_pearson(n - misses, n=n, side=side)  # type: ignore[arg-type]
    short = clopper_pearson(n - 1 - misses, n=n - 1, side=side)  # type: ignore[arg-type]
    assert isinstance(enough, Interval)
    assert isinstance(short, Interval)
    assert enough.low >= bar > short.low


def test_zero_failures_bound_a_rate_by_about_three_over_n() -> None:
    assert needed_positives(0.99, side="low") == 299
    assert needed_positives(0.999, side="low") == 2995
