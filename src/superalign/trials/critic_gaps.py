"""Gaps between generator, discriminator and critic, as measured on samples of a model under several seeds of labels.

Shape suffixes: S seeds of labels, P problems, M samples of a problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from superalign.oversight.critique.gaps import best_of
from superalign.trials.oversight_panel import VOTING

DISCRIMINATOR, OWN, BOTH = "own discriminator", "judged self-critique", "critique, then discriminator"
RANDOM, FOREIGN = "judge alone, random step", "foreign critique"
NONSENSE, SHUFFLED = "discriminator, shuffled labels", "critic of shuffled labels"
WEAK_OWN, WEAK_RANDOM = "judged self-critique, weak judge", "weak judge alone, random step"
AGAIN = "another discriminator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a base, its discriminators and its critics say of samples of itself, under every seed of labels."""

    size: str
    labelled: int
    problems: int
    flawed_SPM: np.ndarray
    right_SPM: np.ndarray
    votes_SPM: np.ndarray  # share of a problem's samples with the same answer
    says: Mapping[str, np.ndarray]  # discriminator -> probability of a flaw
    shown: Mapping[str, np.ndarray]  # critique and judge -> whether the judge finds a flaw where the critique points

    @property
    def samples(self) -> int:
        """How many answers each problem has."""
        return int(self.flawed_SPM.shape[2])

    def scores(self) -> dict[str, np.ndarray]:
        """Say what picks the best of n, by arm: higher is better (S, P, M)."""
        shown, says = self.shown[OWN], self.says[DISCRIMINATOR]
        return {
            DISCRIMINATOR: -says,
            OWN: -shown,
            BOTH: -np.where(shown > 0, 2.0, says),
            RANDOM: -self.shown[RANDOM],
            FOREIGN: -self.shown[FOREIGN],
            NONSENSE: -self.says[NONSENSE],
            VOTING: self.votes_SPM,
            SHUFFLED: -self.shown[SHUFFLED],
        }

    def sound_gaps(self) -> dict[str, np.ndarray]:
        """Measure how many more sound answers the best of n has than one sample, by arm (S, P, M)."""
        return {arm: best_gap(score, 1 - self.flawed_SPM) for arm, score in self.scores().items()}

    def right_gaps(self) -> dict[str, np.ndarray]:
        """Return the same for right answers, of arms that do without another's help."""
        scores = self.scores()
        return {arm: best_gap(scores[arm], self.right_SPM) for arm in (DISCRIMINATOR, OWN, BOTH, VOTING)}

    def decided_right(self, decided_SPM: np.ndarray) -> np.ndarray:
        """Return the share of a problem's answers decided right (S, P)."""
        return np.asarray(((decided_SPM > 0.5) == (self.flawed_SPM > 0.5)).mean(2))

    def cd(self, arm: str = OWN, *, error: float = 0.0) -> np.ndarray:
        """Return the share decided right with a judge minus that of the model's own discriminator (S, P).

        Args:
            arm: Whose critique the judge is shown.
            error: Share of checks that come out wrong.
        """
        wrong = np.random.default_rng(int(1000 * error)).random(self.flawed_SPM.shape) < error
        return self._beyond_own(np.abs(self.shown[arm] - wrong))

    def null_cd(self) -> np.ndarray:
        """Return the same of another discriminator, of the same labels and other initial weights."""
        return self._beyond_own(self.says[AGAIN])

    def cd_by_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of pairs in order by judged critiques, and by another discriminator, minus that by the model's own."""
        shown, again, own = (
            pairwise(x, self.flawed_SPM) for x in (self.shown[OWN], self.says[AGAIN], self.says[DISCRIMINATOR])
        )
        return shown - own, again - own

    def _beyond_own(self, decided_SPM: np.ndarray) -> np.ndarray:
        return self.decided_right(decided_SPM) - self.decided_right(self.says[DISCRIMINATOR])


def best_gap(score_SPM: np.ndarray, truth_SPM: np.ndarray) -> np.ndarray:
    """Return the truth of the best of n samples by a score minus that of one sample (S, P, M)."""
    return np.array([best_of(s, t) - t.mean(1, keepdims=True) for s, t in zip(score_SPM, truth_SPM, strict=True)])


def pairwise(suspicion_SPM: np.ndarray, flawed_SPM: np.ndarray) -> np.ndarray:
    """Return how often a flawed sample is more suspicious than a sound one of the same problem (S, problems with both).

    Ties count half.

    Example:
        >>> pairwise(np.array([[[0.5, 0.5, 0.1]]]), np.array([[[1.0, 0.0, 0.0]]])).tolist()
        [[0.75]]
    """
    both = (flawed_SPM.min(axis=(0, 2)) == 0) & (flawed_SPM.max(axis=(0, 2)) == 1)
    out = []
    for s, f in zip(suspicion_SPM[:, both], flawed_SPM[:, both], strict=True):
        won = (np.sign(s[:, :, None] - s[:, None, :]) + 1) / 2
        pair = (f[:, :, None] == 1) & (f[:, None, :] == 0)
        out.append((won * pair).sum((1, 2)) / pair.sum((1, 2)))
    return np.array(out)
