"""What the study of recursive reward modelling measures.

Shape suffixes: L levels of the ladder, P held-out questions, S seeds, T points along an agent's training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array
from superalign.lab.trained import TrainedAgainst

HELPED, ALONE, MATCHED, NULL, TRUTH = (
    "with assistants",
    "no assistants",
    "no assistants, same computation",
    "assistants of shuffled labels",
    "labels by truth",
)
ARMS = (HELPED, ALONE, MATCHED, NULL, TRUTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbed:
    """One ladder, level by level."""

    pairs_LP: Array  # right answer scored above a wrong one, half a point for a tie
    calls_LP: Array  # share of the two called as they are
    answers_LP: Array  # agent right
    paid_LT: Array  # what the reward model paid the agent
    right_LT: Array  # its answers right, on chains that nothing else is reported on
    labels_L: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Every ladder, and what came of training against the highest reward model."""

    levels: int
    ladders: Mapping[str, Sequence[Climbed]]  # arm -> one for each seed
    trained: TrainedAgainst | None

    def share_PS(self, arm: str, what: str, level: int) -> np.ndarray:
        """Say what was measured at one level of an arm: pairs, calls or answers."""
        return np.array([getattr(c, f"{what}_LP")[level - 1] for c in self.ladders[arm]], dtype=float).T

    def paid_beyond_right_S(self, arm: str) -> list[float]:
        """Say what the agent of the highest level was paid at the end of its training minus what it got right."""
        return [float(c.paid_LT[self.levels - 1, -1] - c.right_LT[self.levels - 1, -1]) for c in self.ladders[arm]]
