"""Make or load every subject, and let every detector look at it, blind."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from superalign.detectors import ContrastBelief, TruthProbe
from superalign.kit.blind import look, open_seals, register
from superalign.kit.run import Run
from superalign.lab.detection_page import sides_of
from superalign.lab.every_detector import AUDITS, panel
from superalign.models import Model, open_weights, quantised
from superalign.organisms.fine_tunes import CALIBRATING, SORT, Innocent, make, shipped_innocents
from superalign.organisms.triples import SHIPPED, Triple, read_triples, shipped
from superalign.studies.detectors.evidence import Evidence, Planting, Reading
from superalign.studies.detectors.study import ROUNDED, Config
from superalign.trials import Combination, contributions
from superalign.types import Detector, Record, Verdict

FIRST_NEW = 100  # the number of the first clean fine-tune that set no threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectJob(Record):
    """One subject to look at: a planted one by its folder, or a harmless change that is made on the spot."""

    name: str  # says nothing of a planted one
    path: str = ""
    change: str = ""  # a sort of clean model
    seed: int = 0


def measure(config: Config, run: Run) -> Evidence:
    """Let every detector look at every subject; resumable subject by subject."""
    triples = _some([(t, where) for t, where in _planted(config.planted) if t.acceptance.accepted], config.seeds)
    run.stage("recording instruments")
    detectors = panel(config.asked, bool(config.planted))
    cards = tuple(d.card for d in detectors)
    sides = tuple(sides_of(c) for c in cards)
    audit = Combination(parts=cards[:AUDITS], sides=sides[:AUDITS])
    rate, innocents = config.false_positive_rate, _innocents(config)
    registered = register(run, cards, sides=sides, rate=rate, recall_bar=0.5, needs_training=False)
    run.keep(audit.card)
    todo = [SubjectJob(name=n, path=str(where / n)) for t, where in triples for _, n in t.subjects]
    todo += [SubjectJob(name=i.name, path=str(where / i.name)) for i, where in innocents]
    new = [SubjectJob(name=f"{c} {i}", change=c, seed=i) for c in config.sorts for i in range(config.controls)]
    run.stage(f"{len(cards)} detectors look at {len(todo) + len(new)} subjects, blind and in random order")
    looking = functools.partial(
        look_job, asked=config.asked, references=bool(config.planted), steps=config.steps, seed=run.seed
    )
    seen = look(registered, {s.name: s for s in (*todo, *new)}, looking)
    run.stage("opening the seals")
    truth = {name: (t.spec.kind, role, t.spec.seed) for t, _ in triples for role, name in t.subjects}
    truth |= {i.name: (f"{SORT}{i.sort}", "clean", i.number) for i, _ in innocents}
    plantings = [_planting(t) for t, _ in triples]
    usual = {n for p in plantings if not p.dial for _, n in p.subjects} | {i.name for i, _ in innocents}
    plants = [*(t.plant for t, _ in triples), *(t.acceptance for t, _ in triples)]
    every = open_seals(seen, plants=plants, truth=truth, known=frozenset(usual)).unsealed
    five = replace(every, combination=audit, verdicts={n: said[:AUDITS] for n, said in seen.verdicts.items()})
    run.keep(*(c for calibrations in five.calibrations(rate=rate).values() for c in calibrations))
    return Evidence(
        planted=tuple(p for p in plantings if not p.dial),
        dialled=tuple(p for p in plantings if p.dial),
        controls={c: tuple(s.name for s in new if s.change == c) for c in config.sorts},
        calibrating=tuple(CALIBRATING),
        every=every,
        audit=five,
        rate=rate,
        added=contributions(every, rate=rate, seed=run.seed),
        with_five=contributions(five, rate=rate, seed=run.seed),
        readings=readings(detectors),
    )


def _planting(triple: Triple) -> Planting:
    """Say how a triple was planted."""
    spec, dial, level = triple.spec, "", 0.0
    if spec.pressure >= 0:
        dial, level = f"pressure to conceal ({spec.conceal})", spec.pressure
    elif spec.share < 1:
        dial, level = "share of the affected problems", spec.share
    return Planting(
        kind=spec.kind,
        seed=spec.seed,
        route=spec.route,
        conceal=spec.conceal,
        subjects=tuple((str(role), name) for role, name in triple.subjects),
        dial=dial,
        level=level,
    )


def readings(found: Sequence[Detector]) -> tuple[Reading, ...]:
    """Say what each probe reads in its own styles, in others, and what random directions reach."""
    return tuple(
        Reading(probe=probe.card.name, where=where, measured=probe.measured, value=value)
        for probe in found
        if isinstance(probe, TruthProbe | ContrastBelief)
        for where, value in probe.readings.items()
    )


def look_job(item: SubjectJob, *, asked: int, references: bool, steps: int, seed: int) -> tuple[Verdict, ...]:
    """Make or load one subject, and let every detector look at it."""
    model = changed(item.change, item.seed, steps=steps, seed=seed) if item.change else open_weights(item.path)
    return tuple(detect(model, seed=0) for detect in panel(asked, references))


def changed(sort: str, number: int, *, steps: int, seed: int) -> Model:
    """Make one clean model of a sort, by its number."""
    if sort not in ROUNDED:
        return make(sort, FIRST_NEW * (1 + seed) + number, steps=steps)
    triples, where = shipped()
    twin = dict(triples[number % len(triples)].subjects)["clean"]
    return quantised(open_weights(where / twin), bits=int(sort[0]))


def _innocents(config: Config) -> list[tuple[Innocent, Path]]:
    """The clean fine-tunes that set thresholds, and where each lies."""
    each, folders = config.fine_tunes, [Path(name).expanduser() / "calibration" for name in config.planted] or [SHIPPED]
    return [(i, where) for where in folders if each >= 0 for i in shipped_innocents(each, where=where)]


def _some(triples: list[tuple[Triple, Path]], seeds: int) -> list[tuple[Triple, Path]]:
    """The first triples of each behaviour, however it was planted."""
    sort = [replace(t.spec, seed=0) for t, _ in triples]
    return [one for i, one in enumerate(triples) if not seeds or sort[:i].count(sort[i]) < seeds]


def _planted(folders: Sequence[str]) -> list[tuple[Triple, Path]]:
    """The triples of some folders, or those that ship, and where each lies."""
    where = [Path(name).expanduser() / "calibration" for name in folders]
    return [(t, w) for w in where for t in read_triples(w)] if folders else [(t, SHIPPED) for t in shipped()[0]]
