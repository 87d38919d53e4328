"""What students who were taught a part of graded problems make of test items: tables over items and seeds, and their scores.

Shape suffixes: P test items, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from superalign.kit.evidence import Estimate
from superalign.lab import graded_work as work
from superalign.lab.arm_names import ALL, EVALUATOR, GENERATOR, HARD
from superalign.lab.graded_text import TextJob, Texts, hard_of, hard_pairs
from superalign.lab.held_answers import Held
from superalign.stats import difference, share


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tested:
    """Test items of one role and measure: which are hard, which are true, and which belong together."""

    topic: str
    role: str
    measure: str
    hard_P: Bool[np.ndarray, " P"]
    true_P: Bool[np.ndarray, " P"]
    question_P: np.ndarray
    level_P: Int[np.ndarray, " P"]


def tested_with(job: work.TeachJob) -> Tested:
    """Return the test items of a student of bundled bases."""
    items = work.problems_of(job.drawing)
    return Tested(
        topic=job.drawing.topic,
        role=job.role if job.encoding == work.ROTARY else f"{job.role}: {job.encoding}",
        measure=job.measure,
        hard_P=work.hard_of(job.drawing, job.measure, job.easy)[items.test_N],
        true_P=items.true_N[items.test_N],
        question_P=np.arange(int(items.test_N.sum())),
        level_P=items.level_N[items.test_N],
    )


def tested_on(texts: Texts, measure: str) -> Tested:
    """Return the test texts of one topic, hard ones by one measure."""
    test_N = texts.test_N
    return Tested(
        topic=texts.topic,
        role=EVALUATOR,
        measure=measure,
        hard_P=hard_of(texts, measure)[test_N],
        true_P=texts.true_N[test_N],
        question_P=np.array(texts.questions)[test_N],
        level_P=np.array(texts.steps)[test_N],
    )


def tested_pairs(texts: Texts, measure: str) -> Tested:
    """Return the hard test problems of one topic, of which a right and a flawed solution were read."""
    right_P = hard_pairs(texts, measure)[:, 0]
    all_P = np.ones(len(right_P), bool)
    return Tested(
        topic=texts.topic,
        role=GENERATOR,
        measure=measure,
        hard_P=all_P,
        true_P=all_P,
        question_P=np.array(texts.questions)[right_P],
        level_P=np.array(texts.steps)[right_P],
    )


def tables_on(
    on: Tested, at_P: Bool[np.ndarray, " P"], found: Mapping[str, Sequence[work.Taught]]
) -> tuple[dict[str, np.ndarray], dict[str, tuple[Estimate, Estimate]]]:
    """Return for each arm its table over some items and seeds, its score there, and that minus the ceiling's.

    The ceiling is what is taught hard problems, or all of them where no arm is. A generator's table says what it writes in
    full; an evaluator's holds the parts of the area under its ROC curve.
    """
    best = ceiling(found)
    kept = {arm: [np.asarray(t.score_P)[at_P] for t in some] for arm, some in found.items()}
    if on.role.startswith(GENERATOR):
        tables = {arm: np.stack(some, 1) for arm, some in kept.items()}
        return tables, {arm: (share(x), difference(x - tables[best])) for arm, x in tables.items()}
    held = Held(true_P=on.true_P[at_P], question_P=on.question_P[at_P], odds=kept)
    scores = {arm: (held.area(arm), held.more_area(arm, than=best)) for arm in kept}
    return {arm: held.areas(arm) for arm in kept}, scores


def by_arm(jobs: Sequence[TextJob], taught: Sequence[work.Taught]) -> dict[str, dict[str, list[work.Taught]]]:
    """Sort students by the measure of hardness, and by their arm; one who is taught nothing is the same under every seed."""
    found: dict[str, dict[str, list[work.Taught]]] = {}
    for job, one in zip(jobs, taught, strict=True):
        found.setdefault(job.measure, {}).setdefault(job.arm, []).append(one)
    most = max(len(some) for arms in found.values() for some in arms.values())
    return {m: {arm: some * (most // len(some)) for arm, some in arms.items()} for m, arms in found.items()}


def ceiling(found: Mapping[str, Sequence[work.Taught]]) -> str:
    """Name the arm that others are held against."""
    return HARD if HARD in found else ALL
