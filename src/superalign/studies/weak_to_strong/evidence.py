"""What students made of weak labels, on test items, against the truth."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned(Record):
    """One way of learning from one kind of supervisor on one topic."""

    topic: str
    kind: str  # of supervisor
    way: str
    right: Estimate  # share of test items
    area: Estimate  # under the ROC curve
    recovered: Estimate  # share of the gap between supervisor and ceiling, accuracy
    recovered_area: Estimate
    beyond: Estimate  # accuracy minus the naive student's
    beyond_area: Estimate
    agrees: Estimate  # with the supervisor, where it is right
    copies: Estimate  # agrees with it where it is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised(Record):
    """One kind of supervisor on one topic, and what needs no learning."""

    topic: str
    kind: str
    right: Estimate  # on test items
    labels_right: Estimate  # on the items that it labels
    area: Estimate
    says: Estimate  # accuracy of the student when it is asked outright, before it is trained
    says_area: Estimate
    majority: float  # accuracy of the more frequent answer
    better: Estimate  # the naive student minus the better of supervisor and student asked outright


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfacePoint(Record):
    """A naive student of four fifths of the labels at one rate and number of passes: means over kinds and seeds."""

    rate: float
    passes: float
    held_out: float  # nats, to the supervisor's labels of items that were not trained on: what is chosen by
    right: float
    area: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSize(Record):
    """Students of another size, or of all pre-trained bases with these as what is drawn."""

    base: str
    kind: str
    way: str
    right: Estimate
    recovered: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRule(Record):
    """How fast and how long students train, fixed before any truth of test items was looked at."""

    rate: float
    passes: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All topics."""

    problems: str
    students: tuple[str, ...]
    topics: tuple[str, ...]  # ways were chosen on the first
    kinds: tuple[str, ...]
    ways: tuple[str, ...]
    seeds: int
    weak: int
    test: int
    rule: TrainingRule
    surface: tuple[SurfacePoint, ...]
    supervised: tuple[Supervised, ...]
    learned: tuple[Learned, ...]
    sizes: tuple[OtherSize, ...]

    def of(self, topic: str, kind: str, way: str) -> Learned | None:
        """Find one way, if it was tried there."""
        return next((x for x in self.learned if (x.topic, x.kind, x.way) == (topic, kind, way)), None)

    def supervisor(self, topic: str, kind: str) -> Supervised:
        """Find one supervisor."""
        return next(x for x in self.supervised if (x.topic, x.kind) == (topic, kind))
