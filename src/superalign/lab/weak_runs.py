"""Train the students of every kind of supervisor, over processes, and bring their answers together.

Shape suffixes: N items, P test items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from superalign.kit.evidence import Array
from superalign.kit.run import Run
from superalign.lab.arm_names import SAME_SIZE, TRUTH
from superalign.lab.held_answers import Held
from superalign.lab.weak_benches import Source, bench_of, says_of
from superalign.lab.weak_supervision import CROWD, Bench, Training, held_out_loss, learned
from superalign.stats import auroc_or_half, share
from superalign.types import Interval, Record

SUPERVISOR, OUTRIGHT = "supervisor", "asked outright"  # beside the ways of learning
CHANCE = 0.5  # accuracy of labels that say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceJob(Record):
    """One naive student at some settings."""

    source: Source
    kind: int
    training: Training
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaysJob(Record):
    """One supervisor, and its students by several ways."""

    source: Source
    kind: int
    training: Training
    ways: tuple[str, ...]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Record):
    """Log-odds of yes for test items under one seed: of the supervisor, and of each way."""

    kind: str
    supervisor_P: Array
    says_P: Array
    odds: Mapping[str, Array]
    labels_right: float  # share of its labels
    labels_yes: float


def surface_job(job: SurfaceJob) -> tuple[float, float, float]:
    """Return the held-out loss on weak labels, and the same student's accuracy and area on test items."""
    torch.set_num_threads(1)
    bench = bench_of(job.source)
    kind = bench.kinds[job.kind]
    held_out, odds_P = held_out_loss(bench, kind, job.training, seed=job.seed)
    true_P = bench.true_N[bench.test_N]
    return held_out, float(((odds_P > 0) == true_P).mean()), auroc_or_half(odds_P, true_P)


def ways_job(job: WaysJob) -> Answered:
    """Train a supervisor and its students."""
    torch.set_num_threads(1)
    bench = bench_of(job.source)
    kind, test = bench.kinds[job.kind], bench.test_N
    # An author is one, and no model.
    own = [w for w in job.ways if not (kind in bench.authors and w in (CROWD, SAME_SIZE))]
    odds_N, rows = bench.supervisors(kind, job.seed), bench.parts(job.seed)[1]
    return Answered(
        kind=kind,
        supervisor_P=odds_N[test],
        says_P=says_of(job.source, job.seed),
        odds={way: learned(bench, way, kind, job.training, seed=job.seed) for way in own},
        labels_right=float(((odds_N[rows] > 0) == bench.true_N[rows]).mean()),
        labels_yes=float((odds_N[rows] > 0).mean()),
    )


def ways_on(
    source: Source, ways: Sequence[str], training: Training, run: Run, *, seeds: int, on: str
) -> list[tuple[list[Answered], Held]]:
    """Train students of every kind of supervisor: for each kind the answers of all seeds, and these held against the truth.

    Args:
        source: Of the items.
        ways: Of learning, controls among them; who is trained on truth is the same whoever supervises.
        training: How long and how fast.
        run: Whose processes and memo are used.
        seeds: From 0 on.
        on: What the items are, for a progress bar.
    """
    bench = bench_of(source)
    own, kinds = tuple(w for w in ways if w != TRUTH), range(len(bench.kinds))
    places = [*((0, (TRUTH,), s) for s in range(seeds)), *((k, own, s) for k in kinds for s in range(seeds))]
    items = [WaysJob(source=source, kind=k, training=training, ways=some, seed=s) for k, some, s in places]
    done = run.map(ways_job, items, name="ways", progress=f"training students: {on}")
    found = []
    for i, one in enumerate(done[seeds:]):
        odds = {**one.odds, TRUTH: done[i % seeds].odds[TRUTH]}
        found.append(replace(one, odds={w: odds[w] for w in ways if w in odds}))
    each = [found[k * seeds :][:seeds] for k in kinds]
    return [(some, held_of(some, bench)) for some in each]


def held_of(found: Sequence[Answered], bench: Bench) -> Held:
    """Bring the answers of all seeds together."""
    ways = {way: [np.asarray(f.odds[way]) for f in found] for way in found[0].odds}
    silent = {SUPERVISOR: [np.asarray(f.supervisor_P) for f in found], OUTRIGHT: [np.asarray(f.says_P) for f in found]}
    return Held(true_P=bench.true_N[bench.test_N], question_P=bench.question_N[bench.test_N], odds={**silent, **ways})


def undefined(found: Sequence[Answered]) -> str:
    """Say why no share of a gap is defined for a supervisor, whatever its students do; nothing where one is."""
    known = share([f.labels_right for f in found])
    if any(f.labels_yes in (0.0, 1.0) for f in found):
        return "undefined: the supervisor gives one answer to all that it labels"
    if isinstance(known, Interval) and known.low <= CHANCE:
        return "undefined: the supervisor is not shown to be right on more than half of what it labels"
    return ""
