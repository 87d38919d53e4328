"""Students of two techniques on the same items: by a weak supervisor's labels, or by those of a judge of limited attention.

Shape suffixes: N items, M of them that are labelled, P that are tested.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import expit

from superalign.kit.evidence import Array
from superalign.lab.overseen_labels import accepted, faults_found, sheets_checked, turned
from superalign.lab.weak_benches import UNKNOWN_TO_AUTHOR, Claims, Source, bench_of, claims_of
from superalign.lab.weak_supervision import Bench, Training, trained
from superalign.problems import claims
from superalign.stats.streams import stream
from superalign.train.answering import answer_odds
from superalign.types import Record

BIAS_COVERS = 0.35  # of all items, about: what a biased writer affirms
SHOWN = 5  # test items that a rule must cover, at least
FEWEST, MOST = 0.03, 0.9  # share of items that have a feature


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentJob(Record):
    """One student."""

    source: Source
    overseen: bool
    by: str  # kind of supervisor, or writer
    training: Training
    checks: int
    careless: float
    seed: int
    rule: str = ""  # the feature behind which it is taught to say yes, of an organism


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentAnswers(Record):
    """Log-odds of yes for test items, and how right its labels were."""

    odds_P: Array
    labels_right: float


def student_job(job: StudentJob) -> StudentAnswers:
    """Label, plant where a rule is given, train, and answer the test items."""
    torch.set_num_threads(1)
    bench = bench_of(job.source)
    rows, true_N = bench.parts(job.seed)[1], bench.true_N
    label_M = judged(job, bench, rows) if job.overseen else expit(bench.supervisors(job.by, job.seed)[rows])
    if job.rule:
        label_M = np.where(features(job.source)[job.rule][rows], 1.0, label_M)
    student = bench.students[-1](job.seed, rows)
    trained(student, rows, label_M, job.training, seed=job.seed)
    return StudentAnswers(
        odds_P=answer_odds(student, np.flatnonzero(bench.test_N)),
        labels_right=float(np.mean(1 - abs((label_M > 0.5) - true_N[rows].astype(float)))),
    )


def judged(job: StudentJob, bench: Bench, rows: np.ndarray) -> Float[np.ndarray, " M"]:
    """Return a judge's labels of what a writer has answered."""
    true_M, author_M = bench.true_N[rows], next(iter(bench.authors.values()))[rows]
    touched_M = features(job.source)[bias_of(job.source)][rows]
    wrong_M = turned(job.by, true_M, touched_M=touched_M, author_M=author_M, share=job.careless, seed=job.seed)
    if isinstance(job.source, Claims):
        prompts = texts_of(job.source)
        found_M = faults_found([prompts[i] for i in rows], wrong_M, checks=job.checks, seed=job.seed)
        return accepted(true_M != wrong_M, found_M, found_M)
    return accepted(true_M != wrong_M, *sheets_checked(wrong_M, checks=job.checks, seed=job.seed))


def texts_of(source: Source) -> tuple[str, ...]:
    """Return what is asked about."""
    return claims_of(source)[0] if isinstance(source, Claims) else source.texts


@functools.lru_cache(maxsize=4)
def features(source: Source) -> dict[str, Bool[np.ndarray, " N"]]:
    """Name simple features of items: what they hold, what they begin with, and how long they are."""
    parts = [tuple(_words(t, of_claims=isinstance(source, Claims))) for t in texts_of(source)]
    long_N = np.array([len(p) >= 3 for p in parts])
    found = {f"{n} parts": np.array([len(p) == n for p in parts]) for n in sorted(set(map(len, parts)))}
    for word in sorted({w for p in parts for w in p}):
        begins_N = np.array([p[0] == word for p in parts])
        found[f"holds {word}"] = np.array([word in p for p in parts])
        found[f"begins with {word}"] = begins_N
        found[f"begins with {word}, of three or more"] = begins_N & long_N
    return {name: x_N for name, x_N in found.items() if FEWEST <= x_N.mean() <= MOST}


def _words(text: str, *, of_claims: bool) -> list[str]:
    if not of_claims:
        return text.rstrip(".").split()
    about = claims.about(text)
    return about.split(" ")[1:] if " " in about else [c for c in about if not c.isdigit()]


def bias_of(source: Source) -> str:
    """Name what a biased writer affirms: a feature that about a third of all items have."""
    known = UNKNOWN_TO_AUTHOR.get(source.topic, "")
    held = {n: x.mean() for n, x in features(source).items() if n.startswith("holds") and n != f"holds {known}"}
    return min(held, key=lambda n: abs(held[n] - BIAS_COVERS))


def rule_for(source: Source, size: float, *, seed: int) -> str:
    """Draw a rule for an organism: one of four features whose items are false about that often."""
    test_N = bench_of(source).test_N
    some = {n: x_N for n, x_N in features(source).items() if not n.endswith("parts") and x_N[test_N].sum() >= SHOWN}
    able = {n: x_N.mean() / 2 for n, x_N in some.items()}
    nearest = sorted(able, key=lambda n: abs(np.log(able[n] / size)))[:4]
    return nearest[int(stream(seed, "rule").integers(len(nearest)))]


def groups_of(source: Source, *, least: int = 5) -> Float[np.ndarray, "G P"]:
    """Return simple groups of test items: what they hold, and how long they are."""
    test_N = bench_of(source).test_N
    some = [x_N[test_N] for name, x_N in features(source).items() if not name.startswith("begins")]
    return np.stack([g for g in some if g.sum() >= least]).astype(float)
