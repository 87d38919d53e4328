import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta as beta_distribution
from scipy.stats import binom

from superalign.errors import BadInput
from superalign.stats import SequentialTest, anytime_interval, confidence_sequence, log_e_values, sequential_test
from superalign.stats.sequential import JEFFREYS, _bounds
from superalign.types import Interval, Unmeasured

DRAWS, STREAMS = 300, 2000


def _streams(rate: float, seed: int = 0) -> np.ndarray:
    """Running counts of successes, one row per stream."""
    return np.cumsum(np.random.default_rng(seed).uniform(size=(STREAMS, DRAWS)) < rate, axis=1)


NUMBER = np.arange(1, DRAWS + 1)
POSSIBLE = np.arange(DRAWS + 1)[:, None] <= NUMBER  # table of every count (rows) after every draw (columns)


def _table(values: np.ndarray) -> np.ndarray:
    """Spread values of the possible counts over the table, so that each is computed once for all streams."""
    table = np.full(POSSIBLE.shape, np.nan)
    table[POSSIBLE] = values
    return table


def _possible() -> tuple[np.ndarray, np.ndarray]:
    successes, column = np.nonzero(POSSIBLE)
    return successes, column + 1


def _ever_rejects(rate: float, *, p0: float, side: str) -> float:
    """Share of streams that the e-process rejects at any of its looks, one after every draw."""
    successes, n = _possible()
    log_e = _table(log_e_values(successes, n=n, p0=p0, side=side))  # type: ignore[arg-type]
    return float((log_e[_streams(rate), NUMBER - 1] >= np.log(20)).any(axis=1).mean())


@pytest.mark.parametrize("p0", [0.05, 0.3])
@pytest.mark.parametrize("side", ["greater", "less", "different"])
def test_it_errs_at_most_alpha_under_peeking_after_every_draw(p0: float, side: str) -> None:
    assert _ever_rejects(p0, p0=p0, side=side) <= 0.05


def test_a_one_sided_null_is_kept_for_all_its_rates() -> None:
    assert _ever_rejects(0.1, p0=0.3, side="greater") <= 0.05
    assert _ever_rejects(0.5, p0=0.3, side="less") <= 0.05
    assert _ever_rejects(0.1, p0=0.3, side="different") > 0.9  # not its null: the same check fires


@pytest.mark.parametrize("p0", [0.05, 0.3])
def test_naive_peeking_errs_more_than_alpha_on_the_same_streams(p0: float) -> None:
    """The meta-test: the exact fixed-n test errs at most 5 % at each look, and far more over all looks."""
    successes, n = _possible()
    p_values = _table(binom.sf(successes - 1, n, p0))[_streams(p0), NUMBER - 1]
    assert (p_values[:, -1] <= 0.05).mean() <= 0.06
    assert (p_values <= 0.05).any(axis=1).mean() > 0.10


def test_it_finds_a_rate_that_is_too_high() -> None:
    assert _ever_rejects(0.2, p0=0.05, side="greater") > 0.95


@pytest.mark.parametrize(("side", "low", "high"), [("greater", 0.2, 1.0), ("less", 0.0, 0.2), ("different", 0.0, 1.0)])
def test_the_e_value_is_the_mixture_integral(side: str, low: float, high: float) -> None:
    prior = beta_distribution(0.5, 1.5)
    mass = prior.cdf(high) - prior.cdf(low)

    def integrand(rate: float) -> float:
        return float(prior.pdf(rate) * (rate / 0.2) ** 4 * ((1 - rate) / 0.8) ** 6)

    wanted = quad(integrand, low, high)[0] / mass
    got = log_e_values([4], n=[10], p0=0.2, side=side, prior=(0.5, 1.5))[0]  # type: ignore[arg-type]
    assert np.exp(got) == pytest.approx(wanted, rel=1e-5)


def test_e_values_average_one_under_the_null() -> None:
    k = np.arange(31)
    e = np.exp(log_e_values(k, n=np.full(31, 30), p0=0.2, side="different"))
    assert float((binom.pmf(k, 30, 0.2) * e).sum()) == pytest.approx(1.0)


def test_extreme_counts_stay_numbers() -> None:
    log_e = log_e_values([0, 100_000], n=[100_000, 100_000], p0=0.5)
    assert log_e[0] == -np.inf
    assert np.isfinite(log_e[1])
    made = sequential_test(np.ones(2000), p0=0.01)
    assert isinstance(made, SequentialTest)
    assert np.isfinite(made.e_value)
    assert made.digest  # a record holds no infinity


@pytest.mark.parametrize("rate", [0.05, 0.4])
def test_the_confidence_sequence_covers_at_all_times_where_fixed_intervals_do_not(rate: float) -> None:
    counts = _streams(rate, seed=1)
    successes, n = _possible()
    low, high = _bounds(successes, n - successes, alpha=0.05, prior=JEFFREYS)
    missed = _table((low > rate) | (high < rate))[counts, NUMBER - 1]
    assert missed.any(axis=1).mean() <= 0.05
    tail = np.minimum(binom.cdf(successes, n, rate), binom.sf(successes - 1, n, rate))
    fixed_missed = _table(tail < 0.025)[counts, NUMBER - 1]  # Clopper-Pearson at this n does not cover
    assert fixed_missed[:, -1].mean() <= 0.06
    assert fixed_missed.any(axis=1).mean() > 0.10


def test_the_sequence_and_the_test_agree() -> None:
    x = np.random.default_rng(5).uniform(size=200) < 0.3
    low, high = confidence_sequence(x)
    s, n = np.cumsum(x), np.arange(1, 201)
    for p0 in (0.1, 0.25, 0.4):
        rejected = log_e_values(s, n=n, p0=p0, side="different") >= np.log(20)
        assert (rejected == ((low > p0) | (high < p0))).all()
    last = anytime_interval(int(s[-1]), n=200)
    assert isinstance(last, Interval)
    assert (last.low, last.high) == (low[-1], high[-1])


def test_the_test_reports_when_it_first_rejected() -> None:
    stream = [0] * 10 + [1] * 10
    made = sequential_test(stream, p0=0.1)
    assert isinstance(made, SequentialTest)
    assert made.rejected
    before, upto = sequential_test(stream[: made.at - 1], p0=0.1), sequential_test(stream[: made.at], p0=0.1)
    assert isinstance(before, SequentialTest)
    assert isinstance(upto, SequentialTest)
    assert (before.rejected, before.at) == (False, -1)
    assert upto.e_value >= 20 > before.e_largest
    later = sequential_test(stream + [0] * 200, p0=0.1)
    assert isinstance(later, SequentialTest)
    assert (later.rejected, later.at) == (True, made.at)  # once rejected, always rejected
    assert later.e_value < 20


def test_no_draws_are_unmeasured_and_impossible_ones_refused() -> None:
    assert isinstance(sequential_test([], p0=0.1), Unmeasured)
    assert isinstance(anytime_interval(0, n=0), Unmeasured)
    assert [len(bound) for bound in confidence_sequence([])] == [0, 0]
    with pytest.raises(BadInput, match="other than 0 and 1"):
        sequential_test([0, 0.5], p0=0.1)
    with pytest.raises(BadInput, match="more successes than draws"):
        log_e_values([3], n=[2], p0=0.1)
    with pytest.raises(BadInput, match="p0"):
        sequential_test([1], p0=0.0)
    with pytest.raises(BadInput, match="prior"):
        sequential_test([1], p0=0.1, prior=(0.0, 1.0))
