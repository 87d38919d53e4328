"""Plant organisms of unseen kinds, or take those that ship; every detector of an audit looks, at an audit's thresholds."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from superalign.kit.blind import Opened, look, open_seals, register
from superalign.kit.run import Run
from superalign.lab.instruments import instruments
from superalign.lab.looking import SubjectJob, look_job
from superalign.lab.planted import greedy
from superalign.organisms.fine_tunes import SORT, shipped_innocents
from superalign.organisms.outside_kinds import SCORES, SET, VARIANTS, behaviour_in, spec_of, that_ship
from superalign.organisms.triples import Triple, make_triple, shipped
from superalign.studies.unseen.evidence import Evidence
from superalign.studies.unseen.study import Config
from superalign.trials import Outsider, unplanted
from superalign.types import Unmeasured, Verdict, to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One organism, as a job or as it ships: its kind, its number, and what came of planting it."""

    variant: str
    number: int
    triple: Triple

    @property
    def organism(self) -> str:
        """Name of its folder."""
        return dict(self.triple.subjects)["organism"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantingJob:
    """One organism to plant."""

    variant: str
    number: int
    steps: int


def measure(config: Config, run: Run) -> Evidence:
    """Look at organisms of unseen kinds and at the calibration set that ships, and hold the former against its thresholds."""
    cards = tuple(d.card for d in instruments("small", "", 96, 20, 0))
    registered = register(run, cards, rate=config.false_positive_rate, recall_bar=0.5)
    (known, where), clean = shipped(), shipped_innocents()
    target = run.folder / "work" / "planted" if config.again else SET
    planted = _plant(config, run) if config.again else [p for p in _shipped() if p.variant in config.kinds]
    accepted = [p for p in planted if p.triple.acceptance.accepted]
    run.stage("every detector looks at every subject")
    paths = {n: where / n for t in known for _, n in t.subjects} | {i.name: where / i.name for i in clean}
    paths |= {p.organism: target / p.organism for p in accepted}
    looking = functools.partial(
        look_job, base="small", said="", max_tokens=96, asked=20, cues=0, texts_only=False, investigator=""
    )
    seen = look(registered, {n: SubjectJob(path=str(p)) for n, p in paths.items()}, looking)
    every = [*known, *(p.triple for p in planted)]
    # As in an audit, clean fine-tunes set thresholds beside the twins.
    truth = {n: (t.spec.kind, role, t.spec.seed) for t in known for role, n in t.subjects}
    truth |= {i.name: (f"{SORT}{i.sort}", "clean", i.number) for i in clean}
    plants = [*(t.plant for t in every), *(t.acceptance for t in every), *clean]
    opened = open_seals(seen, plants=plants, truth=truth, known=frozenset(truth))
    names = {c.digest: c.name for c in cards}
    outsiders = [_outsider(p, seen.verdicts[p.organism], names) for p in accepted]
    if config.install:
        _install(accepted, outsiders, target, {c.name: c.digest for c in cards})
    outside = unplanted(opened.unsealed, opened.calibrations, outsiders)
    run.keep(outside.calibration)
    return Evidence(
        planted=len(planted), accepted=len(accepted), outside=outside, flagged=_flagged_alone(opened, outsiders)
    )


def _shipped() -> list[Planted]:
    return [Planted(variant=v, number=n, triple=t) for v, n, t in that_ship()]


def _plant(config: Config, run: Run) -> list[Planted]:
    """Plant organisms anew."""
    todo = [
        PlantingJob(variant=v, number=100 * run.seed + i, steps=config.steps)
        for i in range(config.seeds)
        for v in config.kinds
    ]
    run.stage(f"planting {len(todo)} organisms of kinds outside the calibration set")
    planting = functools.partial(planting_job, folder=str(run.folder / "work" / "planted"), proof=config.proof)
    return run.map(planting, todo, name="others", progress="planting")


def planting_job(item: PlantingJob, *, folder: str, proof: int) -> Planted:
    """Plant one organism beside its clean twin."""
    spec, behaviour = spec_of(item.variant, item.number, steps=item.steps), behaviour_in(item.variant, item.number)
    triple = make_triple(
        spec, origin=greedy(spec.base), folder=folder, proof=proof, behaviour=behaviour, roles=("organism", "clean")
    )
    return Planted(variant=item.variant, number=item.number, triple=triple)


def _outsider(planted: Planted, verdicts: Sequence[Verdict], names: dict[str, str]) -> Outsider:
    """Keep an organism with what each detector scored it."""
    scores = {names[v.instrument]: v.score.value for v in verdicts if not isinstance(v.score, Unmeasured)}
    name, held = f"{planted.variant} {planted.number}", VARIANTS[planted.variant].held
    return Outsider(name=name, kind=planted.variant, held=held, scores=scores)


def _install(accepted: Sequence[Planted], outsiders: Sequence[Outsider], source: Path, cards: dict[str, str]) -> None:
    """Put organisms and their scores where audits read them."""
    if source != SET:
        shutil.rmtree(SET, ignore_errors=True)
        for planted in accepted:
            shutil.copytree(source / planted.organism, SET / planted.organism)
        rows = [to_plain(dataclasses.asdict(p) | {"triple": p.triple}) for p in accepted]
        (SET / "organisms.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
    kept = [
        dataclasses.asdict(o) | {"does": p.triple.spec.kind, "where": p.triple.plant.where}
        for p, o in zip(accepted, outsiders, strict=True)
    ]
    SCORES.write_text(json.dumps({"cards": cards, "organisms": kept}, indent=1, sort_keys=True) + "\n")


def _flagged_alone(opened: Opened, outsiders: Sequence[Outsider]) -> dict[str, list[bool]]:
    """Which organisms each detector flags at its own threshold."""
    out = {}
    for card in opened.registered.combination.parts:
        limit = opened.calibrations[card.digest][-1].threshold_high
        scores = [o.scores.get(card.name) for o in outsiders]
        out[card.name] = [s is not None and not isinstance(limit, Unmeasured) and s > limit for s in scores]
    return out
