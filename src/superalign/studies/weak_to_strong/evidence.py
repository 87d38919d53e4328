"""What students made of weak labels, on test items, against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from superalign.kit.evidence import Estimate, above
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned(Record):
    """One way of learning from one kind of supervisor on one topic, by the students of all seeds."""

    topic: str  # of other students, who they are
    kind: Annotated[str, "from"]  # of supervisor
    way: str
    right: Annotated[Estimate, "accuracy"]
    area: Estimate  # under the ROC curve
    recovered: Annotated[Estimate, "share of the gap (accuracy)"]  # between supervisor and ceiling
    recovered_area: Annotated[Estimate, "share of the gap (area)"]
    beyond: Annotated[Estimate, "minus naive"]
    beyond_area: Annotated[Estimate, "area minus naive"]
    agrees: Annotated[Estimate, "agrees where it is right"]  # with the supervisor
    copies: Annotated[Estimate, "copies where it is wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised(Record):
    """One kind of supervisor on one topic, and what needs no learning."""

    topic: str
    kind: Annotated[str, "supervisor"]
    labels_right: Annotated[Estimate, "right on what it labels"]
    right: Annotated[Estimate, "right on test items"]
    area: Estimate
    says: Annotated[Estimate, "student, asked outright"]  # accuracy, before it is trained
    says_area: Annotated[Estimate, "area, asked outright"]
    majority: Annotated[float, "the more frequent answer"]
    better: Annotated[Estimate, "naive minus the better of both"]  # of supervisor and student asked outright

    @property
    def knows(self) -> bool:
        """Say whether the supervisor is shown to know anything."""
        return above(self.labels_right, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfacePoint(Record):
    """A naive student of four fifths of the labels at one rate and number of passes: means over kinds and seeds."""

    rate: Annotated[float, "learning rate"]
    passes: float
    held_out: Annotated[float, "loss on held-out weak labels, nats"]  # of items not trained on: what is chosen by
    right: Annotated[float, "accuracy"]
    area: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRule(Record):
    """How fast and how long students train, fixed before any truth of test items was looked at."""

    rate: float
    passes: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All topics."""

    topics: tuple[str, ...]  # ways were chosen on the first
    ways: tuple[str, ...]
    seeds: int
    rule: TrainingRule
    surface: tuple[SurfacePoint, ...]
    supervised: tuple[Supervised, ...]
    learned: tuple[Learned, ...]
    sizes: tuple[Learned, ...]  # by students of other sizes, and by all pre-trained bases with these as what is drawn

    def of(self, topic: str, kind: str, way: str) -> Learned | None:
        """Find one way, if it was tried there."""
        return next((x for x in self.learned if (x.topic, x.kind, x.way) == (topic, kind, way)), None)

    def supervisor(self, topic: str, kind: str) -> Supervised:
        """Find one supervisor."""
        return next(x for x in self.supervised if (x.topic, x.kind) == (topic, kind))
