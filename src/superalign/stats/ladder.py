"""What a tier that is asked again and again says of a submission: as little as still helps. Shape suffix: N items."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from superalign.types import Unmeasured

Parts = Float[np.ndarray, " N"]
LEAST = 0.01  # no step is smaller: a score is told in hundredths at best
ERRORS = 2.0  # standard errors of the paired difference that an improvement must exceed


class Oracle(Protocol):
    """Whoever is told the parts of a submission, one for each item, and says a number, or nothing."""

    def answer(self, parts_N: Parts) -> float | Unmeasured:
        """Return what is said of a submission."""


@dataclass
class Ladder:
    """Release a score if it beats the best one by more than the paired difference may be by chance; else repeat the best.

    It begins at the published baseline, so that nothing is said of what lies below that. The step needs no setting of how many
    submissions there will be. Blum and Hardt ask for one standard error; at two, an attacker who keeps whatever a random change
    improves climbs much less, and no honest improvement is lost that could have been told from chance.

    Source:
        Blum and Hardt, The Ladder: a reliable leaderboard for machine learning competitions, 2015 (parameter-free, section 3).
    """

    best_N: Parts  # of the best that was released; at first of the baseline
    released: float  # the score that was released of it

    @classmethod
    def on(cls, base_N: Parts) -> Ladder:
        """Make a ladder whose lowest rung is the baseline."""
        return cls(best_N=base_N, released=rounded(float(base_N.mean()), step=LEAST))

    def improves(self, parts_N: Parts) -> bool:
        """Take a submission's parts as the best if they are better by more than a step; say whether they are."""
        over_N = parts_N - self.best_N
        step = max(LEAST, ERRORS * float(over_N.std(ddof=1)) / math.sqrt(len(over_N)))
        if not float(over_N.mean()) > step:
            return False
        self.best_N, self.released = parts_N, rounded(float(parts_N.mean()), step=step)
        return True

    def answer(self, parts_N: Parts) -> float | Unmeasured:
        """Return the best score that was released, this one's if it is the best."""
        self.improves(parts_N)
        return self.released


def rounded(score: float, *, step: float) -> float:
    """Round to the nearest multiple of a step.

    Example:
        >>> rounded(0.637, step=0.02)
        0.64
    """
    return round(round(score / step) * step, 6)
