"""What every statistic asks of its input, and the two quantiles that they share."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from superalign.errors import BadInput


def column(values: ArrayLike, *, name: str) -> Float64[np.ndarray, " N"]:
    """Read values as one column of finite float64 numbers; an empty column is allowed.

    Args:
        values: Numbers or booleans, shape (N,).
        name: What to call them in an error message.

    Returns:
        Array of shape (N,), float64.

    Raises:
        BadInput: If there is more than one dimension, or a value is not a finite number (also `Unmeasured`).

    Example:
        >>> column([True, False], name="hits").tolist()
        [1.0, 0.0]
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"{name} holds something that is not a number ({error}). A missing value counted as a number would move "
            "the result. Leave out what was not measured, and say how many were left out."
        ) from error
    if array.ndim != 1:
        raise BadInput(
            f"{name} has shape {array.shape}, not one dimension. Units are counted along it, so the sample size would "
            "be wrong. Pass one value per unit."
        )
    if not np.isfinite(array).all():
        raise BadInput(
            f"{name} holds NaN or infinity. It would be ranked or averaged as if it had been measured. "
            "Leave out what was not measured, and say how many were left out."
        )
    return array


def paired_columns(
    first: ArrayLike, second: ArrayLike, *, names: tuple[str, str]
) -> tuple[Float64[np.ndarray, " N"], Float64[np.ndarray, " N"]]:
    """Read two columns that are matched by position.

    Raises:
        BadInput: If their lengths differ, or one of them is not a column of finite numbers.

    Example:
        >>> [len(c) for c in paired_columns([1, 2], [3, 4], names=("a", "b"))]
        [2, 2]
    """
    x, y = column(first, name=names[0]), column(second, name=names[1])
    if len(x) != len(y):
        raise BadInput(
            f"{names[0]} has {len(x)} values and {names[1]} has {len(y)}. They are matched by position, so a missing "
            "one would pair the wrong units. Pass one of each per unit, in the same order."
        )
    return x, y


def cluster_codes(clusters: ArrayLike, *, n: int, name: str) -> tuple[Int64[np.ndarray, " {n}"], int]:
    """Number the clusters of n units from 0.

    Args:
        clusters: Any hashable-like labels (integers or strings), shape (N,).
        n: Units that they must match.
        name: What to call them in an error message.

    Returns:
        Codes of shape (N,) and the number of clusters.

    Raises:
        BadInput: If there is not one label per unit.

    Example:
        >>> cluster_codes(["a", "b", "a"], n=3, name="bases")[1]
        2
    """
    names, codes = np.unique(cluster_labels(clusters, n=n, name=name), return_inverse=True)
    return codes.astype(np.int64), len(names)


def cluster_labels(clusters: ArrayLike, *, n: int, name: str) -> Shaped[np.ndarray, " {n}"]:
    """Check that there is one cluster label per unit.

    Raises:
        BadInput: If there is not.

    Example:
        >>> cluster_labels([3, 3, 7], n=3, name="bases").tolist()
        [3, 3, 7]
    """
    labels = np.asarray(clusters)
    if labels.shape != (n,):
        raise BadInput(
            f"{name} has shape {labels.shape} for {n} units. Units of one cluster are resampled together, so each "
            "needs to say where it belongs. Pass one label per unit, in the same order."
        )
    return labels


def two_tail(confidence: float) -> float:
    """Return the probability left in each of two tails.

    Raises:
        BadInput: If confidence is not between 0 and 1.

    Example:
        >>> round(two_tail(0.95), 6)
        0.025
    """
    return fraction(1.0 - fraction(confidence, name="confidence"), name="1 - confidence") / 2.0


def fraction(value: float, *, name: str) -> float:
    """Check that a setting lies strictly between 0 and 1.

    Raises:
        BadInput: If it does not.

    Example:
        >>> fraction(0.05, name="alpha")
        0.05
    """
    if not 0.0 < value < 1.0:
        raise BadInput(
            f"{name} is {value}, which is not strictly between 0 and 1. At the ends a bound is empty or says nothing. "
            "Pass a fraction such as 0.05 or 0.95."
        )
    return float(value)


def counted(value: int, *, name: str, least: int = 1) -> int:
    """Check that a setting is a whole number and large enough.

    Raises:
        BadInput: If it is not.

    Example:
        >>> counted(20, name="n")
        20
    """
    if isinstance(value, bool) or int(value) != value or value < least:
        raise BadInput(
            f"{name} is {value}, not a whole number of at least {least}. It counts units, so the result would stand "
            f"on nothing. Pass an integer of at least {least}."
        )
    return int(value)


def t_quantile(confidence: float, *, df: float | int) -> float:
    """Half-width of a two-sided t interval in standard errors.

    Example:
        >>> round(t_quantile(0.95, df=4), 3)
        2.776
    """
    return float(stdtrit(df, 1.0 - two_tail(confidence)))


def spread_is_zero(values: Float[np.ndarray, " N"]) -> bool:
    """Say whether values are equal but for rounding, so that no spread can be estimated from them."""
    scale = float(np.abs(values).max(initial=0.0))
    return bool(np.ptp(values) <= 8 * math.ulp(1.0) * scale)
