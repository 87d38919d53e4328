"""What every arm makes of the same statements, in two polarities where there are two."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.types import Record

JUDGE = "judge alone"
HEARD = ("agent alone", "voting", "sandwiching", "critique", "debate", "consultancy")
TUNED = ("tuned on labels", "tuned by reward")
HEAD, LIKELIHOOD, LENGTH = "trained head", "likelihood", "length"
ARMS = (JUDGE, *HEARD, *TUNED, HEAD, LIKELIHOOD, LENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Record):
    """One arm on the test statements of one group: statements, negations, answers or solutions."""

    arm: str
    group: str
    area: Estimate  # under the ROC curve, true against false
    shuffled: Estimate  # what 95 % of shuffles of the labels reach
    said: Estimate  # share that is right as it is said: True where its log-odds are above 0
    fitted: Estimate  # share that is right at the threshold of the training statements
    beyond: Estimate  # area minus the judge's
    placebo: Estimate  # the same of what was said of other statements; of a judge or a head fitted to shuffled labels
    of_gap: Estimate  # share of the way from the judge to the head


@dataclass(frozen=True, slots=True, kw_only=True)
class Example(Record):
    """One test statement, and what was said of it."""

    text: str
    right: str  # True or False
    said: tuple[str, str, str]  # a thought, and why it may be true, and false


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All arms on all groups."""

    policy: str
    agent: str
    topics: tuple[str, ...]
    groups: tuple[str, ...]
    fitted_to: int  # statements that the head was fitted to, and judges were tuned on
    updates: int  # of a tuned judge
    train: int
    test: int
    written: int  # tokens
    found: tuple[Found, ...]
    examples: tuple[Example, ...]

    def of(self, arm: str, group: str) -> Found:
        """Find one arm on one group."""
        return next(f for f in self.found if (f.arm, f.group) == (arm, group))
