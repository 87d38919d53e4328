"""What probes read of truth, of association and of what the model says, by method, training set and context."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from superalign.kit.evidence import Estimate
from superalign.types import Record

SAYS, LIKELY = "what it says", "likelihood"
AREA = "area under the ROC curve"
RULES = (", best layer", ", mean over layers")  # beside the earliest informed layer, whose readings say nothing of it


class Trained(StrEnum):
    """What a probe was fitted to, where the model was asked plainly."""

    PLAIN, BOTH, OTHERS = "plain statements", "both polarities", "the other topics"


class Context(StrEnum):
    """How the model is asked, or which one is."""

    HONEST, LYING, INNOCENT, PLANTED = "asked plainly", "told to lie", "an innocent persona", "trained to lie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Record):
    """One way of reading one topic in one context, statements and negations together: areas under the ROC curve."""

    context: str
    method: str
    trained: Annotated[str, "trained on"]  # nothing for what needs no training
    topic: str
    layer: str
    truth: Estimate
    together: Annotated[Estimate, "what goes together"]  # usually: the opposite of the truth on negations
    says: Annotated[Estimate, "what it says"]  # there, by itself
    recovered: Annotated[Estimate, "share of the way from what it says to a probe of this context"]
    chance: Annotated[Estimate, "random directions, 95 %"]  # against the truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer(Record):
    """A logistic probe of both polarities at one layer: mean over topics of the area on held-out training statements."""

    layer: int
    context: str
    area: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddness(Record):
    """How well the distance from states of plainly asked statements tells a context from plainly asked test statements."""

    topic: str
    context: str
    area: Annotated[Estimate, AREA]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All topics and contexts of one model."""

    policy: str
    contexts: tuple[str, ...]
    methods: tuple[str, ...]
    readings: tuple[Reading, ...]
    layers: tuple[Layer, ...]
    odd: tuple[Oddness, ...]

    def of(self, method: str, trained: str, context: str) -> list[Reading]:
        """Find the readings of one method, one for each topic."""
        return [r for r in self.readings if (r.method, r.trained, r.context) == (method, trained, context)]
