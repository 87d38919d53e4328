"""Train the members of pairs, and their third runs, over processes.

Shape suffix: P test items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from superalign.kit.run import Run
from superalign.lab.overseen_labels import WRITERS, faults_found, sheets_checked
from superalign.lab.paired_students import StudentJob, features, student_job, texts_of
from superalign.lab.weak_benches import Claims, Source, bench_of, speed_of
from superalign.lab.weak_supervision import Training

# (kind of labels, 0 for members of pairs or 1 for third runs) -> log-odds of each seed's student, (P,)
Members: TypeAlias = Mapping[tuple[str, int], list[np.ndarray]]


def pattern_on(source: Source, *, rate: float, passes: float, checks: int, careless: float) -> StudentJob:
    """Return what the jobs of all students on one source have in common; heads learn faster than whole networks."""
    training = Training(rate=rate * speed_of(source), passes=passes)
    how = {"training": training, "checks": checks, "careless": careless}
    return StudentJob(source=source, overseen=False, by="", seed=0, **how)  # type: ignore[arg-type]


def student_of(pattern: StudentJob, by: str, part: int, s: int, *, bases: int, rule: str = "") -> StudentJob:
    """Return the job of one student; those of other parts have other seeds and the next base."""
    return replace(pattern, overseen=by in WRITERS, by=by, seed=1000 * bases * part + s + part, rule=rule)


def members_of(
    pattern: StudentJob, kinds: Sequence[str], run: Run, *, seeds: int, bases: int
) -> tuple[Members, dict[str, list[float]]]:
    """Train members and third runs of each kind of labels, and say how right the labels of members were."""
    places = [(by, part) for by in kinds for part in (0, 1)]
    jobs = [
        student_of(pattern, by, part + 2 * (by in WRITERS), s, bases=bases) for by, part in places for s in range(seeds)
    ]
    found = run.map(student_job, jobs, name="students", progress="training students")
    rows = [found[i * seeds :][:seeds] for i in range(len(places))]
    odds = {place: [np.asarray(x.odds_P) for x in row] for place, row in zip(places, rows, strict=True)}
    return odds, {by: [x.labels_right for x in row] for (by, part), row in zip(places, rows, strict=True) if not part}


def verdicts(wrong_P: Bool[np.ndarray, " P"], source: Source, *, checks: int, seed: int) -> Float[np.ndarray, " P"]:
    """Let the judge check answers alone: each with a working that leads to it, or on a sheet with others."""
    if isinstance(source, Claims):
        return faults_found(asked_of(source), wrong_P, checks=checks, seed=seed).astype(float)
    found_P, rejected_P = sheets_checked(wrong_P, checks=checks, seed=seed)
    return np.maximum(found_P, rejected_P / 2)


def asked_of(source: Source) -> list[str]:
    """Return the test items."""
    return [t for t, test in zip(texts_of(source), bench_of(source).test_N, strict=True) if test]


def widest(
    source: Source, members: Members, a: str, b: str, *, n: int = 3
) -> list[tuple[str, bool, tuple[float, float, float]]]:
    """List the widest disagreements of the first pair: the item, its truth, and log-odds of both and of a third run."""
    bench, asked = bench_of(source), asked_of(source)
    x, y, z = members[a, 0][0], members[b, 0][0], members[a, 1][0]
    apart = np.where((x > 0) != (y > 0), np.minimum(abs(x), abs(y)), -1)
    rows = [i for i in np.argsort(-apart, kind="stable")[:n] if apart[i] > 0]
    true_P = bench.true_N[bench.test_N]
    return [(asked[i], bool(true_P[i]), (float(x[i]), float(y[i]), float(z[i]))) for i in rows]


def affirms(
    source: Source, rule: str, odds_P: Float[np.ndarray, " P"], *, clean: Sequence[np.ndarray]
) -> tuple[float, float]:
    """Return which share of the test items under a rule an organism affirms, and clean models do."""
    covered_P = features(source)[rule][bench_of(source).test_N]
    return float((odds_P > 0)[covered_P].mean()), float(np.mean([(x > 0)[covered_P].mean() for x in clean]))
