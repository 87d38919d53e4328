"""What the study of trained critics measures.

Shape suffixes: P test items, S seeds, L levels of nit-picks, T points along RL. A nit-pick is a highlighted step that is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array
from superalign.kit.panel import Decisions
from superalign.lab.critic_race import Race
from superalign.lab.critic_reward import Learned
from superalign.trials.oversight_panel import Item

LEVELS = (0.05, 0.1, 0.25, 0.5, 1.0)  # nit-picks a solution at which critics are held against each other
SUPERVISED, RL, RANDOM, CHECKS = "supervised", "RL", "random highlights", "checks as labels"
SUPERVISED_SEARCH, RL_SEARCH, AGAIN = "supervised + search", "RL + search", "supervised, drawn again"
CLEAN, BY_HAND, PLANTED, PLACEBO_EDIT = CONDITIONS = ("clean", "flaw by hand", "trained planter's flaw", "placebo edit")
# Arms of the trial: who says which step the judge checks; those of the standard panel have its names.
CHANCE, FIRST, SEARCHED = "random step", "supervised critic", "RL critic + search"
RETRAINED, BY_HANDS, ORACLE = "retrained critic", "critic retrained on flaws by hand", "oracle's critique"
TAUGHT = "RL critic, before the judge it was trained on"


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
class Main:
    """Everything of one seed in the main setting."""

    learned: Learned
    levels: dict[str, Array]  # critic -> flaws by hand that are caught, (L, P)
    searched: tuple[Searched, ...]
    race: Race
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

    def found_PS(self, arm: str, *conditions: str) -> np.ndarray:
        """Collect whether the judge says that an item is flawed, of the items in these conditions."""
        return np.array([m.found[arm] for m in self.main]).T[np.isin(self.conditions, conditions)]

    def levels_LPS(self, critic: str) -> np.ndarray:
        """Collect whether each flawed solution is caught at each level of nit-picks."""
        return np.array([m.levels[critic] for m in self.main]).transpose(1, 2, 0)
