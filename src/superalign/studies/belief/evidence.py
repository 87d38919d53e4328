"""What probes read of truth, of association and of what the model says, by method, training set and context."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.types import Record

PLAIN, BOTH, OTHERS = "plain statements", "both polarities", "the other topics"
HONEST, LYING, INNOCENT, PLANTED = "asked plainly", "told to lie", "an innocent persona", "trained to lie"
SAYS, LIKELIHOOD = "what it says", "likelihood"
RULES = (", best layer", ", mean over layers")  # beside the earliest informed layer, whose readings say nothing of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Record):
    """One way of reading one topic in one context, statements and negations together: areas under the ROC curve."""

    method: str
    trained: str  # on what; nothing for what needs no training
    topic: str
    context: str
    layer: str
    truth: Estimate
    together: Estimate  # against what usually goes together: the opposite of the truth on negations
    says: Estimate  # against what the model itself says there
    recovered: Estimate  # share of the way from what it says to a probe that was fitted in this very context
    chance: Estimate  # what 95 % of random directions reach against the truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer(Record):
    """A logistic probe of both polarities at one layer: mean over topics of the area on held-out training statements."""

    layer: str
    context: str
    area: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddness(Record):
    """How well the distance from states of plainly asked statements tells a context from plainly asked test statements."""

    topic: str
    context: str
    area: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All topics and contexts of one model."""

    policy: str
    topics: tuple[str, ...]
    pairs: int  # of all topics
    contexts: tuple[str, ...]
    methods: tuple[str, ...]
    readings: tuple[Reading, ...]
    layers: tuple[Layer, ...]
    odd: tuple[Oddness, ...]

    def of(self, method: str, trained: str, context: str) -> list[Reading]:
        """Find the readings of one method, one for each topic."""
        return [r for r in self.readings if (r.method, r.trained, r.context) == (method, trained, context)]
