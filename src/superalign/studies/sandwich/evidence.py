"""What the sandwich study measures: every decision of the panel, and of judges crossed with agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from superalign.kit.evidence import Estimate
from superalign.kit.panel import Decisions
from superalign.lab.people_page import OnePerson
from superalign.studies.sandwich.study import Config
from superalign.trials import AGENT, JUDGE, PROTOCOL, Item

COMBINED, COPY, MORE = "best fixed combination", "asks a copy of the judge", "judge alone, one check more"
LYING, HOSTILE = "asks an agent told to lie", "asks an adversary who knows"
OWN_PLACEBO = "placebo, with practice of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One judge with one agent."""

    temperature: float
    k: int  # the judge's checks
    solved: float  # share of chains that the agent works out rightly
    decisions: Decisions

    def gains(self) -> tuple[Estimate, Estimate]:
        """Gain of both together over the better of judge and agent, and over the best fixed combination."""
        return self.decisions.gain_over_best(PROTOCOL, (JUDGE, AGENT)), self.decisions.accuracy_gain(PROTOCOL, COMBINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByScript:
    """The panel, and judges crossed with agents."""

    config: Config
    solved: float  # share of chains that the agent works out rightly
    decisions: Decisions
    cells: tuple[Cell, ...]  # those of the panel's own temperature first

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Of the agents in the cells."""
        return tuple(dict.fromkeys(c.temperature for c in self.cells))

    def outcomes(self) -> list[tuple[str, list[Item]]]:
        """Say what the judge came to after the dialogue, and the decisions then; the commonest first."""
        by: dict[str, list[Item]] = {}
        for i in self.decisions.items:
            if i.arm == PROTOCOL:
                by.setdefault(i.transcript, []).append(i)
        return sorted(by.items(), key=lambda pair: -len(pair[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ByPerson:
    """What a person decided."""

    config: Config
    solved: float  # share of chains that the agent works out rightly
    person: OnePerson


Evidence: TypeAlias = ByScript | ByPerson
