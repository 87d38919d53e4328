"""A test of a proportion that may be looked at after every draw, and stopped at any time.

The e-value is the likelihood of what was seen under a Beta mixture of rates, over that under p0. Under the null it is
a non-negative supermartingale that starts at 1, so by Ville's inequality it ever reaches 1 / alpha with chance at most
alpha. For a one-sided null the mixture is cut to the alternative's rates, which makes it valid for every rate in the
null, not only p0. The bounds speak of the stream that was drawn: an adversary who changes the stream is not covered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincc, betaln, xlog1py, xlogy

from superalign.errors import BadInput
from superalign.stats.comparisons import Alternative
from superalign.stats.inputs import column, counted, fraction, two_tail
from superalign.types import Interval, Record, Unmeasured

JEFFREYS = (0.5, 0.5)
_LARGEST_LOG = 700.0  # exp of it is still a float
_TINY = 1e-290  # a tail below this has lost precision; its e-value is below 1 and is taken as 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialTest(Record):
    """What an anytime-valid test says after n draws."""

    n: int
    rejected: bool  # at any time so far
    at: int  # the draw at which it first rejected, counting from 1; -1 if it has not
    e_value: float  # after the last draw
    e_largest: float  # so far; its inverse, at most 1, is an anytime-valid p-value
    rate: Interval  # from the confidence sequence, valid at whatever draw one stopped


def log_e_values(
    successes: ArrayLike,
    *,
    n: ArrayLike,
    p0: float,
    side: Alternative = "greater",
    prior: tuple[float, float] = JEFFREYS,
) -> Float[np.ndarray, " T"]:
    """Natural log of the Beta-mixture e-value against a rate of p0.

    Args:
        successes: Successes so far, shape (T,).
        n: Draws so far, shape (T,).
        p0: The null rate: "greater" tests rate <= p0, "less" rate >= p0, "different" rate = p0.
        side: The alternative.
        prior: Beta weights of success and failure over the alternative's rates.

    Returns:
        Logs of e-values, shape (T,); -inf where they round to zero.

    Raises:
        BadInput: If counts are impossible, or p0 or the prior is out of range.

    Example:
        >>> np.exp(log_e_values([0, 5], n=[0, 5], p0=0.5, prior=(1.0, 1.0))).round(2).tolist()
        [1.0, 10.5]

    Source:
        Ville, Etude critique de la notion de collectif, 1939; Robbins, Statistical methods related to the law of the
        iterated logarithm, 1970.
    """
    s, total = np.atleast_1d(successes), np.atleast_1d(n)
    s, f = _counts(s, total)
    p0, (a, b) = fraction(p0, name="p0"), _weights(prior)
    log_e = betaln(a + s, b + f) - betaln(a, b) - xlogy(s, p0) - xlog1py(f, -p0)
    if side == "different":
        return log_e
    if side not in ("greater", "less"):
        raise BadInput(f'side is "{side}". It says what is tested against. Pass "greater", "less" or "different".')
    tail = betaincc if side == "greater" else betainc
    after, before = tail(a + s, b + f, p0), float(tail(a, b, p0))
    kept = np.where(after > _TINY, after, 1.0)
    return np.where(after > _TINY, log_e + np.log(kept) - math.log(before), -np.inf)


def sequential_test(
    outcomes: ArrayLike,
    *,
    p0: float,
    alpha: float = 0.05,
    side: Alternative = "greater",
    prior: tuple[float, float] = JEFFREYS,
) -> SequentialTest | Unmeasured:
    """Test a proportion after every draw, erring at most alpha however often one looks.

    Args:
        outcomes: 0 or 1 per draw, in the order drawn, shape (T,).
        p0: The null rate.
        alpha: Chance of ever rejecting a true null.
        side: "greater" to alarm when the rate exceeds p0.
        prior: Beta weights over the alternative's rates.

    Returns:
        The test after the last draw; `Unmeasured` before the first.

    Raises:
        BadInput: If an outcome is not 0 or 1, or a setting is out of range.

    Example:
        >>> t = sequential_test([1, 1, 0, 1, 1, 1], p0=0.1)
        >>> t.rejected, t.at
        (True, 2)

    Source:
        Ville, Etude critique de la notion de collectif, 1939.
    """
    x = _outcomes(outcomes)
    limit = -math.log(fraction(alpha, name="alpha"))
    fraction(p0, name="p0")
    if not len(x):
        return Unmeasured("undefined: no draws yet")
    s_T, n_T = np.cumsum(x), np.arange(1, len(x) + 1)
    log_e_T = log_e_values(s_T, n=n_T, p0=p0, side=side, prior=prior)
    crossed_T = log_e_T >= limit
    rate = anytime_interval(int(s_T[-1]), n=len(x), confidence=1.0 - alpha, prior=prior)
    assert isinstance(rate, Interval)
    return SequentialTest(
        n=len(x),
        rejected=bool(crossed_T.any()),
        at=int(crossed_T.argmax()) + 1 if crossed_T.any() else -1,
        e_value=math.exp(min(_LARGEST_LOG, float(log_e_T[-1]))),
        e_largest=math.exp(min(_LARGEST_LOG, max(0.0, float(log_e_T.max())))),
        rate=rate,
    )


def anytime_interval(
    successes: int, *, n: int, confidence: float = 0.95, prior: tuple[float, float] = JEFFREYS
) -> Interval | Unmeasured:
    """Return one look at the confidence sequence: an interval for a rate that may be quoted whenever one stops.

    Args:
        successes: Successes so far.
        n: Draws so far.
        confidence: Chance that the intervals of all times cover the rate together.
        prior: Beta weights of success and failure.

    Returns:
        The rate and its interval; `Unmeasured` before the first draw.

    Raises:
        BadInput: If counts are impossible or a setting is out of range.

    Example:
        >>> i = anytime_interval(0, n=100)
        >>> i.low, round(i.high, 3)
        (0.0, 0.057)

    Source:
        Robbins, Statistical methods related to the law of the iterated logarithm, 1970.
    """
    counted(n, name="n", least=0)
    counted(successes, name="successes", least=0)
    two_tail(confidence)
    s, f = _counts(np.atleast_1d(successes), np.atleast_1d(n))
    if n == 0:
        return Unmeasured("undefined: no draws yet")
    low_T, high_T = _bounds(s, f, alpha=1.0 - confidence, prior=prior)
    return Interval(value=successes / n, low=float(low_T[0]), high=float(high_T[0]), n=n)


def confidence_sequence(
    outcomes: ArrayLike, *, confidence: float = 0.95, prior: tuple[float, float] = JEFFREYS
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Bounds of a rate after every draw that all hold together.

    Args:
        outcomes: 0 or 1 per draw, in the order drawn, shape (T,).
        confidence: Chance that the bounds of all times hold together.
        prior: Beta weights of success and failure.

    Returns:
        Lower and upper bounds, each of shape (T,).

    Raises:
        BadInput: If an outcome is not 0 or 1, or a setting is out of range.

    Example:
        >>> low_T, high_T = confidence_sequence([1, 1, 1, 0])
        >>> low_T.round(2).tolist(), high_T.round(2).tolist()
        ([0.03, 0.14, 0.25, 0.13], [1.0, 1.0, 1.0, 1.0])

    Source:
        Robbins, Statistical methods related to the law of the iterated logarithm, 1970.
    """
    x = _outcomes(outcomes)
    two_tail(confidence)
    s_T = np.cumsum(x)
    return _bounds(s_T, np.arange(1, len(x) + 1) - s_T, alpha=1.0 - confidence, prior=prior)


def _bounds(
    s: Num[np.ndarray, " T"], f: Num[np.ndarray, " T"], *, alpha: float, prior: tuple[float, float]
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Where the likelihood falls to alpha times that of the mixture, by bisection on both sides of its peak."""
    a, b = _weights(prior)
    level = betaln(a + s, b + f) - betaln(a, b) + math.log(alpha)
    peak = s / np.maximum(s + f, 1)

    def edge(outside: np.ndarray) -> np.ndarray:
        inside = peak.copy()
        for _ in range(60):
            middle = 0.5 * (outside + inside)
            kept = xlogy(s, middle) + xlog1py(f, -middle) > level
            inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
        return outside

    low, high = edge(np.zeros_like(peak)), edge(np.ones_like(peak))
    return np.where(s == 0, 0.0, low), np.where(f == 0, 1.0, high)


def _outcomes(outcomes: ArrayLike) -> Float[np.ndarray, " T"]:
    x = column(outcomes, name="outcomes")
    if not np.isin(x, (0.0, 1.0)).all():
        raise BadInput(
            "outcomes hold something other than 0 and 1. The test is of a proportion, and its error holds for nothing "
            "else. Pass one yes or no per draw."
        )
    return x


def _counts(successes: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Successes and failures as float64 columns."""
    s, total = column(successes, name="successes"), column(n, name="n")
    if s.shape != total.shape or (s < 0).any() or (s > total).any():
        raise BadInput(
            "successes do not fit n: not the same length, negative, or more successes than draws. The e-value would "
            "not be one. Pass how many of the first n draws succeeded, for each n."
        )
    return s, total - s


def _weights(prior: tuple[float, float]) -> tuple[float, float]:
    a, b = prior
    if not (0 < a < math.inf and 0 < b < math.inf):
        raise BadInput(f"prior is {prior}. A Beta distribution has positive weights. Pass two positive numbers.")
    return a, b
