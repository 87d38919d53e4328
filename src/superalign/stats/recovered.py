"""The share of a gap that a method recovers: (method - floor) / (ceiling - floor), with an interval over items and seeds.

Weak-to-strong generalization calls it PGR (performance gap recovered), easy-to-hard SGR (supervision gap recovered); on areas
under the ROC curve it is PGR_AUROC.

Shape suffixes: P items, S seeds, N items of one seed.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from superalign.errors import BadInput
from superalign.stats.inputs import spread_is_zero, t_quantile
from superalign.stats.ranking import placements
from superalign.stats.resampling import crossed_variance, full_table
from superalign.stats.shares import all_equal
from superalign.types import Interval, Unmeasured


def recovered_gap(
    method_PS: ArrayLike, *, floor_PS: ArrayLike, ceiling_PS: ArrayLike, confidence: float = 0.95
) -> Interval | Unmeasured:
    """Estimate the share of the gap between floor and ceiling that a method recovers, by Fieller's theorem.

    Items and seeds are both random: variances and the covariance of the two differences come from variance components, as in
    `crossed_mean`. Means are taken first and divided once: a mean of ratios would be ruled by the seed whose gap is smallest.

    Args:
        method_PS: What the method reaches on each item under each seed: right or not, or `area_parts`. Shape (P, S).
        floor_PS: The same of the floor: the weak supervisor, or a student that was not trained.
        ceiling_PS: The same of the ceiling: the student trained on truth.
        confidence: Coverage, two-sided.

    Returns:
        The ratio, which may lie outside [0, 1], with its interval, n the smaller of P and S; `Unmeasured` ("undefined: ...")
        if the interval of the gap does not lie above 0, or there are fewer than two items or seeds.

    Raises:
        BadInput: If the tables differ in shape, or hold something that is not a finite number.

    Example:
        >>> low, high = np.zeros((40, 2)), np.ones((40, 2))
        >>> half = np.array([[0.0, 1.0], [1.0, 0.0]] * 20)
        >>> round(recovered_gap(half, floor_PS=low, ceiling_PS=high).value, 3)
        0.5
        >>> recovered_gap(half, floor_PS=half, ceiling_PS=half).why
        'undefined: floor and ceiling are the same, so that there is no gap to recover'

    Source:
        Burns et al., Weak-to-strong generalization, 2023 (arXiv 2312.09390); Fieller, Some problems in interval estimation, 1954.
    """
    method, floor, ceiling = map(full_table, (method_PS, floor_PS, ceiling_PS))
    if not method.shape == floor.shape == ceiling.shape:
        raise BadInput(
            f"Method, floor and ceiling have shapes {method.shape}, {floor.shape} and {ceiling.shape}. A ratio of gaps needs "
            "the same items under the same seeds. Pass three tables of one shape."
        )
    if min(method.shape) < 2:
        return Unmeasured(f"undefined: {method.shape[0]} items x {method.shape[1]} seeds, and both need at least two")
    over, gap = method - floor, ceiling - floor
    if not gap.any():
        return Unmeasured("undefined: floor and ceiling are the same, so that there is no gap to recover")
    return _fieller(over, gap, confidence=confidence)


def _fieller(over: np.ndarray, gap: np.ndarray, *, confidence: float) -> Interval | Unmeasured:
    """Divide the mean of one table by that of another, with the interval that both allow."""
    x, y = float(over.mean()), float(gap.mean())
    (v_x, _), (v_y, df_y), (v_less, _) = map(crossed_variance, (over, gap, over - gap))
    t = t_quantile(confidence, df=df_y)
    half = t * math.sqrt(v_y)
    if abs(y) <= half:
        return Unmeasured(
            f"undefined: ceiling minus floor is {y:.3f} [{y - half:.3f}, {y + half:.3f}], which includes 0"
        )
    if y < 0:
        return Unmeasured(
            f"undefined: the floor lies above the ceiling, by {-y:.3f} [{-y - half:.3f}, {-y + half:.3f}]"
        )
    ratio = x / y
    rest = over - ratio * gap
    # As where a method answers all as the ceiling does: what so many items may well miss.
    if spread_is_zero(rest.ravel()):
        unseen = all_equal(0.0, n=len(gap), span=(-1.0, 1.0), confidence=confidence).high / y
        return Interval(value=ratio, low=ratio - unseen, high=ratio + unseen, n=len(gap))
    t = max(t, t_quantile(confidence, df=crossed_variance(rest)[1]))
    a, b, c = y**2 - t**2 * v_y, x * y - t**2 * (v_x + v_y - v_less) / 2, x**2 - t**2 * v_x
    if a <= 0:
        return Unmeasured("undefined: ceiling minus floor cannot be told from 0 at these degrees of freedom")
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(value=ratio, low=(b - root) / a, high=(b + root) / a, n=min(gap.shape))


def area_parts(scores_N: ArrayLike, *, positive_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Split an area under the ROC curve into one part per item, whose mean it is and whose spread is DeLong's.

    With it an area is averaged, compared and put into `recovered_gap` as accuracy is.

    Args:
        scores_N: High for positives, shape (N,).
        positive_N: Which items are positives, shape (N,).

    Raises:
        BadInput: If one class is missing.

    Example:
        >>> truth = np.array([True, False, True, False])
        >>> float(area_parts([2.0, 1.0, 1.5, 1.7], positive_N=truth).mean())
        0.75

    Source:
        DeLong, DeLong and Clarke-Pearson, Comparing the areas under correlated ROC curves, 1988.
    """
    x_N, positive_N = np.asarray(scores_N, float), np.asarray(positive_N, bool)
    n, n_positive = len(x_N), int(positive_N.sum())
    if n_positive in (0, n):
        raise BadInput("Only one class is there. An area under the ROC curve needs both. Pass items of each.")
    above, below = placements(x_N[positive_N], x_N[~positive_N]), 1.0 - placements(x_N[~positive_N], x_N[positive_N])
    area = float(above.mean())
    out_N = np.full(n, area)
    out_N[positive_N] += (above - area) * n / n_positive
    out_N[~positive_N] += (below - area) * n / (n - n_positive)
    return out_N
