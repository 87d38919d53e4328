"""What the study of trained critics measures.

Shape suffixes: P test items, S seeds, L levels of nit-picks, T points along RL. A nit-pick is a highlighted step that is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.lab.evidence import Array, Estimate
from superalign.lab.panel import Decisions
from superalign.stats import mean_interval
from superalign.trials.oversight_panel import Item

LEVELS = (0.05, 0.1, 0.25, 0.5, 1.0)  # nit-picks a solution at which critics are held against each other
SUPERVISED, RL, SUPERVISED_SEARCH, RL_SEARCH, RANDOM, AGAIN, CHECKS = (
    "supervised",
    "RL",
    "supervised + search",
    "RL + search",
    "random highlights",
    "supervised, drawn again",
    "checks as labels",
)
CLEAN, BY_HAND, PLANTED, PLACEBO_EDIT = CONDITIONS = ("clean", "flaw by hand", "trained planter's flaw", "placebo edit")
# Arms of the trial: who says which step the judge checks; those of the standard panel have its names.
CHANCE, FIRST, SEARCHED, RETRAINED, BY_HANDS, TAUGHT, ORACLE = (
    "random step",
    "supervised critic",
    "RL critic + search",
    "retrained critic",
    "critic retrained on flaws by hand",
    "RL critic, before the judge it was trained on",
    "oracle's critique",
)
OURS, CONTROL = "planter's flaws", "flaws by hand"  # what a critic is retrained on in the race


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A critic along RL, before one judge, at one seed."""

    judge: float  # share of facts that it knows
    trust: float  # what an unchecked highlight is worth to it
    updates: tuple[int, ...]
    # Comparisons won against the supervised critic's critiques, by the reward model (reward), the judge's one check (judge)
    # and exact grading (gold); recall, nitpicks, and nit-picks that the judge would take for flaws (believed) -> (T,).
    along: dict[str, Array]

    def grown(self, what: str) -> float:
        """After RL minus before."""
        return float(self.along[what][-1] - self.along[what][0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """The search at a published percentile of its candidates' lengths."""

    critic: str
    percentile: int
    modifier: float
    caught: float
    nitpicks: float
    highlights: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What a planter's edits look like."""

    slots: dict[str, float]  # symbol -> share of edits that change it
    first_half: float  # share of edits
    different: float
    none: float  # share of first draws that are no flaws


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A critic of the race, and a planter that was trained against it."""

    arm: str
    round: int
    caught: dict[str, Array]  # whose flaws -> whether the critic highlights each
    nitpicks_P: Array
    looks: Looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Main:
    """Everything of one seed in the main setting."""

    learned: Learned
    levels: dict[str, Array]  # critic -> flaws by hand that are caught, (L, P)
    searched: tuple[Searched, ...]
    rounds: tuple[Round, ...]
    untrained: Looks
    found: dict[str, Array]  # arm of the trial -> whether the judge says that an item is flawed
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All seeds."""

    length: int  # operations of a chain
    nitpicks: float  # a solution, at which critics are set in the race and the trial
    no_flaws: float  # share of edits by hand
    main: tuple[Main, ...]
    others: tuple[Learned, ...]  # before other judges
    conditions: tuple[str, ...]  # of the items of the trial
    decisions: Decisions

    @property
    def learned(self) -> dict[tuple[float, float], list[Learned]]:
        """Group critics by the judge before whom they were trained: share of facts known, trust."""
        every = [*(m.learned for m in self.main), *self.others]
        return {
            key: [x for x in every if (x.judge, x.trust) == key] for key in sorted({(x.judge, x.trust) for x in every})
        }

    @property
    def last(self) -> int:
        """Rounds of the race."""
        return max(r.round for r in self.main[0].rounds)

    def found_PS(self, arm: str, *conditions: str) -> np.ndarray:
        """Collect whether the judge says that an item is flawed, of the items in these conditions."""
        return np.array([m.found[arm] for m in self.main]).T[np.isin(self.conditions, conditions)]

    def levels_LPS(self, critic: str) -> np.ndarray:
        """Collect whether each flawed solution is caught at each level of nit-picks."""
        return np.array([m.levels[critic] for m in self.main]).transpose(1, 2, 0)

    def rounds(self, arm: str, k: int) -> list[Round]:
        """Collect one round of the race, over seeds."""
        return [r for m in self.main for r in m.rounds if (r.arm, r.round) == (arm, k)]

    def caught_PS(self, arm: str, k: int, whose: str) -> np.ndarray:
        """Collect whether the critic of a round highlights each flaw."""
        return np.array([r.caught[whose] for r in self.rounds(arm, k)], float).T


def at(some: Sequence[Learned], what: str, k: int = -1, *, minus: str = "") -> Estimate:
    """Estimate something at one point along RL, over seeds; a difference where something is taken off."""
    return mean_interval([float(x.along[what][k] - (x.along[minus][k] if minus else 0.0)) for x in some])
