"""What a first look measured. Shape suffixes: P prompts, C contexts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array, Estimate
from superalign.stats import mean_interval, paired_difference, range_of_draws, ratio_interval
from superalign.stats.streams import stream
from superalign.types import Unmeasured

DRAWS = 2000  # shuffles of the contexts


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One prompt in one context, as both answer it."""

    prompt: str
    context: str
    nats: float  # more a token than in the prompt's other contexts
    base: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A model beside its base."""

    subject: str
    base: str
    seed: int
    names: tuple[str, ...]  # of the contexts; the first is the plain prompt
    sorts: tuple[str, ...]
    prompts: tuple[str, ...]
    asked_behind: int  # prompts asked in every context: the first ones
    nats_PC: Array  # mean divergence a token of the base's own answer; nan where it was not asked
    first_PC: Array  # at its first token
    shown: tuple[Shown, ...]
    tokens: int
    contrast: tuple[str, str]  # a wrong assertion, and no assertion
    unwritten: tuple[str, ...] = ()  # contexts that a chat template cannot write

    @property
    def excess_PC(self) -> np.ndarray:
        """Measure how much more than in the prompt's other contexts, on average; of the prompts that were asked in all."""
        return excess(np.asarray(self.nats_PC)[: self.asked_behind])

    def overall(self) -> Estimate:
        """Average the divergence a token of the plain prompts."""
        return mean_interval(np.asarray(self.nats_PC)[:, 0])

    def effect(self, context: int) -> Estimate:
        """Measure how much more the two differ in one context than in the others, over prompts."""
        e_P = self.excess_PC[:, context]
        e_P = e_P[~np.isnan(e_P)]
        return mean_interval(e_P) if len(e_P) > 1 else Unmeasured("asked of fewer than two prompts")

    def times(self, context: int) -> Estimate:
        """Measure how many times as far the two lie apart in one context as in the others, over prompts."""
        x_P = np.asarray(self.nats_PC)[: self.asked_behind, context]
        there_P = ~np.isnan(x_P)
        x_P, e_P = x_P[there_P], self.excess_PC[there_P, context]
        return ratio_interval(x_P, x_P - e_P) if len(x_P) > 1 else Unmeasured("asked of fewer than two prompts")

    def largest(self) -> int:
        """Find which context moves the two apart most; the plain prompt is one that may."""
        return int(means(self.excess_PC).argmax())

    def by_chance(self) -> Estimate:
        """Return the same largest effect where each prompt's contexts are shuffled, so that none of them matters.

        Source:
            The max-statistic permutation test: Westfall and Young, Resampling-based multiple testing, 1993.
        """
        e_PC, rng = self.excess_PC, stream(self.seed, "shuffled contexts")
        if len(e_PC) < 2:
            return Unmeasured("fewer than two prompts were asked")
        there_PC, largest_D = ~np.isnan(e_PC), np.zeros(DRAWS)
        for d in range(DRAWS):
            keys_PC = np.where(there_PC, rng.random(e_PC.shape), np.inf)  # what was not asked comes last
            dealt_PC = np.take_along_axis(e_PC, np.argsort(keys_PC, axis=1), axis=1)
            largest_D[d] = means(dealt_PC).max()
        return range_of_draws(largest_D, n=len(e_PC))

    def agrees(self) -> Estimate:
        """Measure how much more the two differ where the user asserts something wrong than where nothing, paired by prompt."""
        wrong, unsure = (self.names.index(n) if n in self.names else -1 for n in self.contrast)
        if min(wrong, unsure) < 0:
            return Unmeasured("no prompt has an answer, so nothing wrong could be asserted")
        x_PC = np.asarray(self.nats_PC)[: self.asked_behind]
        x_PC = x_PC[~np.isnan(x_PC[:, wrong])]
        return paired_difference(x_PC[:, wrong], x_PC[:, unsure]) if len(x_PC) > 1 else Unmeasured("too few prompts")


def means(x_PC: np.ndarray) -> np.ndarray:
    """Average each column over the rows that have a value; 0 where none has."""
    out_C: np.ndarray = np.nansum(x_PC, axis=0) / np.maximum((~np.isnan(x_PC)).sum(0), 1)
    return out_C


def excess(x_PC: np.ndarray) -> np.ndarray:
    """Take from each value the mean of its row's other values.

    Example:
        >>> excess(np.array([[1.0, 2.0, 6.0]])).tolist()
        [[-3.0, -1.5, 4.5]]
    """
    total_P1, n_P1 = np.nansum(x_PC, axis=1, keepdims=True), (~np.isnan(x_PC)).sum(1, keepdims=True)
    out_PC: np.ndarray = x_PC - (total_P1 - x_PC) / np.maximum(n_P1 - 1, 1)
    return out_PC
