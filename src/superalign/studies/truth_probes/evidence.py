"""What probes of truth read, by what they were trained and tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from superalign.kit.evidence import Estimate
from superalign.types import Record

Polarity: TypeAlias = Literal["plain", "negated", "both"]
POLARITIES: tuple[Polarity, Polarity] = ("plain", "negated")
OTHERS = "the other topics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Record):
    """One probe on one set: areas under the ROC curve, true statements against false ones."""

    topic: str  # tested on
    trained: str  # its own topic, or OTHERS
    trained_on: Polarity
    tested_on: Polarity
    layer: str  # chosen on a third of the training statements
    probe: Estimate
    shuffled: Estimate  # what 95 % of probes of shuffled labels reach there
    words: Estimate  # a bag of words, trained on the same statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor(Record):
    """What needs no training, on one topic and polarity."""

    topic: str
    polarity: Polarity
    likelihood: Estimate  # of the statement
    says: Estimate  # log-odds of True against False, when it is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All topics of one model."""

    policy: str
    topics: tuple[str, ...]
    statements: int
    readings: tuple[Reading, ...]
    floors: tuple[Floor, ...]

    def reading(self, topic: str, trained_on: Polarity, tested_on: Polarity, *, trained: str = "") -> Reading:
        """Find one reading; trained on the topic itself if nothing else is said."""
        key = (topic, trained or topic, trained_on, tested_on)
        return next(r for r in self.readings if (r.topic, r.trained, r.trained_on, r.tested_on) == key)

    def floor(self, topic: str, polarity: Polarity) -> Floor:
        """Find the floors of one topic and polarity."""
        return next(f for f in self.floors if (f.topic, f.polarity) == (topic, polarity))
