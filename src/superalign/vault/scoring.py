"""From an artefact's scores to numbers: one part for each item, whose mean is the score, and gains over the baseline.

Shape suffixes: N items, S scores of an item (steps of a response) where a method gives several, R runs under seeds of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from superalign.stats import area_parts, crossed_mean, mean_interval
from superalign.stats.inputs import spread_is_zero
from superalign.stats.method_parts import judged_parts, recall_gain, recall_parts
from superalign.types import Interval, Metric, Unmeasured
from superalign.vault.benches import Part

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
        positive_N = scale.part.truth_NS.astype(bool)
        return recall_gain(scores_RNS, base_RNS, positive_N=positive_N, confidence=confidence)
    if parts_NR.shape[1] == 1:
        return mean_interval(parts_NR[:, 0], confidence=confidence)
    return crossed_mean(parts_NR, confidence=confidence)
