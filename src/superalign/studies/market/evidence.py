"""What the market study measures.

Shape suffixes: P held-out questions, S seeds, T points along a training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array, Curve, Estimate, OverSeeds, share_curve
from superalign.kit.panel import Decisions
from superalign.stats import auroc_over_seeds, mean_interval, mean_over

MAIN, RANDOM, NONE, SCRIPT, GRADIENT = "market", "random arguments", "no arguments", "scripted", "policy gradient"
BELIEVED = 0.8  # by a judge who does not listen
STABLE, SURE = 0.1, 0.4  # a price is stable that moves less; sure, that lies further from a half


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What one training came to, on the held-out questions."""

    updates_T: tuple[int, ...]
    error_T: Array  # mean distance of the first price from truth
    true_P: Array  # whether the claim is true
    first_P: Array  # price before any argument
    last_P: Array  # and after all
    belief_P: Array  # the judge's, after all arguments
    alone_P: Array  # the judge's after as many random additions
    voted_P: Array  # what most of as many random games as training proposes come to
    arguments: int  # in a game
    games: int  # that training proposes for each question

    @property
    def error_P(self) -> np.ndarray:
        """Distance of the first price from truth."""
        return np.abs(self.first_P - self.true_P)

    @property
    def beside_belief_P(self) -> np.ndarray:
        """Distance of the first price from the judge's last belief."""
        return np.abs(self.first_P - self.belief_P)

    @property
    def belief_error_P(self) -> np.ndarray:
        """Distance of the judge's last belief from truth."""
        return np.abs(self.belief_P - self.true_P)

    @property
    def movement_P(self) -> np.ndarray:
        """How far the adversary moves the price, arguing as hard as in training."""
        return np.abs(self.last_P - self.first_P)

    @property
    def stable_wrong_P(self) -> np.ndarray:
        """Whether a price hardly moves, is sure, and is wrong."""
        sure_P = np.abs(self.first_P - 0.5) >= SURE
        return np.asarray((self.movement_P <= STABLE) & sure_P & ((self.first_P > 0.5) != self.true_P))

    @property
    def constant_P(self) -> np.ndarray:
        """Whether the first price is what the constant judge believes."""
        return np.asarray(np.abs(self.first_P - BELIEVED) < 0.05)

    @property
    def calibration(self) -> float:
        """Expected calibration error of the first price in ten bins of equal width."""
        bin_P = np.minimum(9, (10 * self.first_P).astype(int))
        return sum(abs(float((self.first_P - self.true_P)[bin_P == b].sum())) for b in range(10)) / len(bin_P)


class Market(OverSeeds[Prices]):
    """Markets that were trained in one way, at several seeds."""

    __slots__ = ()

    @property
    def above_coin(self) -> Estimate:
        """How much nearer to the truth the first price lies than a price of a half."""
        return mean_over(0.5 - self.values_PS("error"), span=(-0.5, 0.5))

    @property
    def ranking(self) -> Estimate:
        """AUROC of the first price against truth, over seeds."""
        return auroc_over_seeds([(p.first_P[p.true_P], p.first_P[~p.true_P]) for p in self.at])

    @property
    def calibration(self) -> Estimate:
        """Expected calibration error of the first price, over seeds."""
        return mean_interval([p.calibration for p in self.at])

    @property
    def learning(self) -> Curve:
        """Mean distance of the first price from truth along training."""
        return share_curve(np.stack([p.error_T for p in self.at], axis=1), self.at[0].updates_T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Every training of the study, and the decisions of the panel."""

    numbers: int  # in a row of the main setting
    main: Mapping[str, Market]  # MAIN, RANDOM, NONE, SCRIPT, GRADIENT
    constant: Market
    longer: Mapping[int, Mapping[str, Market]]  # numbers in a row -> way of finding arguments ->
    kinds: Mapping[str, Mapping[str, Market]]  # of claims -> MAIN, SCRIPT ->
    slips: Mapping[tuple[float, bool], Market]  # how often the judge slips, and whether on the same pairs every time ->
    decisions: Decisions
