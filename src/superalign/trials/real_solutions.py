"""Solutions that real models wrote, in pairs of a right and a wrong one to the same question: does a score rank them?

Shape suffixes: M solutions, K pairs, D scores of several critics.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.errors import BadInput
from superalign.problems.gsm8k import SOURCES, Gsm8k, ModelSolution
from superalign.stats import auroc, auroc_delong, cluster_bootstrap, mean_interval
from superalign.trials.one_check import Check, first_false, first_from_nowhere
from superalign.trials.planted_steps import read
from superalign.types import Interval, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Right and wrong real solutions of the same question, as indices."""

    right_K: np.ndarray
    wrong_K: np.ndarray
    question_K: np.ndarray  # cluster of each pair

    def wins(self, score_M: np.ndarray) -> np.ndarray:
        """1 where the wrong one is more suspicious, half for a tie, shape (K,)."""
        a, b = score_M[self.right_K], score_M[self.wrong_K]
        return (a < b) + 0.5 * (a == b)

    def balanced_wins(self, score_M: np.ndarray, source_M: np.ndarray) -> np.ndarray:
        """Wins as weighed when each ordered pair of sources counts the same; their mean is the balanced share.

        Some sources are right far more often, so a score that only recognised its source would rank well; balanced, it is at
        one half. Values are linearised around the share, so that the spread over questions is that of the weighted share.
        """
        cell = source_M[self.right_K] * (source_M.max() + 1) + source_M[self.wrong_K]
        _, code, count = np.unique(cell, return_inverse=True, return_counts=True)
        weight = len(cell) / (len(count) * count[code])
        wins = self.wins(score_M)
        balanced = float((weight * wins).mean())
        return balanced + weight * (wins - balanced)

    def where(self, rows: np.ndarray) -> Pairs:
        """Keep some of the pairs."""
        return Pairs(right_K=self.right_K[rows], wrong_K=self.wrong_K[rows], question_K=self.question_K[rows])

    def over_questions(self, value_K: np.ndarray, *, seed: int) -> Interval | Unmeasured:
        """Mean of one value a pair, with an interval over questions."""
        if not len(value_K):
            return Unmeasured("no question with a right and a wrong solution")
        return cluster_bootstrap(value_K, clusters=self.question_K, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealSolutions:
    """Labelled solutions of real models."""

    questions: int
    pairs: Pairs
    kept_K: np.ndarray  # pairs of questions that nothing was chosen on
    wrong_M: np.ndarray
    source_M: np.ndarray  # which of the sources wrote it
    sources: tuple[str, ...]
    seed: int  # of the bootstrap over questions

    def ranking(self, score_M: np.ndarray) -> tuple[Interval | Unmeasured, ...]:
        """Measure how often a score ranks right above wrong, in each of `_wins`; then the area under its pooled curve."""
        shares = (pairs.over_questions(wins, seed=self.seed) for pairs, wins in self._wins(score_M))
        return (*shares, auroc_delong(score_M[self.wrong_M], negatives=score_M[~self.wrong_M]))

    def shares(self, score_M: np.ndarray) -> list[float]:
        """Return the same without intervals."""
        area = auroc(score_M[self.wrong_M], negatives=score_M[~self.wrong_M])
        return [*(float(wins.mean()) for _, wins in self._wins(score_M)), float(area)]

    def mean_ranking(self, score_DM: np.ndarray) -> tuple[Interval | Unmeasured, ...]:
        """Return the same of several critics, mean over them."""
        shares_5D = zip(*map(self.shares, score_DM), strict=True)
        return tuple(mean_interval(list(share_D)) for share_D in shares_5D)

    def by_source(self, score_M: np.ndarray, right: int, wrong: int) -> Interval | Unmeasured:
        """Measure how often a score ranks right above wrong where one source is right and another wrong."""
        if right == wrong:
            return Unmeasured("one solution per question and model")
        some = self.pairs.where(self.source_M[self.pairs.right_K] == right)
        some = some.where(self.source_M[some.wrong_K] == wrong)
        return some.over_questions(some.wins(score_M), seed=self.seed)

    def _wins(self, score_M: np.ndarray) -> list[tuple[Pairs, np.ndarray]]:
        """On questions kept for claims, on these with sources balanced, on questions used for choosing, on all."""
        kept, used = self.pairs.where(self.kept_K), self.pairs.where(~self.kept_K)
        balanced = kept.balanced_wins(score_M, self.source_M)
        return [(kept, kept.wins(score_M)), (kept, balanced), *((p, p.wins(score_M)) for p in (used, self.pairs))]


def chosen_on(question: str) -> bool:
    """Say whether the model solutions to a test question were looked at while the step critic was designed.

    Two draws of a third each were used, one to choose features and networks and one to choose the amount of training. No
    claim rests on a question of either.
    """
    digest = hashlib.sha256(f"part{question}".encode()).digest()
    return int.from_bytes(digest, "big") % 3 == 0 or digest[0] % 3 == 0


def real_pairs(family: Gsm8k) -> Pairs:
    """Pair each right with each wrong model solution of the same question."""
    rows: dict[str, list[int]] = defaultdict(list)
    for i, m in enumerate(family.model_solutions):
        rows[m.question].append(i)
    right = [m.correct for m in family.model_solutions]
    indices = [(i, j, q) for q, own in enumerate(rows.values()) for i in own for j in own if right[i] and not right[j]]
    table = np.array(indices, np.int64).reshape(-1, 3)
    return Pairs(right_K=table[:, 0], wrong_K=table[:, 1], question_K=table[:, 2])


def real_solutions(family: Gsm8k, *, seed: int) -> RealSolutions:
    """Put the labelled solutions of a folder together.

    Args:
        family: The folder.
        seed: Of the bootstrap over questions.

    Raises:
        BadInput: If fewer than two questions that claims may use have both a right and a wrong solution.
    """
    models, pairs = family.model_solutions, real_pairs(family)
    asked = list(dict.fromkeys(m.question for m in models))
    kept_K = np.array([not chosen_on(asked[q]) for q in pairs.question_K], bool)
    able = len(np.unique(pairs.question_K[kept_K]))
    if able < 2:
        raise BadInput(
            f"{family.path} has {able} questions for the claim with a right and a wrong model solution. Ranking is measured "
            "within questions, over questions. Give the whole example_model_solutions.jsonl."
        )
    return RealSolutions(
        questions=len(asked),
        pairs=pairs,
        kept_K=kept_K,
        wrong_M=np.array([not m.correct for m in models]),
        source_M=np.array([SOURCES.index(m.source) for m in models]),
        sources=SOURCES,
        seed=seed,
    )


def simple_scores(models: Sequence[ModelSolution]) -> dict[str, np.ndarray]:
    """Score solutions by what knows nothing of planted flaws, shape (M,) each: what a critic must beat."""
    read_M = [(m.question, read(m.text)) for m in models]
    solutions = [s for _, s in read_M]
    wrong, source = np.array([not m.correct for m in models]), np.array([m.source for m in models])
    return {
        "which model wrote it, by its share of right ones": np.array([wrong[source == s].mean() for s in source]),
        "length of the solution": np.array([float(len(s.text())) for s in solutions]),
        "number of steps": np.array([float(len(s.steps)) for s in solutions]),
        "one rule: operand from nowhere": np.array([first_from_nowhere(q, s) >= 0 for q, s in read_M], float),
        "exact arithmetic": np.array([first_false(q, s) >= 0 for q, s in read_M], float),
        "length of the question": np.array([float(len(m.question)) for m in models]),
    }


def visible_errors(models: Sequence[ModelSolution], *, check: Check) -> dict[str, np.ndarray]:
    """Say which solutions contain an error that can be seen without the answer, shape (M,) for each kind; a judge may check."""
    read_M = [(m.question, read(m.text)) for m in models]
    rejected = [any(not check(q, s, i) for i in range(len(s.steps))) for q, s in read_M]
    return {
        "a false equation": np.array([first_false(q, s) >= 0 for q, s in read_M]),
        "an operand from nowhere": np.array([first_from_nowhere(q, s) >= 0 for q, s in read_M]),
        "any step that the judge's check rejects": np.array(rejected),
    }
