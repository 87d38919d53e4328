"""What the wording of a question leads to expect of a right solution, learned from right training solutions.

Four small models: how each number is used, the last operation, how many operations, and the size of the answer.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from superalign.oversight.steps.features import ROLES, Expected, largest, last_operator, roles, size
from superalign.oversight.steps.reading import HASHES, Reading, Text, Trace, read_question, trace


@dataclass(frozen=True, slots=True)
class Cues:
    """Four small models from a question's wording; each learned from right solutions."""

    role: LogisticRegression
    last: LogisticRegression
    operations: Ridge
    answer: Ridge
    role_columns: np.ndarray
    columns: np.ndarray

    def expect(self, readings: Sequence[Reading]) -> list[Expected]:
        """Say what the wording of each question leads to expect."""
        flat = [n.cues for r in readings for n in r.numbers]
        table = np.full((len(flat), len(ROLES)), -8.0)
        if flat:
            table[:, self.role.classes_] = self.role.predict_log_proba(_sparse(flat)[:, self.role_columns])
        words = _sparse([r.cues for r in readings])[:, self.columns]
        last, operations, answer = (
            self.last.predict_log_proba(words),
            self.operations.predict(words),
            self.answer.predict(words),
        )
        out, at = [], 0
        for i, r in enumerate(readings):
            rows = table[at : at + len(r.numbers)]
            at += len(r.numbers)
            out.append(
                Expected(
                    roles=rows.tolist(),
                    last=dict(zip(self.last.classes_, last[i].tolist(), strict=True)),
                    operations=float(operations[i]),
                    answer=float(answer[i]) + largest(r),
                )
            )
        return out


def _sparse(rows: Sequence[Sequence[int]]) -> sp.csr_matrix:
    ends = np.cumsum([0, *(len(r) for r in rows)])
    columns = np.fromiter((c for r in rows for c in r), dtype=np.int64, count=int(ends[-1]))
    return sp.csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=(len(rows), HASHES))


def _common_columns(table: sp.csr_matrix, least: int) -> np.ndarray:
    return np.flatnonzero(np.asarray(table.sum(axis=0)).ravel() >= least)


def _fit_cues(readings: Sequence[Reading], traces: Sequence[Trace], answers: Sequence[float]) -> Cues:
    flat = _sparse([n.cues for r in readings for n in r.numbers])
    used = [ROLES.index(role) for r, t in zip(readings, traces, strict=True) for role in roles(r, t)]
    role_columns = _common_columns(flat, 5)
    words = _sparse([r.cues for r in readings])
    columns = _common_columns(words, 4)
    # C from the log-loss of number roles on held-out training questions (0.003 to 0.03 tried); alpha was not tuned
    role = LogisticRegression(C=0.03, max_iter=40, tol=1e-3)
    last = LogisticRegression(C=0.03, max_iter=40, tol=1e-3)
    grown = [a - largest(r) for a, r in zip(answers, readings, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early on purpose
        role.fit(flat[:, role_columns], used)
        last.fit(words[:, columns], [last_operator(t) for t in traces])
    return Cues(
        role=role,
        last=last,
        operations=Ridge(alpha=30.0).fit(words[:, columns], [len(t.operations()) for t in traces]),
        answer=Ridge(alpha=30.0).fit(words[:, columns], grown),
        role_columns=role_columns,
        columns=columns,
    )


def mean_expected(expected: Sequence[Expected]) -> Expected:
    """Average what several folds expect of one question."""
    names = {k for e in expected for k in e.last}
    return Expected(
        roles=np.mean([e.roles for e in expected], axis=0).tolist(),
        last={k: float(np.mean([e.last.get(k, -6.0) for e in expected])) for k in names},
        operations=float(np.mean([e.operations for e in expected])),
        answer=float(np.mean([e.answer for e in expected])),
    )


def learn_cues(first: Mapping[str, Text], *, folds: int) -> tuple[list[Cues], dict[str, Reading], dict[str, Expected]]:
    """Learn what right solutions lead to expect; for each question, from the other folds alone.

    Args:
        first: A right solution per question.
        folds: How many, at least two.

    Returns:
        One set of small models per fold, the questions read, and what is expected of each.
    """
    questions = list(first)
    readings = {q: read_question(t) for q, t in first.items()}
    traces = {q: trace(readings[q], t.solution) for q, t in first.items()}
    answers = {q: size(float(t.solution.value)) if t.solution.value is not None else 0.0 for q, t in first.items()}
    fold = {q: hashlib.sha256(q.encode()).digest()[1] % folds for q in questions}
    cues: list[Cues] = []
    expected: dict[str, Expected] = {}
    for k in range(folds):
        known = [q for q in questions if fold[q] != k]
        fitted = _fit_cues([readings[q] for q in known], [traces[q] for q in known], [answers[q] for q in known])
        cues.append(fitted)
        asked = [q for q in questions if fold[q] == k]
        expected.update(zip(asked, fitted.expect([readings[q] for q in asked]), strict=True))
    return cues, readings, expected
