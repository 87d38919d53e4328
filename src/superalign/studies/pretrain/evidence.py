"""What a base can do before and after its pre-training."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.stats import clopper_pearson
from superalign.types import Interval, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Record):
    """One ability."""

    name: str  # what is done, family, difficulty
    share: float  # of test problems; of a truth probe its AUROC
    untrained: float  # the same, of the network before training
    n: int  # different problems
    gate: float
    gated: bool  # the hard half of a dial has no gate

    @property
    def found(self) -> Interval:
        """The share with its interval. An AUROC is no count: where the interval of one does not reach it, it is its own end."""
        around = clopper_pearson(round(self.share * self.n), n=self.n)
        assert isinstance(around, Interval)  # n is positive
        low, high = min(around.low, self.share), max(around.high, self.share)
        return Interval(value=self.share, low=low, high=high, n=self.n)

    @property
    def null(self) -> Estimate:
        """The share of the network before training."""
        return clopper_pearson(round(self.untrained * self.n), n=self.n)

    @property
    def passed(self) -> bool:
        """Whether the share reaches the gate."""
        return self.share >= self.gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Every ability, by name."""

    abilities: tuple[Measured, ...]
    gate: float

    @property
    def gated(self) -> tuple[Measured, ...]:
        """The abilities that must reach a gate."""
        return tuple(a for a in self.abilities if a.gated)
