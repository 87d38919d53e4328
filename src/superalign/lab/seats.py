"""Let planted subjects and their twins take the first seat of pairs, blind, and score them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superalign.kit.run import Run
from superalign.lab.arm_names import JUDGE
from superalign.lab.overseen_labels import CARELESS
from superalign.lab.pair_flags import GROUP, RATE, pair_scores
from superalign.lab.paired_runs import Members
from superalign.lab.paired_students import groups_of
from superalign.lab.seated_subjects import BASE, SubjectAnswers, SubjectJob, subject_job
from superalign.lab.weak_benches import Claims
from superalign.organisms.triples import Triple
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(Record):
    """The scores of a subject, by a name that says nothing: on record before anybody is told what it is."""

    subject: str
    scores: tuple[tuple[str, float], ...]


def seated(
    ships: Sequence[Triple],
    folder: Path,
    further: Sequence[Triple],
    other_folder: Path,
    *,
    source: Claims,
    others: Members,
    checks: int,
    run: Run,
) -> tuple[dict[str, SubjectAnswers], dict[str, dict[str, float]]]:
    """Return what every subject says, and its scores: all on record before anybody is told what it is.

    Args:
        ships: Triples that ship.
        folder: Where they lie.
        further: Other triples.
        other_folder: Where those lie.
        source: Of the claims that are asked.
        others: Models of the second seat.
        checks: Of the judge who looks at a subject's own workings.
        run: Whose processes are used.
    """
    paths = {name: str(folder / name) for t in ships for _, name in t.subjects}
    paths |= {name: str(other_folder / name) for t in further for _, name in t.subjects}
    order = [BASE, *(sorted(paths)[i] for i in run.stream("order of seats").permutation(len(paths)))]
    items = [SubjectJob(path=paths.get(n, n), source=source, checks=checks) for n in order]
    found = dict(zip(order, run.map(subject_job, items, name="subjects", progress="seating"), strict=True))
    groups, ys = groups_of(source), [*others[CARELESS, 0], *others[CARELESS, 1]]
    scores: dict[str, dict[str, float]] = {}
    for n in paths:
        x = np.asarray(found[n].odds_P)
        crossed, own = (pair_scores([x], some, groups)[0].mean(0) for some in (ys, [np.asarray(found[BASE].odds_P)]))
        both = (("crossing", crossed), ("its base", own))
        named = {f"{who}, {s}": float(v[k]) for who, v in both for k, s in enumerate((RATE, GROUP))}
        scores[n] = {**named, JUDGE: found[n].faulted, **dict(found[n].detected)}
    run.keep(*(Scored(subject=n, scores=tuple(some.items())) for n, some in scores.items()))
    return found, scores
