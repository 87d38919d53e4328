"""Bootstraps that resample whole units: items, clusters, or items crossed with seeds.

A percentile interval from n units is too narrow by about (n - 1) / n in variance and ignores that the spread was
estimated. Both are corrected as by Hesterberg. Percentiles still cannot reach beyond what the data hold: from ten pairs of
which one differs they cover .80. So the t interval on the bootstrap's standard error counts wherever it reaches further, and
below `FEW_UNITS` units alone. Suffixes: B draws, C clusters, P problems (items), S seeds.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import ndtr

from superalign.errors import BadInput
from superalign.stats.inputs import cluster_codes, column, counted, paired_columns, spread_is_zero, t_quantile, two_tail
from superalign.types import Interval, Unmeasured

FEW_UNITS = 10
_CHUNK = 2_000_000  # resampled values held at once: 16 MB


def interval_from_draws(
    draws_B: Float[np.ndarray, " B"], *, value: float, n: int, confidence: float = 0.95
) -> Interval:
    """Turn bootstrap draws of a statistic into an interval, corrected for few units.

    At each end the further one of the expanded percentile and of the t interval on the draws' spread counts; of fewer than
    `FEW_UNITS` units the t interval.

    Args:
        draws_B: The statistic on each resample, shape (B,).
        value: The statistic on the data.
        n: Units that were resampled (the smaller number, if two sets were).
        confidence: Coverage, two-sided.

    Returns:
        The interval, always around the value.

    Raises:
        BadInput: If confidence is not between 0 and 1.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=20_000)
        >>> i = interval_from_draws(draws, value=0.0, n=1000)
        >>> abs(i.low + 1.96) < 0.06, abs(i.high - 1.96) < 0.06
        (True, True)

    Source:
        Hesterberg, What teachers should know about the bootstrap, 2015 (expanded percentile interval).
    """
    widen = math.sqrt(n / (n - 1))
    t = t_quantile(confidence, df=n - 1)
    half = t * widen * float(draws_B.std())
    low, high = value - half, value + half
    if n >= FEW_UNITS:
        tail = float(ndtr(-widen * t))
        first, last = (float(q) for q in np.quantile(draws_B, [tail, 1.0 - tail]))
        low, high = min(low, first), max(high, last)
    return Interval(value=value, low=low, high=high, n=n)


def range_of_draws(draws: ArrayLike, *, value: float | None = None, n: int | None = None) -> Interval:
    """Return between which values 95 % of draws lie, such as of a null by shuffling: where one more lies, not their mean.

    Args:
        draws: The statistic on each draw, shape (B,).
        value: What stands in the middle; their median if not given.
        n: Units that were shuffled; the number of draws if not given.

    Example:
        >>> found = range_of_draws(np.arange(201.0))
        >>> found.low, found.value, found.high
        (5.0, 100.0, 195.0)
    """
    low, middle, high = (float(q) for q in np.quantile(np.asarray(draws, float), [0.025, 0.5, 0.975]))
    value = middle if value is None else value
    return Interval(value=value, low=min(low, value), high=max(high, value), n=n or np.size(draws))


def paired_bootstrap(
    first: ArrayLike, second: ArrayLike, *, seed: int, draws: int = 2000, confidence: float = 0.95
) -> Interval | Unmeasured:
    """Mean difference first - second of two arms measured on the same units, by resampling units.

    Covers .95 and more of normal and of yes-no outcomes, rare ones included (`tests/stats/test_coverage.py`). It does not where
    the differences have a long tail on one side: .91 to .95 of exponential ones, .83 to .94 of lognormal ones, from 10 to 200
    units. No interval without a model of the tail does; more units do.

    Args:
        first: One value per unit, shape (N,).
        second: The other arm, same units in the same order.
        seed: Seed of the resamples.
        draws: Number of resamples.
        confidence: Coverage, two-sided.

    Returns:
        Mean difference with its interval; `Unmeasured` with fewer than two units or no spread.

    Raises:
        BadInput: If the arms differ in length or hold something that is not a finite number.

    Example:
        >>> paired_bootstrap([1, 0, 1, 1], [0, 0, 1, 0], seed=0).value
        0.5
    """
    x, y = paired_columns(first, second, names=("first", "second"))
    return cluster_bootstrap(x - y, clusters=np.arange(len(x)), seed=seed, draws=draws, confidence=confidence)


def cluster_bootstrap(
    values: ArrayLike, *, clusters: ArrayLike, seed: int, draws: int = 2000, confidence: float = 0.95
) -> Interval | Unmeasured:
    """Mean of values that are alike within a cluster, by resampling whole clusters.

    As with `paired_bootstrap`, a long tail on one side costs coverage, and so do clusters of very unequal size.

    Args:
        values: One value per unit, shape (N,); for paired arms, their differences.
        clusters: The cluster of each unit (conversation, problem, base model), shape (N,).
        seed: Seed of the resamples.
        draws: Number of resamples.
        confidence: Coverage, two-sided.

    Returns:
        Mean over units with its interval, n the number of clusters; `Unmeasured` with fewer than two clusters, or
        if the clusters do not differ.

    Raises:
        BadInput: If there is not one cluster per value.

    Example:
        >>> i = cluster_bootstrap([1, 1, 0, 0, 1, 1], clusters=["a", "a", "b", "b", "c", "c"], seed=0)
        >>> round(i.value, 3), i.n
        (0.667, 3)

    Source:
        Davison and Hinkley, Bootstrap methods and their application, 1997, section 3.8.
    """
    x = column(values, name="values")
    code, n_clusters = cluster_codes(clusters, n=len(x), name="clusters")
    counted(draws, name="draws", least=100)
    two_tail(confidence)
    if n_clusters < 2:
        return Unmeasured(f"undefined: {n_clusters} clusters, and a spread needs at least two")
    sum_C, size_C = np.bincount(code, weights=x), np.bincount(code).astype(np.float64)
    value = float(x.mean())
    if spread_is_zero(sum_C / size_C):
        return Unmeasured(f"undefined: all {n_clusters} clusters have the same mean {value:g}, so there is no spread")
    rng = np.random.default_rng(seed)
    equal = bool((size_C == size_C[0]).all())
    parts = []
    for b in chunk_sizes(draws, n_clusters):
        pick_BC = rng.integers(0, n_clusters, size=(b, n_clusters))
        total_B = sum_C[pick_BC].sum(axis=1)
        parts.append(total_B / (len(x) if equal else size_C[pick_BC].sum(axis=1)))
    return interval_from_draws(np.concatenate(parts), value=value, n=n_clusters, confidence=confidence)


def crossed_mean(values_PS: ArrayLike, *, confidence: float = 0.95) -> Interval | Unmeasured:
    """Mean over items x seeds with both as random effects: a t interval on variance components.

    Args:
        values_PS: One value per item and seed, shape (P, S); for paired arms, their differences.
        confidence: Coverage, two-sided.

    Returns:
        Grand mean with its interval, n the smaller of P and S; `Unmeasured` below two of either, or without spread.

    Raises:
        BadInput: If the values are not a full table of finite numbers.

    Example:
        >>> crossed_mean([[1, 0], [1, 1], [0, 0]]).value
        0.5

    Source:
        Satterthwaite, An approximate distribution of estimates of variance components, 1946.
    """
    x_PS = full_table(values_PS)
    n_items, n_seeds = x_PS.shape
    two_tail(confidence)
    why = _cannot_cross(x_PS)
    if why is not None:
        return why
    mean = float(x_PS.mean())
    variance, df = crossed_variance(x_PS)
    half = t_quantile(confidence, df=df) * math.sqrt(variance)
    return Interval(value=mean, low=mean - half, high=mean + half, n=min(n_items, n_seeds))


def crossed_variance(x_PS: Float[np.ndarray, "P S"]) -> tuple[float, float]:
    """Estimate the variance of the mean of items x seeds, both random, and its degrees of freedom.

    Example:
        >>> variance, df = crossed_variance(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
        >>> round(float(variance), 4), round(float(df), 4)
        (0.0833, 1.5)
    """
    n_items, n_seeds = x_PS.shape
    mean = float(x_PS.mean())
    item_P, seed_S = x_PS.mean(axis=1) - mean, x_PS.mean(axis=0) - mean
    df = np.array([n_items - 1, n_seeds - 1, (n_items - 1) * (n_seeds - 1)], dtype=np.float64)
    rest_PS = x_PS - mean - item_P[:, None] - seed_S[None, :]
    squares = np.array([n_seeds * (item_P**2).sum(), n_items * (seed_S**2).sum(), (rest_PS**2).sum()])
    items, seeds, noise = squares / df
    # A negative variance component is taken as zero; the degrees of freedom keep all three terms, which errs wide.
    total = max(items - noise, 0.0) + max(seeds - noise, 0.0) + noise
    summed = float(((squares / df) ** 2 / df).sum())
    return float(total / x_PS.size), float(max(1.0, total**2 / summed)) if summed > 0 else 1.0


def resample_classes(
    rng: np.random.Generator,
    *,
    draws: int,
    positive_codes: Int[np.ndarray, " N"],
    negative_codes: Int[np.ndarray, " M"],
) -> tuple[Int[np.ndarray, "{draws} N"], Int[np.ndarray, "{draws} M"]]:
    """Weights of positives and negatives under resampled clusters.

    If some cluster holds both classes, clusters are drawn from all; otherwise each class keeps its number of clusters.

    Args:
        rng: Source of randomness.
        draws: Number of resamples B.
        positive_codes: Cluster of each positive, shape (N,), numbered jointly with those of the negatives.
        negative_codes: Cluster of each negative, shape (M,).

    Returns:
        Multiplicities, shapes (B, N) and (B, M).

    Example:
        >>> w, v = resample_classes(np.random.default_rng(0), draws=2, positive_codes=np.array([0, 1]),
        ...                         negative_codes=np.array([2, 3]))
        >>> w.sum(axis=1).tolist(), v.sum(axis=1).tolist()
        ([2, 2], [2, 2])
    """
    if np.intersect1d(positive_codes, negative_codes).size:
        count_BC = _counts(rng, draws, 1 + int(max(positive_codes.max(), negative_codes.max())))
        return count_BC[:, positive_codes], count_BC[:, negative_codes]
    weights = []
    for codes in (positive_codes, negative_codes):
        names, local = np.unique(codes, return_inverse=True)
        weights.append(_counts(rng, draws, len(names))[:, local])
    return weights[0], weights[1]


def chunk_sizes(draws: int, width: int) -> list[int]:
    """Split draws so that one part holds at most about two million values of the given width.

    Example:
        >>> chunk_sizes(4, 1_500_000), chunk_sizes(2000, 1000)
        ([1, 1, 1, 1], [2000])
    """
    size = max(1, _CHUNK // width)
    return [min(size, draws - done) for done in range(0, draws, size)]


def _counts(rng: np.random.Generator, draws: int, n: int) -> Int[np.ndarray, "{draws} {n}"]:
    """How often each of n units is drawn in each of `draws` resamples of n, shape (draws, n)."""
    pick = rng.integers(0, n, size=(draws, n)) + n * np.arange(draws)[:, None]
    return np.bincount(pick.ravel(), minlength=draws * n).reshape(draws, n)


def full_table(values_PS: ArrayLike) -> Float[np.ndarray, "P S"]:
    """Read a full table of items by seeds."""
    array = np.asarray(values_PS)
    if array.ndim != 2 or array.dtype == object:
        raise BadInput(
            f"values_PS has shape {array.shape}, not items x seeds. Crossing needs every item run with every seed. "
            "Pass a full table, or use cluster_bootstrap."
        )
    return column(array.ravel(), name="values_PS").reshape(array.shape)


def _cannot_cross(x_PS: Float[np.ndarray, "P S"]) -> Unmeasured | None:
    """Why a table of items by seeds gives no interval, if it does not."""
    if min(x_PS.shape) < 2:
        return Unmeasured(f"undefined: {x_PS.shape[0]} items x {x_PS.shape[1]} seeds, and both need at least two")
    if spread_is_zero(x_PS.ravel()):
        return Unmeasured(f"undefined: all values equal {x_PS.flat[0]:g}, so there is no spread")
    return None
