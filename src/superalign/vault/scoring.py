"""From an artefact's scores to numbers: one part for each item, whose mean is the score, and gains over the baseline.

Shape suffixes: N items, S scores of an item (steps of a response) where a method gives several, R runs under seeds of their own.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.stats import rankdata

from superalign.stats import area_parts, crossed_mean, interval_from_draws, mean_interval
from superalign.stats.inputs import spread_is_zero
from superalign.stats.streams import stream
from superalign.types import Interval, Metric, Unmeasured
from superalign.vault.benches import Part

FINEST = 0.01  # share of the negatives that may be flagged, where there are enough of them
DRAWS = 400  # resamples of a metric whose parts do not show all of its spread

Scores = Float[np.ndarray, "N ..."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How scores on the items of one tier become a number."""

    metric: Metric
    part: Part

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that an artefact's scores must have: one for each item, or for each of its steps."""
        return self.part.truth_NS.shape

    def parts(self, scores_NS: Scores) -> Float[np.ndarray, " N"]:
        """Return one part for each item; their mean is the score."""
        truth_NS = self.part.truth_NS
        if self.metric == "judged":
            return judged_parts(scores_NS, truth_NS=truth_NS, budget=np.asarray(self.part.inputs["budget"]))
        positive_N = truth_NS.astype(bool)
        if self.metric == "area":
            return area_parts(scores_NS, positive_N=positive_N)
        if self.metric == "recall":
            return recall_parts(scores_NS, positive_N=positive_N)
        return ((scores_NS > 0) == positive_N).astype(float)


def recall_parts(scores_N: Float[np.ndarray, " N"], *, positive_N: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Split the share of positives above a threshold that 1 % of the negatives exceed: one part for each item.

    Of fewer than a hundred negatives none may exceed it. Parts are of the positives alone: `gain` resamples, so that the
    threshold's own spread counts too.

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


def gain(
    scale: Scale,
    scores_RNS: Float[np.ndarray, "R N ..."],
    base_RNS: Float[np.ndarray, "R N ..."] | None = None,
    *,
    confidence: float = 0.95,
) -> Interval | Unmeasured:
    """Return how much higher runs score than the baseline on the same items, with items and seeds both drawn.

    Args:
        scale: The tier and its metric.
        scores_RNS: The artefact's scores, a run for each seed.
        base_RNS: The baseline's, under the same seeds; nothing, to get the score itself.
        confidence: Coverage, two-sided.
    """
    parts_NR = np.stack([scale.parts(s) for s in scores_RNS], axis=1)
    if base_RNS is not None:
        parts_NR = parts_NR - np.stack([scale.parts(s) for s in base_RNS], axis=1)
    if spread_is_zero(parts_NR.ravel()):
        return Unmeasured("undefined: it scores as the baseline does on every item")
    if scale.metric == "recall":
        return resampled_gain(scale, scores_RNS, base_RNS, confidence=confidence)
    if parts_NR.shape[1] == 1:
        return mean_interval(parts_NR[:, 0], confidence=confidence)
    return crossed_mean(parts_NR, confidence=confidence)


def resampled_gain(
    scale: Scale,
    scores_RN: Float[np.ndarray, "R N"],
    base_RN: Float[np.ndarray, "R N"] | None,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return a gain in recall by resampling items of each class and seeds: the threshold is drawn anew each time."""
    rng, positive_N = stream(0, "resampled gain"), scale.part.truth_NS.astype(bool)
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


@functools.lru_cache(1 << 14)
def behaviour(scores: tuple[float, ...]) -> bytes:
    """Return a digest of what scores do, whatever their scale: the order of items, and which lie above zero.

    Example:
        >>> behaviour((1.0, 2.0)) == behaviour((3.0, 9.0)), behaviour((1.0, 2.0)) == behaviour((-1.0, 2.0))
        (True, False)
    """
    ranks = rankdata(np.round(scores, 9), method="dense").astype("<i4")
    return hashlib.sha256(ranks.tobytes() + np.packbits(np.asarray(scores) > 0).tobytes()).digest()
