"""What the amplification study measures.

Shape suffixes: D depths, P held-out rows of questions, S seeds, T points along a training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array, Curve, Estimate
from superalign.lab.trained import TrainedAgainst
from superalign.stats import all_equal, difference, mean_interval, mean_over, ratio_interval, share
from superalign.studies.amplification.study import Config
from superalign.types import Unmeasured

AMPLIFIED, DIRECT = "amplified", "direct"
GOOD = 0.05  # error at every depth that counts as learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """One X, and how it came to its answers."""

    wrong: tuple[Array, ...]  # depth -> share of wrong answers in each held-out row, (P,)
    questions_T: tuple[int, ...]  # put to the overseer so far
    error_TD: Array
    questions: int  # put to the overseer
    asked: int  # put to X by the overseer
    starts: int  # until an X came to agree with the overseer

    @property
    def learned_at(self) -> int | None:
        """Questions after which no measured error at any depth is above the bar again; None if that never comes."""
        above = np.flatnonzero(self.error_TD.max(1) > GOOD)
        after = int(above[-1]) + 1 if len(above) else 0
        return self.questions_T[after] if after < len(self.questions_T) else None


@dataclass(frozen=True, slots=True)
class Learners:
    """X under one overseer, at several seeds."""

    at: tuple[Learned, ...]

    @property
    def deepest(self) -> int:
        """The largest depth; the smallest is 0."""
        return len(self.at[0].wrong) - 1

    def errors_PS(self, depth: int) -> np.ndarray:
        """Return the share of wrong answers per held-out row and seed."""
        return np.stack([x.wrong[depth] for x in self.at], axis=1)

    def error(self, depth: int) -> Estimate:
        """Return the share of wrong answers at one depth."""
        return share(self.errors_PS(depth))

    def right(self, depth: int) -> Estimate:
        """Return the share of correct answers at one depth."""
        return share(1 - self.errors_PS(depth))

    def more_wrong(self, depth: int, *, than: Learners) -> Estimate:
        """Measure how many more answers are wrong than under another overseer, paired by row and seed."""
        return difference(self.errors_PS(depth) - than.errors_PS(depth))

    def saved(self, depth: int, *, expected: float) -> Estimate:
        """Measure how far the error lies below the one that is expected."""
        return mean_over(expected - self.errors_PS(depth), span=(expected - 1.0, expected))

    @property
    def growth(self) -> Estimate:
        """Slope of error against depth, over seeds; over questions where there was no error."""
        error_DS = np.array([[wrong_P.mean() for wrong_P in x.wrong] for x in self.at]).T
        x_D = np.arange(self.deepest + 1) - self.deepest / 2
        if not error_DS.any():
            # The steepest line: errors alone in the deeper half, none in the other.
            steepest = float(np.abs(x_D).sum() / 2 / (x_D**2).sum())
            return all_equal(0.0, n=len(self.at[0].wrong[-1]), span=(-steepest, steepest))
        return mean_interval(np.polyfit(x_D, error_DS, 1)[0])

    @property
    def learning(self) -> Curve:
        """Error of the worst depth along training, the mean over seeds."""
        worst_TS = np.stack([x.error_TD.max(1) for x in self.at], axis=1)
        return Curve(tuple(map(float, self.at[0].questions_T)), tuple(worst_TS.mean(1).tolist()))

    def slowdown(self, against: Learners) -> Estimate:
        """Measure how many times as many questions it takes to learn than under another overseer."""
        own, theirs = ([x.learned_at for x in learners.at] for learners in (self, against))
        late = [sum(v is None for v in some) for some in (own, theirs)]
        if any(late):
            return Unmeasured(
                f"{late[0]} of {len(own)} seeds under amplification, {late[1]} under direct supervision, never got there"
            )
        a, b = (np.array(some, float) for some in (own, theirs))
        ratio = ratio_interval(a, b)
        return mean_interval(a / b) if isinstance(ratio, Unmeasured) and len(set(a / b)) > 1 else ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Slipped:
    """An overseer who slips."""

    arm: str = AMPLIFIED
    kind: str  # answers or decompositions
    rate: float
    systematic: bool = False  # always the same cases

    @property
    def name(self) -> str:
        """In words."""
        how = "always the same" if self.systematic else "by chance"
        return f"{'direct, ' if self.arm == DIRECT else ''}{self.rate:.0%} wrong {self.kind}, {how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Game:
    """X under every overseer of one game."""

    amplified: Learners  # the overseer splits questions, and X answers the parts
    direct: Learners  # the overseer knows every answer
    own: Learners  # null: X learns its own answers
    random: Learners  # null: the overseer puts the halves together at random
    shallow: Learners  # no depth beyond 1 is opened
    slipped: Mapping[Slipped, Learners]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Both games, and what came of training against a judge that is made of X."""

    config: Config
    permutations: Game
    expressions: Game
    trained: TrainedAgainst | None
