"""Shares and differences of shares, over items or over items and seeds: the same data get the same interval in every study.

A t interval says nothing where nothing varies, and where little does it reaches beyond what is possible. So values here lie
within a span that is known beforehand: 0 to 1 for a share, -1 to 1 for the difference of two. Suffixes: P items, S seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from superalign.errors import BadInput
from superalign.stats.inputs import column, counted, spread_is_zero, two_tail
from superalign.stats.means import mean_interval
from superalign.stats.proportions import clopper_pearson
from superalign.stats.resampling import crossed_mean
from superalign.types import Interval, Unmeasured

_SLACK = 1e-9  # means of means may lie beyond the span by rounding


def share(values: ArrayLike, *, confidence: float = 0.95) -> Interval | Unmeasured:
    """Return the share of yes among yes and no, or mean of values between 0 and 1.

    Args:
        values: One value per item, shape (P,), or per item and seed, shape (P, S); 1 is yes, 0 is no.
        confidence: Coverage, two-sided.

    Returns:
        Of yes and no over items alone the exact interval (`clopper_pearson`); of anything else `mean_over` within 0 and 1.
        `Unmeasured` without values.

    Raises:
        BadInput: If a value lies outside 0 and 1, or is not a number.

    Example:
        >>> all_right = share([True] * 300)
        >>> round(all_right.low, 3), all_right.high, all_right.n
        (0.988, 1.0, 300)
        >>> share(np.ones((300, 5))) == all_right
        True
    """
    x_PS = _items_by_seeds(values)
    if x_PS.shape[1] == 1 and np.isin(x_PS, (0.0, 1.0)).all():
        return clopper_pearson(int(x_PS.sum()), n=len(x_PS), confidence=confidence)
    return mean_over(x_PS, span=(0.0, 1.0), confidence=confidence)


def difference(values: ArrayLike, *, confidence: float = 0.95) -> Interval | Unmeasured:
    """Mean difference of two shares that were measured on the same items, and under the same seeds.

    Args:
        values: First minus second, one per item, shape (P,), or per item and seed, shape (P, S).
        confidence: Coverage, two-sided.

    Returns:
        `mean_over` within -1 and 1; `Unmeasured` without values.

    Raises:
        BadInput: If a value lies outside -1 and 1, or is not a number.

    Example:
        >>> nothing_differs = difference([0.0] * 300)
        >>> round(nothing_differs.low, 3), nothing_differs.value, round(nothing_differs.high, 3)
        (-0.012, 0.0, 0.012)
    """
    return mean_over(values, span=(-1.0, 1.0), confidence=confidence)


def mean_over(
    values: ArrayLike, *, span: tuple[float, float] | None = None, confidence: float = 0.95
) -> Interval | Unmeasured:
    """Mean over items, or over items and seeds that are both taken as drawn.

    Args:
        values: One value per item, shape (P,), or per item and seed, shape (P, S).
        span: The lowest and the highest value that an item can have; None where there is no such bound.
        confidence: Coverage, two-sided.

    Returns:
        A t interval, over items where there is one seed, else over items crossed with seeds; cut to the span. Where all values
        are equal, `all_equal` over the items: seeds that agree everywhere count as one. `Unmeasured` without values, where one
        item differs between seeds, and where all are equal and there is no span.

    Raises:
        BadInput: If a value lies outside the span, or is not a number.

    Example:
        >>> found = mean_over([0.0, 0.0, 0.5], span=(0.0, 1.0))
        >>> round(found.value, 3), found.low, round(found.high, 3), found.n
        (0.167, 0.0, 0.884, 3)
    """
    x_PS = _items_by_seeds(values)
    two_tail(confidence)
    if not x_PS.size:
        return Unmeasured("undefined: no values")
    low, high = span or (-np.inf, np.inf)
    _check_span(x_PS, low, high)
    if span and spread_is_zero(x_PS.ravel()):
        return all_equal(float(np.clip(x_PS[0, 0], low, high)), n=len(x_PS), span=span, confidence=confidence)
    one_seed = x_PS.shape[1] == 1
    mean = mean_interval(x_PS[:, 0], confidence=confidence) if one_seed else crossed_mean(x_PS, confidence=confidence)
    if isinstance(mean, Unmeasured):
        return mean
    return Interval(value=mean.value, low=max(low, mean.low), high=min(high, mean.high), n=mean.n)


def all_equal(value: float, *, n: int, span: tuple[float, float], confidence: float = 0.95) -> Interval:
    """Bound the mean where all of n values are equal: allow for as many others as n draws may well miss, as far away as can be.

    At the ends of the span it is Clopper and Pearson's interval for n hits, or none, of n.

    Args:
        value: Of every item.
        n: Items.
        span: The lowest and the highest value that an item can have.
        confidence: Coverage, two-sided.

    Example:
        >>> i = all_equal(0.0, n=58, span=(-20.0, 20.0))
        >>> i.value, round(i.high, 2)
        (0.0, 1.23)
    """
    unseen = 1.0 - two_tail(confidence) ** (1.0 / counted(n, name="n", least=1))
    low, high = (value + unseen * (end - value) for end in span)
    return Interval(value=value, low=low, high=high, n=n)


def pooled_share(shares: Sequence[Interval | Unmeasured]) -> Interval | Unmeasured:
    """Pool shares that were counted on independent problems into one.

    Args:
        shares: One share for each organism or twin, counted over its own n problems; what was not counted is left out.

    Returns:
        The mean over organisms with a t interval cut to [0, 1]; where all shares are equal, the exact interval over all their
        problems. `Unmeasured` if nothing was counted.

    Example:
        >>> found = pooled_share([Interval(value=0.0, low=0.0, high=0.1, n=300)] * 3)
        >>> round(found.low, 3), round(found.high, 3), found.n
        (0.0, 0.004, 900)
    """
    there = [s for s in shares if isinstance(s, Interval)]
    if len({s.value for s in there}) > 1:
        return mean_over([s.value for s in there], span=(0.0, 1.0))
    return clopper_pearson(sum(round(s.value * s.n) for s in there), n=sum(s.n for s in there))


def _check_span(x_PS: Float[np.ndarray, "P S"], low: float, high: float) -> None:
    """Refuse values that were said to be impossible."""
    for worst in (float(x_PS.min()), float(x_PS.max())):
        if not low - _SLACK <= worst <= high + _SLACK:
            raise BadInput(
                f"A value is {worst:g}, outside [{low:g}, {high:g}]. Its interval would be cut to what is taken for possible. "
                "Pass values of that span, or the span of the values."
            )


def _items_by_seeds(values: ArrayLike) -> Float[np.ndarray, "P S"]:
    """Read one value per item, or per item and seed, as a table of items by seeds."""
    array = np.asarray(values)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.dtype == object:
        raise BadInput(
            f"The values have shape {np.asarray(values).shape}. Neither items nor seeds could be counted. "
            "Pass one value per item, or items x seeds."
        )
    return column(array.ravel(), name="values").reshape(array.shape)
