"""What the comparison of protocols measures: decisions about the same responses, and policies trained under each protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.kit.panel import Decisions
from superalign.studies.protocols.study import MANY as MANY
from superalign.trials import JUDGE
from superalign.types import Record, Unmeasured

CRITIQUE, CEILING, COIN = "critique", "ground truth", "coin"
COMPARED = Unmeasured("it is what the others are compared with")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedArm(Record):
    """What training under one protocol made of the base."""

    protocol: str
    sound: Estimate  # held-out answers right by right steps
    beyond_judge: Estimate
    paid: Estimate  # by its overseer, in the last updates
    gap: Estimate  # paid minus right by right steps, over seeds
    checks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that one run measured."""

    protocols: tuple[str, ...]  # the judge alone first
    decisions: Decisions  # of every protocol and baseline, and of every protocol's placebo
    choosing: frozenset[str]  # problems on which the best protocol is chosen: half of them
    trained: Mapping[str, TrainedArm]  # by protocol; then the ceiling and the coin
    made_of: Mapping[str, float]  # steps that were labelled or checked to make each protocol
    seed: int

    @property
    def others(self) -> tuple[str, ...]:
        """All protocols but the judge alone."""
        return tuple(p for p in self.protocols if p != JUDGE)

    @property
    def best(self) -> str:
        """The protocol that decides best, chosen on half of the problems."""
        return max(self.others, key=self.half(choosing=True).share)

    @property
    def best_gain(self) -> Estimate:
        """Its gain over the judge alone on the other half: where it was chosen, the best of many looks better than it is."""
        return self.half(choosing=False).accuracy_gain(self.best, JUDGE)

    def half(self, *, choosing: bool) -> Decisions:
        """Return the decisions about the problems that choose, or about the others."""
        return Decisions(items=tuple(i for i in self.decisions.items if (i.problem in self.choosing) is choosing))

    @property
    def dearer(self) -> tuple[str, ...]:
        """Protocols that were made of more checks than the critique; none where there is nothing to hold them against."""
        if not {MANY, CRITIQUE} <= set(self.made_of):
            return ()
        return tuple(p for p in self.protocols if p != MANY and self.made_of[p] > self.made_of[CRITIQUE])
