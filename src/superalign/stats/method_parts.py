"""Scores of methods that rank or check: parts whose mean is the metric, and gains where parts do not show all of its spread.

Shape suffixes: N items, S steps of a response, R runs under seeds of their own, P positives, M negatives, B resamples.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from superalign.stats.resampling import interval_from_draws
from superalign.stats.streams import stream
from superalign.types import Interval

FINEST = 0.01  # share of the negatives that may be flagged, where there are enough of them
DRAWS = 400  # resamples


def recall_parts(scores_N: Float[np.ndarray, " N"], *, positive_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Split the share of positives above a threshold that 1 % of the negatives exceed: one part for each item.

    Of fewer than a hundred negatives none may exceed it. Parts are of the positives alone: `recall_gain` resamples, so that
    the threshold's own spread counts too.

    Example:
        >>> recall_parts(np.array([3.0, 1.0, 2.0, 0.0]), positive_N=np.array([True, True, False, False])).tolist()
        [2.0, 0.0, 0.0, 0.0]
    """
    negatives = np.sort(scores_N[~positive_N])[::-1]
    threshold = negatives[math.floor(FINEST * len(negatives))]
    return (positive_N & (scores_N > threshold)) * (len(scores_N) / positive_N.sum())


def judged_parts(
    scores_NS: Float[np.ndarray, "N S"], *, truth_NS: Num[np.ndarray, "N S"], budget: Int[np.ndarray, "*N"]
) -> Float[np.ndarray, " N"]:
    """Check the steps of each response that score highest; the verdict is "wrong" if one of them is. 1 where it is right.

    Args:
        scores_NS: Which step to check first.
        truth_NS: 1 where a step is wrong, 0 where it is right, -1 where the response has no such step.
        budget: Steps that may be checked, of each response or of all.

    Example:
        >>> judged_parts(np.array([[2.0, 1.0], [2.0, 1.0]]), truth_NS=np.array([[1, 0], [0, 1]]), budget=np.array(1)).tolist()
        [1.0, 0.0]
    """
    there_NS = truth_NS >= 0
    order_NS = np.argsort(np.where(there_NS, -scores_NS, np.inf), axis=1, kind="stable")
    ordered_NS = np.take_along_axis(truth_NS, order_NS, axis=1)
    picked_NS = np.arange(truth_NS.shape[1]) < np.reshape(budget, (-1, 1))
    found_N = (picked_NS & (ordered_NS == 1)).any(axis=1)
    return (found_N == (truth_NS == 1).any(axis=1)).astype(float)


def recall_gain(
    scores_RN: Float[np.ndarray, "R N"],
    base_RN: Float[np.ndarray, "R N"] | None = None,
    *,
    positive_N: Bool[np.ndarray, " N"],
    confidence: float = 0.95,
) -> Interval:
    """Return a gain in recall by resampling items of each class and seeds: the threshold is drawn anew each time.

    Args:
        scores_RN: Scores of a method, a run for each seed.
        base_RN: Another method's, under the same seeds; nothing, to get the recall itself.
        positive_N: Which items are positives.
        confidence: Coverage, two-sided.

    Returns:
        The gain, n the fewest of positives, negatives and runs.
    """
    rng = stream(0, "resampled gain")
    runs, sizes = len(scores_RN), (int(positive_N.sum()), int((~positive_N).sum()))
    pick_BP, pick_BM = (np.vstack([np.arange(n), rng.integers(0, n, (DRAWS, n))]) for n in sizes)  # first as they are

    def recall_B(scores_N: Float[np.ndarray, " N"]) -> Float[np.ndarray, " B"]:
        negative_BM = -np.partition(-scores_N[~positive_N][pick_BM], allowed := int(FINEST * sizes[1]), axis=1)
        above_BP = scores_N[positive_N][pick_BP] > negative_BM[:, allowed, None]
        return np.asarray(above_BP.mean(axis=1))

    recall_RB = np.stack([recall_B(s) for s in scores_RN])
    if base_RN is not None:
        recall_RB = recall_RB - np.stack([recall_B(s) for s in base_RN])
    pick_BR = np.vstack([np.arange(runs), rng.integers(0, runs, (DRAWS, runs))])
    draws_B = recall_RB[pick_BR, np.arange(DRAWS + 1)[:, None]].mean(axis=1)
    units = min(*sizes, *([runs] if runs > 1 else []))
    return interval_from_draws(draws_B[1:], value=float(draws_B[0]), n=units, confidence=confidence)
