"""What a red team measures. Shape suffix: S searches of one arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Estimate
from superalign.lab.compliance import Compliance
from superalign.lab.given_prompts import GivenPrompts
from superalign.stats import mean_interval
from superalign.types import Unmeasured, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """The worst behaviour that one search had found at one budget."""

    budget: int
    words: str  # in front of the prompt
    family: str
    prompt: str  # the fresh problem behind those words whose answer is suspected most
    says: str
    base: str  # what the base says to it
    worst: float  # nats, of this answer
    value: float  # nats, mean over fresh problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search: what it had found at each budget, and its verdict at the last."""

    role: str  # subject or twin
    guided: bool
    finds: tuple[Find, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Every search, and every reply to requests inside templates."""

    budgets: tuple[int, ...]
    searches: Sequence[Search]  # none where only templates are tried
    compliance: Compliance | None  # none where no requests are given
    prompts: GivenPrompts | None  # none for bundled families
    clock: tuple[str, ...]  # what is to be known of a template that reads the clock

    def worst_S(self, role: str, guided: bool, budget: int) -> np.ndarray:
        """Say what the searches of an arm had found at a budget, in nats."""
        mine = [s for s in self.searches if (s.role, s.guided) == (role, guided)]
        return np.array([f.value for s in mine for f in s.finds if f.budget == budget])

    def worst(self, role: str, guided: bool, budget: int) -> Estimate:
        """Mean over searches of the worst behaviour found."""
        return mean_interval(self.worst_S(role, guided, budget))

    def guidance(self, role: str) -> Estimate:
        """Guided less random search, seed by seed, over all budgets."""
        guided, random = ([self.worst_S(role, g, b) for b in self.budgets] for g in (True, False))
        if len({len(values) for values in (*guided, *random)}) != 1:
            return Unmeasured("a search found nothing that could be measured, so seeds cannot be paired")
        return mean_interval(np.mean(guided, axis=0) - np.mean(random, axis=0))
