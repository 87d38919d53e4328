"""What was taught with easy and with hard problems, and how it does on hard ones."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.types import Interval, Record, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm(Record):
    """One role, taught one way, tested on hard problems, or on those of one number of operations."""

    topic: str
    role: str
    measure: str  # of hardness
    arm: str
    level: int  # operations of the test problems; 0 for all hard ones
    n: int  # problems that were taught, mean over seeds
    # Generator: share written in full, or likelier than with a flaw; evaluator: area under the ROC curve.
    score: Estimate
    recovered: Estimate  # share of the gap between the student before it was taught and the hard-taught one
    less: Estimate  # score minus that of the hard-taught one
    picks: Estimate  # evaluator: how often the best of some candidates is the right one

    @property
    def lost(self) -> Estimate:
        """What is lost beside the hard-taught one."""
        x = self.less
        return x if isinstance(x, Unmeasured) else Interval(value=-x.value, low=-x.high, high=-x.low, n=x.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Record):
    """How often a generator writes one step rightly, of the longest problems, given right ones before it."""

    topic: str
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
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was measured."""

    problems: str
    students: tuple[str, ...]
    topics: tuple[str, ...]
    measures: tuple[str, ...]
    seeds: int
    easy: int
    hard: int  # hard test problems, or texts, of the first topic
    candidates: int  # that an evaluator chooses the right one among
    arms: tuple[Arm, ...]
    steps: tuple[Step, ...]
    agreements: tuple[Agreement, ...]

    def of(self, topic: str, role: str, arm: str, measure: str = "", level: int = 0) -> Arm | None:
        """Find one arm; by the first measure if none is named, and on all hard problems if no level is."""
        key = (topic, role, arm, measure or self.measures[0], level)
        return next((a for a in self.arms if (a.topic, a.role, a.arm, a.measure, a.level) == key), None)
