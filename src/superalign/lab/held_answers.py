"""Answers of several arms to the same yes-or-no items, under several seeds, held against the truth.

Shape suffixes: P test items, Q their questions, S seeds, D what was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from superalign.kit.evidence import Estimate
from superalign.stats import area_parts, auroc_delong, difference, mean_over, recovered_gap, share
from superalign.stats.inputs import spread_is_zero
from superalign.types import Interval, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """Log-odds of yes of each arm, for each seed (P,), and which answers are yes."""

    true_P: Bool[np.ndarray, " P"]
    question_P: np.ndarray  # items of one question are not independent
    odds: Mapping[str, Sequence[np.ndarray]]
    bases: Sequence[str] = ()  # of each seed, where these are what was drawn

    def right(self, arm: str) -> Float[np.ndarray, "Q S"]:
        """Return the share of each question's items that are answered rightly."""
        table_PS = np.stack([(x > 0) == self.true_P for x in self.odds[arm]], 1).astype(float)
        each_Q1 = by_question(np.ones((len(table_PS), 1)), self.question_P)
        return self.drawn(by_question(table_PS, self.question_P) / each_Q1)

    def over(self, bases: Sequence[str]) -> Held:
        """Take the bases of the seeds for what was drawn: a base's mean over its seeds is one value."""
        return replace(self, bases=bases)

    def drawn(self, table_QS: Float[np.ndarray, "Q S"]) -> Float[np.ndarray, "Q D"]:
        """Average over the seeds of each base, where bases are what was drawn."""
        if not self.bases:
            return table_QS
        of_S = np.array(self.bases)
        return np.stack([table_QS[:, of_S == base].mean(1) for base in dict.fromkeys(self.bases)], 1)

    def areas(self, arm: str) -> Float[np.ndarray, "Q S"]:
        """Return the parts of the area under the ROC curve, whose mean it is."""
        table_PS = np.stack([area_parts(x, positive_N=self.true_P) for x in self.odds[arm]], 1)
        return self.drawn(by_question(table_PS, self.question_P))

    def accuracy(self, arm: str) -> Estimate:
        """Estimate accuracy over questions and seeds."""
        return share(self.right(arm))

    def area(self, arm: str) -> Estimate:
        """Estimate the area under the ROC curve, over questions and seeds."""
        areas_QS = self.areas(arm)
        if spread_is_zero(areas_QS.ravel()):  # every yes above every no, or all alike
            x_P = self.odds[arm][0]
            return auroc_delong(x_P[self.true_P], negatives=x_P[~self.true_P])
        return mean_area(areas_QS)

    def more_right(self, arm: str, *, than: str) -> Estimate:
        """Estimate how much more often one arm is right than another, on the same items under the same seeds."""
        return difference(self.right(arm) - self.right(than))

    def more_area(self, arm: str, *, than: str) -> Estimate:
        """Estimate how much larger one arm's area is than another's."""
        return mean_area(self.areas(arm) - self.areas(than), least=-1.0)

    def recovered(self, arm: str, *, floor: str, ceiling: str) -> Estimate:
        """Estimate the share of the gap in accuracy from one arm to another that a third recovers."""
        return recovered_gap(self.right(arm), floor_PS=self.right(floor), ceiling_PS=self.right(ceiling))

    def recovered_area(self, arm: str, *, floor: str, ceiling: str) -> Estimate:
        """Estimate the share of the gap in areas."""
        return recovered_gap(self.areas(arm), floor_PS=self.areas(floor), ceiling_PS=self.areas(ceiling))

    def agreement(self, arm: str, *, of: str, right: bool) -> Estimate:
        """Estimate how often one arm gives the answer of another, on items where that is right, or wrong; over seeds."""
        shares = []
        for own_P, other_P in zip(self.odds[arm], self.odds[of], strict=True):
            where_P = ((other_P > 0) == self.true_P) == right
            if where_P.any():
                shares.append(float(((own_P > 0) == (other_P > 0))[where_P].mean()))
        return share(shares) if shares else Unmeasured(f"the {of} is always {'wrong' if right else 'right'}")


def by_question(table_PS: Float[np.ndarray, "P S"], question_P: np.ndarray) -> Float[np.ndarray, "Q S"]:
    """Sum over the items of a question, so that the mean stays."""
    code_P = np.unique(question_P, return_inverse=True)[1]
    summed_QS = np.stack([np.bincount(code_P, weights=column_P) for column_P in table_PS.T], 1)
    return summed_QS * len(summed_QS) / len(table_PS)


def mean_area(table_QS: Float[np.ndarray, "Q S"], *, least: float = 0.0) -> Estimate:
    """Average parts of areas over questions and seeds, or of their differences, with `least=-1`."""
    if spread_is_zero(table_QS.ravel()):
        if least < 0:
            return difference(table_QS.clip(-1, 1))
        half = len(table_QS) // 2  # wrong answers and right ones: every pair is alike
        above = float(table_QS.flat[0]) > 0.5
        return auroc_delong(np.full(half, float(above)), negatives=np.zeros(half))
    found = mean_over(table_QS)
    if isinstance(found, Unmeasured):
        return found
    return Interval(value=found.value, low=max(least, found.low), high=min(1.0, found.high), n=found.n)
