"""What the study of a critic trained on planted flaws measures.

Shape suffixes: N solutions of the trial, H held-out planted pairs, M solutions of real models, D shuffles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array, Estimate
from superalign.stats import paired_bootstrap, share
from superalign.trials.one_check import Outcome
from superalign.trials.real_solutions import RealSolutions
from superalign.types import Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What the critic says of planted pairs of training questions that it was not trained on."""

    kind_H: tuple[str, ...]
    right_H: Array  # score of the right solution
    flawed_H: Array  # score of the flawed one
    point_H: Array  # step that it names
    step_H: Array  # first wrong step, -1 where there is none to see
    steps_H: Array  # how many steps there are

    def of(self, kind: str = "") -> np.ndarray:
        """Say which pairs are of a kind; all if none is given."""
        return np.array([kind in ("", k) for k in self.kind_H], bool)

    def named(self, of_H: np.ndarray) -> Estimate:
        """Return the share of flawed solutions whose first wrong step is named."""
        return share((self.point_H == self.step_H)[of_H & (self.step_H >= 0)])

    @property
    def at_random(self) -> float:
        """How often a step named at random is the first wrong one."""
        return float((1 / self.steps_H)[self.step_H >= 0].mean())

    def chance(self, of_H: np.ndarray) -> float | Unmeasured:
        """Return the same of some pairs."""
        seen = of_H & (self.step_H >= 0)
        return float((1 / self.steps_H)[seen].mean()) if seen.any() else Unmeasured("no step to name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The judge's trial: solutions randomised to clean or to one planted flaw, under every arm."""

    kind_N: tuple[str, ...]  # empty if clean
    editable_N: Array  # whether there is a placebo edit of it
    own_N: Array  # the critic's own call: flawed
    plain: dict[str, Outcome]  # arm -> what came of it
    edited: dict[str, Outcome]  # the same after a placebo edit
    seed: int
    record: str  # digest of what holds every item

    @property
    def planted_N(self) -> np.ndarray:
        """Which solutions have a flaw."""
        return np.array([bool(kind) for kind in self.kind_N], bool)

    def shares(self, arm: str) -> tuple[Estimate, ...]:
        """Flaws found and false alarms on clean solutions, and both again after a placebo edit, where there is one."""
        plain, edited, flawed, able = self.plain[arm], self.edited[arm], self.planted_N, self.editable_N
        again = (edited.found_N[flawed & able], edited.called_N[~flawed & able])
        return tuple(map(share, (plain.found_N[flawed], plain.called_N[~flawed], *again)))

    def found(self, arm: str, kind: str) -> Estimate:
        """Return the share of planted flaws of one kind that are found."""
        return share(self.plain[arm].found_N[np.array(self.kind_N) == kind])

    def more(self, arm: str, over: str) -> tuple[Estimate, Estimate]:
        """Differences of two arms in flaws found and in false alarms on clean solutions, paired by solution."""
        hits = [self.plain[a].found_N[self.planted_N] for a in (arm, over)]
        return self._paired(*hits), self._paired(*(self.plain[a].called_N[~self.planted_N] for a in (arm, over)))

    def gap(self, arm: str) -> Estimate:
        """Return the accuracy of the judge in an arm minus that of the critic's own call."""
        return self._paired(self.plain[arm].called_N == self.planted_N, self.own_N == self.planted_N)

    def _paired(self, first: np.ndarray, second: np.ndarray) -> Estimate:
        return paired_bootstrap(first.astype(float), second.astype(float), seed=self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the page shows."""

    trained_on: int  # planted pairs
    flaw_kinds: tuple[str, ...]
    held_out: HeldOut
    threshold: float  # above it the critic calls a solution flawed
    trial: Trial
    real: RealSolutions
    scores: dict[str, np.ndarray]  # of real solutions; the critic's first, then that of which model wrote it
    shuffled_DM: np.ndarray  # the same by critics that were trained on shuffled labels
    contains: dict[str, np.ndarray]  # what a real solution may contain -> whether it does
