"""A test of a mean that may be looked at after every unit: one bets against the null, and counts what one holds.

Under the null no bet that is placed before the unit is seen gains on average, so by Ville's inequality the capital ever reaches
1 / alpha with chance at most alpha. Nothing is assumed of the units but their bounds and that the mean of each, given the ones
before it, is at most the null's. Units that were steered on are no such units: take fresh ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from superalign.errors import BadInput
from superalign.stats.inputs import column, fraction
from superalign.types import Record, Unmeasured

MOST = 0.75  # of the capital that one unit may cost, so that no single unit ruins it
LARGEST_LOG = 700.0  # exp of it is still a float


@dataclass(frozen=True, slots=True, kw_only=True)
class BettingTest(Record):
    """What a bet against "the mean is at most `null`" holds after n units."""

    n: int
    rejected: bool  # at any time so far
    at: int  # the unit at which it first rejected, counting from 1; -1 if it has not
    e_value: float  # capital after the last unit: what may be averaged over tasks, and go into `e_discoveries`
    e_largest: float  # so far; its inverse, at most 1, is an anytime-valid p-value


def log_capital(values: ArrayLike, *, null: float, low: float, high: float) -> Float[np.ndarray, " T"]:
    """Return the logarithm of the capital after each unit, of bets that follow mean and variance of the units before.

    Args:
        values: One per unit, in an order that does not depend on them, shape (T,).
        null: The mean that is tested against; one bets that it is larger.
        low: No value lies below.
        high: No value lies above.

    Raises:
        BadInput: If a value lies outside of its bounds, or the null does.

    Example:
        >>> log_capital([0.5, 0.5], null=0.0, low=-1.0, high=1.0).round(3).tolist()
        [0.0, 0.167]

    Source:
        Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, 2023 (aGRAPA, its section B.3).
    """
    x_T = column(values, name="values")
    if not low < null < high or ((x_T < low) | (x_T > high)).any():
        raise BadInput(
            f"Values or the null {null:g} lie outside of ({low:g}, {high:g}). A bet on an unbounded unit may lose more than "
            "there is, and its capital is no e-value then. Pass bounds that hold for every unit."
        )
    over_T = (x_T - null) / (high - low)
    before_T = np.arange(len(x_T))  # how many units were seen before each bet
    mean_T = _shifted(over_T) / (before_T + 1)
    variance_T = (0.25 + _shifted((over_T - mean_T) ** 2)) / (before_T + 1)
    most = MOST * (high - low) / (null - low)
    return np.cumsum(np.log1p(np.clip(mean_T / (variance_T + mean_T**2), 0.0, most) * over_T))


def betting_test(
    values: ArrayLike, *, null: float = 0.0, low: float = -1.0, high: float = 1.0, alpha: float = 0.05
) -> BettingTest | Unmeasured:
    """Test whether a mean of bounded values exceeds the null, erring at most alpha however often one looks.

    Args:
        values: One per unit: a paired difference of two shares lies in [-1, 1]; shape (T,).
        null: The largest mean that is no news.
        low: No value lies below.
        high: No value lies above.
        alpha: Chance of ever rejecting a true null.

    Example:
        >>> test = betting_test([1.0] * 20)
        >>> test.rejected, test.at
        (True, 8)
    """
    limit = -math.log(fraction(alpha, name="alpha"))
    log_T = log_capital(values, null=null, low=low, high=high)
    if not len(log_T):
        return Unmeasured("undefined: no units yet")
    crossed_T = log_T >= limit
    return BettingTest(
        n=len(log_T),
        rejected=bool(crossed_T.any()),
        at=int(crossed_T.argmax()) + 1 if crossed_T.any() else -1,
        e_value=math.exp(min(LARGEST_LOG, float(log_T[-1]))),
        e_largest=math.exp(min(LARGEST_LOG, max(0.0, float(log_T.max())))),
    )


def e_discoveries(e_K: Float[np.ndarray, " K"], *, rate: float = 0.05) -> Bool[np.ndarray, " K"]:
    """Say which ideas are rejected at a false discovery rate, however their e-values depend on each other.

    Args:
        e_K: One e-value per idea that was tried, the failed ones too.
        rate: Share of the rejected ones that may be null, on average.

    Example:
        >>> e_discoveries(np.array([100.0, 0.3, 30.0, 1.0])).tolist()
        [True, False, False, False]

    Source:
        Wang and Ramdas, False discovery rate control with e-values, 2022.
    """
    order_K = np.argsort(-e_K, kind="stable")
    enough_K = e_K[order_K] * np.arange(1, len(e_K) + 1) >= len(e_K) / fraction(rate, name="rate")
    out_K = np.zeros(len(e_K), bool)
    out_K[order_K[: int(np.flatnonzero(enough_K).max(initial=-1)) + 1]] = True
    return out_K


def _shifted(x_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """Sums of what came before each unit."""
    return np.concatenate([[0.0], np.cumsum(x_T)[:-1]]) if len(x_T) else x_T
