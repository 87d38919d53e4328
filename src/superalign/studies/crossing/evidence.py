"""What two models that were trained in different ways say of the same test items, and what their disagreement tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from superalign.kit.evidence import Estimate
from superalign.lab.exposed_pairs import Exposed, Planted
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained(Record):
    """The students of one kind of labels."""

    technique: str
    by: Annotated[str, "labels by"]  # supervisor, or writer
    labels_right: Estimate
    right: Annotated[Estimate, "accuracy"]
    area: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator(Record):
    """How well something says where one member of a pair is wrong."""

    of: str  # first, second
    name: str
    area: Estimate
    less: Estimate  # area of the other member's opposition minus this one's
    dealt: Estimate  # the same of the other's answers, dealt anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing(Record):
    """One model by generalization and one by oversight, at all seeds."""

    first: Annotated[str, "generalization"]
    second: Annotated[str, "oversight"]
    differ: Annotated[Estimate, "they disagree"]  # share of test items
    third: Annotated[Estimate, "first and a third run"]  # of its own technique
    itself: Annotated[Estimate, "first and itself"]
    first_right: Annotated[Estimate, "of disagreements, the first is right"]
    validators: tuple[Validator, ...]

    def named(self, member: str) -> str:
        """Name the case that one member is wrong."""
        return f"{self.first}, with {self.second}" if member == "first" else f"{self.second}, with {self.first}"

    def of(self, member: str, name: str) -> Validator:
        """Find one validator."""
        return next(v for v in self.validators if (v.of, v.name) == (member, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Example(Record):
    """A test item on which a pair disagrees: log-odds of true."""

    first: str
    second: str
    text: str
    true: bool
    odds: tuple[float, float, float]  # of the first, the second and the first's third run


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated(Record):
    """Subjects of one kind and role that took the first seat: how many were flagged by whom."""

    kind: str
    role: str
    n: int
    flagged: tuple[tuple[str, int], ...]
    wrong: float  # share of the asked claims, mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All pairs."""

    topic: str
    seeds: int
    test: int
    checks: int
    rate: float  # of false alarms, asked for
    trained: tuple[Trained, ...]
    pairings: tuple[Pairing, ...]
    examples: tuple[Example, ...]
    sizes: tuple[float, ...]
    planted: tuple[Planted, ...]
    exposed: tuple[Exposed, ...]
    seated: tuple[Seated, ...]
