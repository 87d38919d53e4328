"""Oracles that the vault's Ladder is held against: what others say of a submission. Shape suffix: N items."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from superalign.stats.ladder import LEAST, Parts, rounded
from superalign.types import Unmeasured


@dataclass
class Exact:
    """Say the score, as a server that counts what is right does."""

    def answer(self, parts_N: Parts) -> float | Unmeasured:
        """Return the mean of the parts."""
        return float(parts_N.mean())


@dataclass
class Rounded:
    """Say the score in hundredths."""

    step: float = LEAST

    def answer(self, parts_N: Parts) -> float | Unmeasured:
        """Return the mean of the parts, rounded to a step."""
        return rounded(float(parts_N.mean()), step=self.step)


@dataclass
class Noisy:
    """Say the score with noise that is drawn anew for every question."""

    rng: np.random.Generator
    sd: float = LEAST

    def answer(self, parts_N: Parts) -> float | Unmeasured:
        """Return the mean of the parts and a normal draw."""
        return float(parts_N.mean()) + self.sd * float(self.rng.normal())


@dataclass
class Thresholdout:
    """Say the score on the items that are public unless the hidden ones disagree beyond a noisy threshold.

    Source:
        Dwork et al., The reusable holdout: preserving validity in adaptive data analysis, 2015.
    """

    public: int  # items, the first ones, whose truth is known to whoever asks
    rng: np.random.Generator
    threshold: float = 0.04
    noise: float = 0.01
    budget: int = 100  # how often the hidden items may answer
    spent: int = field(default=0, init=False)

    def answer(self, parts_N: Parts) -> float | Unmeasured:
        """Return the score on the public items, or a noisy one on the hidden items, or that the budget is used up."""
        if self.spent >= self.budget:
            return Unmeasured("used up")
        known, hidden = float(parts_N[: self.public].mean()), float(parts_N[self.public :].mean())
        first, second, third = self.rng.laplace(scale=[2 * self.noise, 4 * self.noise, self.noise])
        if abs(known - hidden) <= self.threshold + first + second:
            return known
        self.spent += 1
        return hidden + third
