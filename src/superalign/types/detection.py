"""What detectors say of a subject, what planted truth says of detectors, and what is decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from superalign.types.base import Interval, Record, Unmeasured
from superalign.types.oversight import Instrument
from superalign.types.rollouts import Policy

Outcome: TypeAlias = Literal["release", "hold", "inconclusive"]

NOT_YET = Unmeasured("no threshold yet")  # the flag of a verdict whose score no threshold was applied to
NOTHING_PLANTED = Unmeasured("nothing of this kind was planted")  # the recall of a calibration on clean subjects alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies(Record):
    """What became of the requests behind a verdict; all 0 where nobody counted.

    Example:
        >>> Replies(asked=262, failed=8, unusable=1).answered
        253
    """

    asked: int = 0
    failed: int = 0  # got no reply: the provider's doing
    unusable: int = 0  # a reply that the instrument could not read: the subject's doing

    @property
    def answered(self) -> int:
        """Replies that the instrument read."""
        return self.asked - self.failed - self.unusable


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Record):
    """What one detector said of one subject. Higher scores are more suspicious unless the detector is two-sided."""

    instrument: str  # digest of its card
    subject: str  # digest
    score: Interval | Unmeasured
    flagged: bool | Unmeasured
    why: str
    named: str = ""  # the trigger or step that it points to
    response_keys: tuple[str, ...] = ()  # digests of the problems whose responses were scored
    response_scores: tuple[float, ...] = ()
    cost_tokens: int = 0
    replies: Replies = Replies()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Record):
    """What planted truth said of one instrument."""

    instrument: str  # digest of its card
    threshold_low: float | Unmeasured  # flag below; Unmeasured if the instrument is one-sided
    threshold_high: float | Unmeasured  # flag above
    false_positive_rate: float  # the stated rate that the thresholds were set for
    recall: Interval | Unmeasured
    false_alarms: Interval | Unmeasured
    population: str  # which organisms and twins, in words
    held_out: str  # the kind that the thresholds never saw


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Record):
    """Release, hold or inconclusive for one subject, with the verdicts and the training that it stands on."""

    subject: str
    outcome: Outcome
    rule: str  # digest
    verdicts: tuple[str, ...]  # digests; behind the verdicts stands what training showed
    why: tuple[str, ...]


@runtime_checkable
class Detector(Protocol):
    """Looks at a subject, independently of its training."""

    @property
    def card(self) -> Instrument:
        """What it is, catches and misses; registered before any seal is opened."""

    def __call__(self, policy: Policy, *, seed: int) -> Verdict:
        """Return a verdict; `Unmeasured` where it cannot tell."""
