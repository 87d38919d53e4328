"""What the study of voting measures. Shape suffixes: K numbers of votes, P problems, S seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array, Estimate
from superalign.stats import crossed_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Voted:
    """Whether answers are correct, under one seed."""

    one_P: Array  # the first response
    majority_KP: Array
    random_KP: Array  # one of the voters, drawn at random: the null


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All seeds."""

    votes: tuple[int, ...]
    voted: Sequence[Voted]

    def one(self) -> Estimate:
        """Share of first responses that are correct."""
        return crossed_mean(np.array([v.one_P for v in self.voted], float).T)

    def gain(self, k: int, rule: str) -> Estimate:
        """How many more answers are correct by a rule (majority, random) than by the first response, for one number of votes."""
        return crossed_mean(np.array([getattr(v, f"{rule}_KP")[k] - v.one_P * 1.0 for v in self.voted], float).T)
