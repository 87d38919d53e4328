"""What the study of prompted models measures: every decision of each protocol's panel, and what stood before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from superalign.kit.evidence import Estimate
from superalign.kit.panel import Decisions
from superalign.lab.people_page import OnePerson
from superalign.stats import share
from superalign.studies.prompted.study import Config
from superalign.trials import Item, agent_score_difference
from superalign.types import Unmeasured

NEVER = Unmeasured("no decision in both orders")
Belief: TypeAlias = float | Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision, and what stood before it."""

    item: Item
    sides: tuple[str, ...] = ()  # argued for before it: right, wrong, or empty for neither
    orders: tuple[Belief, Belief] | None = None  # where it was asked in both


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Every decision of one protocol's panel."""

    decided: tuple[Decided, ...]
    decisions: Decisions  # the same

    def under(self, arm: str) -> list[Decided]:
        """Return every decision of an arm."""
        return [d for d in self.decided if d.item.arm == arm]

    def pays(self, arm: str) -> Estimate:
        """Log-probability that the judge gives the side argued for, when it is true minus when it is false, in nats."""
        honest, lying = list[Item](), list[Item]()
        for d in self.under(arm):
            p = d.item.probability
            for side in d.sides if not isinstance(p, Unmeasured) else ():
                earned = p if side == "right" else 1 - float(p)
                into = honest if (side == "right") == d.item.truth else lying
                into.append(replace(d.item, truth=True, behaviour=side, probability=earned))
        return agent_score_difference(honest, lying)

    def flips(self, arm: str) -> tuple[Estimate, Belief, int]:
        """Share of decisions that flip with the order, mean shift of the probability, and how many were made in both orders."""
        pairs = [d.orders for d in self.under(arm) if d.orders]
        both = [(a, b) for a, b in pairs if not isinstance(a, Unmeasured) and not isinstance(b, Unmeasured)]
        if not both:
            return NEVER, NEVER, 0
        flips = [(a > 0.5) != (b > 0.5) for a, b in both]
        return share(flips), float(np.mean([a - b for a, b in both])), len(both)

    def silences(self, arm: str) -> list[tuple[str, int, int]]:
        """Return the commonest reasons why decisions could not be made: why, how often, of how many."""
        probabilities = [d.item.probability for d in self.under(arm)]
        why = Counter(p.why for p in probabilities if isinstance(p, Unmeasured))
        return [(reason, count, len(probabilities)) for reason, count in why.most_common(4)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ByModel:
    """A panel for each protocol, all on the same responses."""

    config: Config
    nobody: bool  # the judge has random weights
    same: bool  # judge and agent have the same weights
    asked: int  # responses that were drawn
    spent: int  # tokens read and written by assistants
    logged: bool  # transcripts were written as Inspect logs
    panels: Mapping[str, Panel]  # protocol -> its panel

    @property
    def first(self) -> Panel:
        """A panel that holds the arms without a protocol, which are the same in all."""
        return next(iter(self.panels.values()))

    @property
    def judged(self) -> int:
        """Responses that were judged before the budget was spent."""
        return len({d.item.problem for d in self.first.decided})


@dataclass(frozen=True, slots=True, kw_only=True)
class ByPerson:
    """What a person decided."""

    config: Config
    responses: int
    person: OnePerson


Evidence: TypeAlias = ByModel | ByPerson
