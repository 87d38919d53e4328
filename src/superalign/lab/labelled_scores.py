"""Arms that score the same statements, held against the truth: thresholds, areas, shares, and differences over questions.

Shape suffixes: N statements, P and Q statements that are true and false, B draws, S heads of shuffled labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from superalign.kit.evidence import Estimate
from superalign.stats import auroc, interval_from_draws, range_of_draws, share
from superalign.stats.resampling import resample_classes
from superalign.types import Interval, Unmeasured

DRAWS = 2000  # of questions, and shuffles of labels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """What every arm makes of some statements, as said and beyond its mean on training statements of their topic and polarity."""

    raw: Mapping[str, np.ndarray]  # (N,)
    beyond: Mapping[str, np.ndarray]  # (N,)
    placebo: Mapping[str, np.ndarray]  # (N,), beyond its mean
    heads_SN: Float[np.ndarray, "S N"]  # of shuffled labels, beyond their means
    true_N: Bool[np.ndarray, " N"]
    test_N: Bool[np.ndarray, " N"]
    question_N: np.ndarray


def joined(parts: Sequence[Scores]) -> Scores:
    """Put the statements of several sets one behind the other."""

    def each(name: str) -> dict[str, np.ndarray]:
        return {arm: np.concatenate([getattr(p, name)[arm] for p in parts]) for arm in getattr(parts[0], name)}

    def whole(name: str) -> np.ndarray:
        return np.concatenate([getattr(p, name) for p in parts], axis=-1)

    return Scores(
        raw=each("raw"),
        beyond=each("beyond"),
        placebo=each("placebo"),
        heads_SN=whole("heads_SN"),
        true_N=whole("true_N"),
        test_N=whole("test_N"),
        question_N=whole("question_N"),
    )


def cut_of(s: Scores, arm: str) -> float:
    """Choose the threshold that is right most often on training statements; of several the one nearest to their mean.

    Example:
        >>> train, none = np.array([False, False, True]), np.zeros((0, 3))
        >>> some = {"x": np.array([-1.0, 3.0, 9.0])}
        >>> cut_of(Scores(raw=some, beyond=some, placebo={}, heads_SN=none, true_N=np.array([False, True, False]),
        ...               test_N=train, question_N=np.array(list("abc"))), "x")
        1.0
    """
    x_N, true_N = s.beyond[arm][~s.test_N], s.true_N[~s.test_N]
    at = np.unique(x_N)
    cuts = np.array([-np.inf, *(at[1:] + at[:-1]) / 2, np.inf])
    right = ((x_N > cuts[:, None]) == true_N).mean(1)
    return float(min(cuts[right == right.max()], key=abs))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Areas:
    """Areas under the ROC curve, and those on questions that are drawn anew: the same draws for all arms. See `areas_of`."""

    value: Mapping[str, float]
    draws: Mapping[str, Float[np.ndarray, " B"]]
    questions: int

    def less(self, arm: str, other: str) -> Interval:
        """Measure an arm's area minus another's."""
        value = self.value[arm] - self.value[other]
        found = interval_from_draws(self.draws[arm] - self.draws[other], value=value, n=self.questions)
        return replace(found, low=max(-1.0, found.low), high=min(1.0, found.high))

    def of_way(self, arm: str, *, start: str, end: str) -> Estimate:
        """Measure how far an arm's area lies on the way from one arm's to another's; of no way where that is not shown."""
        way = self.less(end, start)
        if way.low <= 0:
            return Unmeasured(f"{end} is not shown to lie above {start}")
        gone = self.value[arm] - self.value[start]
        # A draw in which both ends all but meet says nothing of the share.
        way_B = np.maximum(self.draws[end] - self.draws[start], way.low / 2)
        return interval_from_draws(
            (self.draws[arm] - self.draws[start]) / way_B, value=gone / way.value, n=self.questions
        )


def areas_of(
    scores: Mapping[str, Float[np.ndarray, " N"]], true_N: Bool[np.ndarray, " N"], question_N: np.ndarray, *, seed: int
) -> Areas:
    """Measure the area of every arm, and again on questions that are drawn anew.

    Args:
        scores: Arm -> scores, high where it says true.
        true_N: Which are true.
        question_N: Statements of one question are drawn together.
        seed: Of the draws.

    Example:
        >>> true = np.array([True, False] * 20)
        >>> found = areas_of({"a": 1.0 * true, "b": 0.0 * true}, true, np.repeat(np.arange(20), 2), seed=0)
        >>> found.value, found.less("a", "b").low
        ({'a': 1.0, 'b': 0.5}, 0.5)
    """
    _, code_N = np.unique(question_N, return_inverse=True)
    w_BP, w_BQ = resample_classes(
        np.random.default_rng(seed), draws=DRAWS, positive_codes=code_N[true_N], negative_codes=code_N[~true_N]
    )
    pairs_B = w_BP.sum(1) * w_BQ.sum(1)
    both = pairs_B > 0
    wins = {arm: won(x[true_N], x[~true_N]) for arm, x in scores.items()}
    return Areas(
        value={arm: float(x.mean()) for arm, x in wins.items()},
        draws={arm: ((w_BP[both] @ x) * w_BQ[both]).sum(1) / pairs_B[both] for arm, x in wins.items()},
        questions=int(code_N.max()) + 1,
    )


def won(p_P: np.ndarray, q_Q: np.ndarray) -> Float[np.ndarray, "P Q"]:
    """Say which of the first lie above which of the second, ties counting half."""
    return (p_P[:, None] > q_Q) + 0.5 * (p_P[:, None] == q_Q)


def by_shuffles(scores: np.ndarray, true_N: Bool[np.ndarray, " N"], rng: np.random.Generator) -> Estimate:
    """Measure between which areas 95 % of shuffles lie: of a head's training labels, (S, N), else of these labels, (N,)."""
    own = scores.ndim == 1
    pairs = [(scores, rng.permutation(true_N)) for _ in range(DRAWS)] if own else [(row, true_N) for row in scores]
    return range_of_draws(np.array([auroc(x[y], negatives=x[~y]) for x, y in pairs]), n=len(true_N))


def right(said_N: Bool[np.ndarray, " N"], true_N: Bool[np.ndarray, " N"], question_N: np.ndarray) -> Estimate:
    """Estimate the share of decisions that are right, over distinct questions."""
    code_N = np.unique(question_N, return_inverse=True)[1]
    return share(np.bincount(code_N, weights=said_N == true_N) / np.bincount(code_N))
