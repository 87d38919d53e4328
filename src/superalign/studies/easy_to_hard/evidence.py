"""What was taught with easy and with hard problems, and how it does on hard ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from superalign.kit.evidence import Estimate
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm(Record):
    """One role, taught one way, tested on hard problems, or on those of one number of operations."""

    topic: str
    role: str
    measure: Annotated[str, "hard by"]
    arm: Annotated[str, "taught"]
    level: int  # operations of the test problems; 0 for all hard ones
    n: Annotated[int, "problems"]  # that were taught, mean over seeds
    # Generator: share written in full, or likelier than with a flaw; evaluator: area under the ROC curve.
    score: Annotated[Estimate, "score on hard ones"]
    # Between the student before it was taught and the hard-taught one.
    recovered: Annotated[Estimate, "share of the gap"]
    less: Annotated[Estimate, "minus hard-taught"]
    picks: Annotated[Estimate, "right of the candidates"]  # evaluator: how often the best of some is the right one


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Record):
    """How often a generator writes one step rightly, of the longest problems, given right ones before it."""

    arm: str
    step: int
    right: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement(Record):
    """How far two measures of hardness agree on the same problems."""

    topic: str
    one: str
    other: str
    rank_correlation: float
    n: Annotated[int, "problems"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was measured."""

    topics: tuple[str, ...]
    measures: tuple[str, ...]
    seeds: int
    easy: int = 0  # most operations of an easy problem; of texts there is no such number
    hard: int  # hard test problems, or texts, of the first topic
    candidates: int  # that an evaluator chooses the right one among
    arms: tuple[Arm, ...]
    steps: tuple[Step, ...] = ()
    agreements: tuple[Agreement, ...]

    def of(self, topic: str, role: str, arm: str) -> Arm | None:
        """Find one arm, by the first measure and on all hard problems."""
        key = (topic, role, arm, self.measures[0], 0)
        return next((a for a in self.arms if (a.topic, a.role, a.arm, a.measure, a.level) == key), None)
