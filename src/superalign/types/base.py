"""What every noun is made of: a record that names itself, a value with its interval or the reason why there is none, a claim."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.canonical import Record as Record
from superalign.canonical import Unmeasured as Unmeasured
from superalign.canonical import canonical_json as canonical_json
from superalign.canonical import digest_of as digest_of
from superalign.canonical import rebuild as rebuild
from superalign.canonical import to_plain as to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval(Record):
    """A value with the interval around it (95 % unless a name says otherwise) and the number of units behind it."""

    value: float
    low: float
    high: float
    n: int

    def excludes(self, point: float) -> bool:
        """Say whether the interval lies wholly on one side of a point."""
        return self.low > point or self.high < point


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Record):
    """One finding of a study, with its interval, its size and its null control."""

    name: str
    value: float | Unmeasured
    low: float | Unmeasured
    high: float | Unmeasured
    n: int
    unit: str
    null: Interval | Unmeasured
    holds: bool | Unmeasured
    why: str
