"""What the debate study measures.

Shape suffixes: T checkpoints of training, N held-out chains, S seeds; O whether the agent who speaks first, or
alone, argues for the true value (0) or for the false one (1). Probabilities are the judge's, of the true value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array, Estimate
from superalign.kit.panel import Decisions
from superalign.lab.players import OpenChoice, Strengths
from superalign.stats import difference, share
from superalign.trials.oversight_panel import Item, verdicts
from superalign.types import Unmeasured

DEBATE, AT_RANDOM = "debate", "random midpoints"
CONSULT, CONSULT_OPEN, OPEN = (
    "consultancy, side assigned",
    "consultancy, agent chooses",
    "debate, agent chooses its side",
)
CANDID, RANDOM = "debate of untrained but candid debaters", "debate with random midpoints"
UNTRAINED = "debate before training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Main:
    """The main setting at one seed."""

    stages: tuple[int, ...]  # updates of players
    along: dict[str, Array]  # debate, and consultancy with the side assigned -> (T, O, N)
    controls: dict[str, Array]  # placebo and random midpoints -> (O, N)
    open_choice: dict[str, OpenChoice]  # protocol ->
    strengths: Strengths
    read_right: tuple[float, ...]  # share of segments that the debaters read right, longest first
    items: tuple[Item, ...]  # after training


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One judge and one critic of the sweep."""

    judge: float  # share of facts that it knows
    critic: float  # share of chains that the debaters read right
    right: dict[str, Array]  # debate, judge, agent, random midpoints -> decisions that are right, (N, S)

    @property
    def lead(self) -> float:
        """How much more often the agent is right than the judge."""
        return float(self.right["agent"].mean() - self.right["judge"].mean())

    @property
    def gain_NS(self) -> np.ndarray:
        """What a debate adds to the judge alone."""
        return np.asarray(self.right[DEBATE] - self.right["judge"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was measured."""

    length: int
    main: tuple[Main, ...]  # one for each seed
    decisions: Decisions
    cells: tuple[Cell, ...]
    responses: Decisions | None  # about worked responses

    def along_TSON(self, protocol: str) -> np.ndarray:
        """Collect the probabilities along training."""
        return np.array([m.along[protocol] for m in self.main]).swapaxes(0, 1)

    def control_SON(self, arm: str) -> np.ndarray:
        """Collect the probabilities under one control of the debates."""
        return np.array([m.controls[arm] for m in self.main])

    @property
    def open_choice(self) -> dict[str, list[OpenChoice]]:
        """Collect agents who choose their side, by protocol."""
        return {name: [m.open_choice[name] for m in self.main] for name in self.main[0].open_choice}

    @property
    def strengths(self) -> list[Strengths]:
        """Collect the games of debaters against each other."""
        return [m.strengths for m in self.main]


def won(true_SON: np.ndarray) -> Estimate:
    """Return the share of decided debates that the honest side wins, over seeds; unmeasured where some seed decided none."""
    decided = [x[x != 0.5] for x in verdicts(true_SON)]
    none = sum(not len(x) for x in decided)
    if none:
        return Unmeasured(f"no debate was decided under {none} of {len(decided)} seeds")
    return share([float(x.mean()) for x in decided])


def order(true_SON: np.ndarray) -> Estimate:
    """Decisions that are right with the honest side first, minus those with the lying side first."""
    right_SON = verdicts(true_SON)
    return difference((right_SON[:, 0] - right_SON[:, 1]).T)


def right_NS(true_SON: np.ndarray) -> np.ndarray:
    """Return the share of decisions about each chain that are right."""
    return np.asarray(verdicts(true_SON).mean(1).T)


def truth_earns_NS(true_SON: np.ndarray) -> np.ndarray:
    """Return the log-probability that an agent's claim earns when it is true, minus when it is false, in nats."""
    return np.asarray((np.log(true_SON[:, 0]) - np.log(1 - true_SON[:, 1])).T)
