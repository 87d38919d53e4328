"""A model that is shown worked solutions of easy or hard problems: would it write the right solution rather than a flawed one?

Shape suffixes: P test problems, M that are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.lab.arm_names import EASY, HARD, PERMUTED, RANDOM, UNTAUGHT
from superalign.lab.form_runs import rounded
from superalign.lab.graded_text import Texts, hard_of
from superalign.lab.graded_work import Taught, lesson_of
from superalign.models import response_logprobs
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowJob(Record):
    """One generator: it is shown solutions, and taught nothing else."""

    texts: Texts
    policy: str
    measure: str
    arm: str
    shots: int
    seed: int


def show_jobs(texts: Texts, policy: str, *, shots: int, seeds: Sequence[int]) -> list[ShowJob]:
    """Name all generators: every arm by the first measure, fewer by the second and by nothing."""
    return [
        ShowJob(texts=texts, policy=policy, measure=m, arm=arm, shots=shots, seed=seed)
        for m in dict.fromkeys((*texts.measures[:2], RANDOM))
        for arm in (UNTAUGHT, EASY, HARD, *((PERMUTED,) if m == texts.measures[0] else ()))
        for seed in (seeds[:1] if arm == UNTAUGHT else seeds)
    ]


def hard_pairs(texts: Texts, measure: str) -> np.ndarray:
    """Return the numbers of the right and the flawed solution of each hard test problem, (P, 2)."""
    return texts.pairs_P2[hard_of(texts, measure)[texts.pairs_P2[:, 0]]]


def show_job(job: ShowJob) -> Taught:
    """Show some training solutions, and compare how likely the right and the flawed solution of each hard problem are."""
    texts, pairs_P2 = job.texts, hard_pairs(job.texts, job.measure)
    lesson = lesson_of(
        job.arm,
        train=np.flatnonzero(~texts.test_N & texts.true_N),
        hard_N=hard_of(texts, job.measure),
        cost_N=texts.cost_N,
        n=0 if job.arm == UNTAUGHT else job.shots,
        few=0,
        seed=job.seed,
    )
    solved = np.roll(lesson.rows, 1) if job.arm == PERMUTED else lesson.rows  # else some would keep their own
    shown = [
        turn
        for q, a in zip(lesson.rows, solved, strict=True)
        for turn in (("user", texts.questions[q]), ("assistant", texts.said[a]))
    ]
    chats = [(*shown, ("user", texts.questions[i])) for i in pairs_P2[:, 0]]
    model = rounded(job.policy)
    right_P, flawed_P = (
        response_logprobs(model, chats, [texts.said[i] for i in rows])[0].sum(1) for rows in pairs_P2.T
    )
    return Taught(
        n=len(lesson.rows), score_P=(right_P > flawed_P).astype(float), steps_PK=np.zeros((0, 0), int), picked=()
    )
