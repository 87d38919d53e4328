"""Arms that score the same statements, held against the truth: thresholds, areas, shares, and differences over questions.

Shape suffixes: N statements, A arms, P and Q statements that are true and false, B draws, S heads of shuffled labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from superalign.kit.evidence import Estimate
from superalign.stats import auroc, share
from superalign.stats.resampling import resample_classes
from superalign.types import Interval

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


def areas_of(
    scores_AN: Float[np.ndarray, "A N"], true_N: Bool[np.ndarray, " N"], question_N: np.ndarray, *, seed: int
) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, "B A"]]:
    """Measure the area of every arm, and again on questions that are drawn anew: the same ones for all arms.

    Args:
        scores_AN: One row an arm, high where it says true.
        true_N: Which are true.
        question_N: Statements of one question are drawn together.
        seed: Of the draws.

    Returns:
        Areas under the ROC curve, and those of each draw that has both classes.

    Example:
        >>> true = np.array([True, False] * 20)
        >>> areas, draws = areas_of(np.stack([1.0 * true, 0.0 * true]), true, np.repeat(np.arange(20), 2), seed=0)
        >>> areas.tolist(), draws.shape, bool((draws[:, 0] == 1).all())
        ([1.0, 0.5], (2000, 2), True)
    """
    code_N = np.unique(question_N, return_inverse=True)[1]
    w_BP, w_BQ = resample_classes(
        np.random.default_rng(seed), draws=DRAWS, positive_codes=code_N[true_N], negative_codes=code_N[~true_N]
    )
    wins_APQ = np.stack([won(x[true_N], x[~true_N]) for x in scores_AN])
    pairs_B = w_BP.sum(1) * w_BQ.sum(1)
    both = pairs_B > 0
    area_BA = np.stack([((w_BP[both] @ wins_PQ) * w_BQ[both]).sum(1) / pairs_B[both] for wins_PQ in wins_APQ], axis=1)
    return wins_APQ.mean((1, 2)), area_BA


def won(p_P: np.ndarray, q_Q: np.ndarray) -> Float[np.ndarray, "P Q"]:
    """Say which of the first lie above which of the second, ties counting half."""
    return (p_P[:, None] > q_Q) + 0.5 * (p_P[:, None] == q_Q)


def by_shuffles(scores: np.ndarray, true_N: Bool[np.ndarray, " N"], rng: np.random.Generator) -> Estimate:
    """Measure between which areas 95 % of shuffles lie: of a head's training labels, (S, N), else of these labels, (N,)."""
    own = scores.ndim == 1
    pairs = [(scores, rng.permutation(true_N)) for _ in range(DRAWS)] if own else [(row, true_N) for row in scores]
    low, middle, high = np.quantile([auroc(x[y], negatives=x[~y]) for x, y in pairs], [0.025, 0.5, 0.975])
    return Interval(value=float(middle), low=float(low), high=float(high), n=len(true_N))


def right(said_N: Bool[np.ndarray, " N"], true_N: Bool[np.ndarray, " N"], question_N: np.ndarray) -> Estimate:
    """Estimate the share of decisions that are right, over distinct questions."""
    code_N = np.unique(question_N, return_inverse=True)[1]
    return share(np.bincount(code_N, weights=said_N == true_N) / np.bincount(code_N))
