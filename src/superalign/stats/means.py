"""Intervals for a mean, for a median, for a paired difference and for a ratio of means."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from superalign.stats.inputs import column, paired_columns, spread_is_zero, t_quantile, two_tail
from superalign.types import Interval, Unmeasured


def mean_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval | Unmeasured:
    """Mean of independent values with a t interval.

    Args:
        values: One value per independent unit, shape (N,).
        confidence: Coverage, two-sided.

    Returns:
        Mean and interval; `Unmeasured` with fewer than two values, or if all are equal (a width of zero would claim
        certainty; for outcomes of 0 and 1 use `clopper_pearson`).

    Raises:
        BadInput: If a value is not a finite number.

    Example:
        >>> i = mean_interval([1.0, 2.0, 3.0])
        >>> round(i.low, 3), round(i.high, 3)
        (-0.484, 4.484)

    Source:
        Student, The probable error of a mean, 1908.
    """
    x = column(values, name="values")
    two_tail(confidence)
    n = len(x)
    if n < 2:
        return Unmeasured(f"undefined: {n} values, and a spread needs at least two")
    if spread_is_zero(x):
        return Unmeasured(f"undefined: all {n} values equal {x[0]:g}, so there is no spread")
    mean = float(x.mean())
    half = t_quantile(confidence, df=n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    return Interval(value=mean, low=mean - half, high=mean + half, n=n)


def prediction_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval | Unmeasured:
    """Return the mean of a sample with the interval in which one more value lies: how far single ones are apart.

    Args:
        values: One number per unit, about normal, shape (N,).
        confidence: Chance that one more value lies inside.

    Example:
        >>> i = prediction_interval([1.0, 2.0, 3.0])
        >>> i.value, round(i.high, 2)
        (2.0, 6.97)
    """
    mean = mean_interval(values, confidence=confidence)
    if isinstance(mean, Unmeasured):
        return mean
    half = (mean.high - mean.value) * math.sqrt(mean.n + 1)
    return Interval(value=mean.value, low=mean.value - half, high=mean.value + half, n=mean.n)


def median_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval | Unmeasured:
    """Median of independent values with an interval from order statistics: no distribution is assumed.

    Args:
        values: One value per independent unit, shape (N,).
        confidence: Coverage, two-sided, at least.

    Returns:
        Median, between two of the values; `Unmeasured` where even the least and the greatest hold it less often.

    Raises:
        BadInput: If a value is not a finite number.

    Example:
        >>> found = median_interval([1, 2, 3, 4, 5, 60])
        >>> found.low, found.value, found.high
        (1.0, 3.5, 60.0)

    Source:
        Thompson, On confidence ranges for the median, 1936.
    """
    x = np.sort(column(values, name="values"))
    n, tail = len(x), two_tail(confidence)
    beyond = int((binom.cdf(np.arange(n), n, 0.5) <= tail).sum())  # values that may lie outside on either side
    if not beyond:
        return Unmeasured(f"undefined: {n} values are too few for an interval of their median")
    return Interval(value=float(np.median(x)), low=float(x[beyond - 1]), high=float(x[n - beyond]), n=n)


def paired_difference(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95) -> Interval | Unmeasured:
    """Mean difference first - second of two arms measured on the same units, with a t interval.

    Args:
        first: One value per unit, shape (N,).
        second: The other arm, same units in the same order.
        confidence: Coverage, two-sided.

    Returns:
        Mean difference and interval; `Unmeasured` with fewer than two units, or if all differences are equal.

    Raises:
        BadInput: If the arms differ in length or hold something that is not a finite number.

    Example:
        >>> paired_difference([1, 0, 1, 1], [0, 0, 1, 0]).value
        0.5
    """
    x, y = paired_columns(first, second, names=("first", "second"))
    return mean_interval(x - y, confidence=confidence)


def ratio_interval(
    numerator: ArrayLike, denominator: ArrayLike, *, paired: bool = True, confidence: float = 0.95
) -> Interval | Unmeasured:
    """Ratio of two means by Fieller's theorem.

    Args:
        numerator: One value per unit, shape (N,).
        denominator: Same units in the same order if paired, else an independent set, shape (M,).
        paired: Whether the two are matched by position.
        confidence: Coverage, two-sided.

    Returns:
        Ratio and interval; `Unmeasured` ("undefined: ...") if the denominator's own interval includes 0, since then
        no bounded interval covers the ratio, or if there are fewer than two units.

    Raises:
        BadInput: If paired columns differ in length, or a value is not a finite number.

    Example:
        >>> ratio_interval([1.0, 1.1, 0.9], [2.0, 2.1, 1.9]).value
        0.5
        >>> ratio_interval([1.0, 2.0, 3.0], [-1.0, 0.0, 1.5]).why
        'undefined: the interval of the denominator [-2.959, 3.292] includes 0'

    Source:
        Fieller, Some problems in interval estimation, 1954.
    """
    if paired:
        x, y = paired_columns(numerator, denominator, names=("numerator", "denominator"))
    else:
        x, y = column(numerator, name="numerator"), column(denominator, name="denominator")
    two_tail(confidence)
    n = min(len(x), len(y))
    if n < 2:
        return Unmeasured(f"undefined: {n} units, and a spread needs at least two")
    x_mean, y_mean = float(x.mean()), float(y.mean())
    var_x, var_y = float(x.var(ddof=1)) / len(x), float(y.var(ddof=1)) / len(y)
    cov = float(np.cov(x, y)[0, 1]) / n if paired else 0.0
    t_y = t_quantile(confidence, df=len(y) - 1)
    half = t_y * math.sqrt(var_y)
    if abs(y_mean) <= half:
        return Unmeasured(
            f"undefined: the interval of the denominator [{y_mean - half:.4g}, {y_mean + half:.4g}] includes 0"
        )
    ratio = x_mean / y_mean
    spread = max(0.0, var_x - 2 * ratio * cov + ratio**2 * var_y)
    if spread <= 1e-24 * (var_x + ratio**2 * var_y) or (var_x == 0 and var_y == 0):
        return Unmeasured(f"undefined: the two are proportional in all {n} units, so there is no spread")
    t = t_y
    if not paired:  # Welch's degrees of freedom of x - ratio * y
        parts = var_x**2 / (len(x) - 1) + (ratio**2 * var_y) ** 2 / (len(y) - 1)
        t = t_quantile(confidence, df=spread**2 / parts)
    a, b, c = y_mean**2 - t**2 * var_y, x_mean * y_mean - t**2 * cov, x_mean**2 - t**2 * var_x
    if a <= 0:
        return Unmeasured("undefined: the denominator cannot be told from 0 at these degrees of freedom")
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(value=ratio, low=(b - root) / a, high=(b + root) / a, n=n)
