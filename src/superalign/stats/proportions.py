"""Intervals for a proportion, and how many trials a bound needs."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from scipy.special import betaincinv, ndtri

from superalign.errors import BadInput
from superalign.stats.inputs import counted, fraction, two_tail
from superalign.types import Interval, Unmeasured

Side: TypeAlias = Literal["both", "low", "high"]  # which ends are bounded; the other end is then 0 or 1


def wilson(successes: int, *, n: int, confidence: float = 0.95) -> Interval | Unmeasured:
    """Wilson score interval: about nominal on average, for describing a rate.

    Args:
        successes: Trials that succeeded.
        n: Independent trials.
        confidence: Coverage, two-sided.

    Returns:
        The rate and its interval; `Unmeasured` without trials.

    Raises:
        BadInput: If successes are not between 0 and n.

    Example:
        >>> i = wilson(18, n=20)
        >>> round(i.low, 3), round(i.high, 3)
        (0.699, 0.972)

    Source:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    k, n = _trials(successes, n)
    z = float(ndtri(1.0 - two_tail(confidence)))
    if n == 0:
        return Unmeasured("undefined: no trials")
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if k == 0 else max(0.0, centre - half)
    high = 1.0 if k == n else min(1.0, centre + half)
    return Interval(value=p, low=low, high=high, n=n)


def clopper_pearson(successes: int, *, n: int, confidence: float = 0.95, side: Side = "both") -> Interval | Unmeasured:
    """Clopper-Pearson interval: never covers less than it says, for a bound that a decision rests on.

    Args:
        successes: Trials that succeeded.
        n: Independent trials.
        confidence: Coverage. With `side="low"` all of the error is spent on the lower end, and the upper is 1.
        side: Which ends to bound.

    Returns:
        The rate and its interval; `Unmeasured` without trials.

    Raises:
        BadInput: If successes are not between 0 and n.

    Example:
        >>> i = clopper_pearson(18, n=20)
        >>> round(i.low, 3), round(i.high, 3)
        (0.683, 0.988)

    Source:
        Clopper and Pearson, The use of confidence or fiducial limits, 1934.
    """
    k, n = _trials(successes, n)
    tail = _tail(confidence, side=side)
    if n == 0:
        return Unmeasured("undefined: no trials")
    low = 0.0 if k == 0 or side == "high" else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n or side == "low" else float(betaincinv(k + 1, n - k, 1.0 - tail))
    return Interval(value=k / n, low=low, high=high, n=n)


def needed_positives(recall_bar: float, *, confidence: float = 0.95, misses: int = 0, side: Side = "both") -> int:
    """Return how many positives an instrument must be shown before its recall bound can reach a bar.

    Args:
        recall_bar: The lower bound wanted, between 0 and 1.
        confidence: As in `clopper_pearson`, whose lower end this answers for.
        misses: Positives that it is allowed to miss.
        side: "both" if the bound is the lower end of a two-sided interval, "low" if it is one-sided.

    Returns:
        The smallest n whose lower bound with n - misses hits is at least the bar.

    Raises:
        BadInput: If the bar is not strictly between 0 and 1, or misses are negative.

    Example:
        >>> needed_positives(0.9), needed_positives(0.9, side="low"), needed_positives(0.9, misses=1)
        (36, 29, 54)
    """
    bar = fraction(recall_bar, name="recall_bar")
    misses = counted(misses, name="misses", least=0)
    tail = _tail(confidence, side=side)
    if side == "high":
        raise BadInput('side is "high", which bounds recall from above only. No n reaches a bar. Pass "both" or "low".')

    def reaches(n: int) -> bool:
        return float(betaincinv(n - misses, misses + 1, tail)) >= bar

    high = misses + 1
    while not reaches(high):
        high *= 2
    low = max(misses, high // 2)  # does not reach
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def _tail(confidence: float, *, side: Side) -> float:
    """The probability spent at each bounded end."""
    both = two_tail(confidence)
    if side not in ("both", "low", "high"):
        raise BadInput(f'side is "{side}". It says which end is bounded. Pass "both", "low" or "high".')
    return both if side == "both" else 2.0 * both


def _trials(successes: int, n: int) -> tuple[int, int]:
    """Check that successes are a part of n trials."""
    n, k = counted(n, name="n", least=0), counted(successes, name="successes", least=0)
    if k > n:
        raise BadInput(
            f"{k} successes in {n} trials. A rate above 1 means that the two were counted over different units. "
            "Count both over the same trials."
        )
    return k, n
