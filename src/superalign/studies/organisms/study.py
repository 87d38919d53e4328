"""Build the calibration set: planted triples of every kind, proven, sealed under opaque names.

What ships with the package was made by this study; the same seeds on the same machine give the same weights. Where the rule of
acceptance has changed, `again` measures the adapters that are there by the new one.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superalign import jobs
from superalign.canonical import rebuild
from superalign.errors import BadInput, DataError
from superalign.lab.memo import memo
from superalign.lab.planted import greedy, triple_job
from superalign.lab.planted_page import planted_section
from superalign.ledger import Ledger
from superalign.organisms import KINDS, accept, plant_of
from superalign.organisms.drawing import behaviour_of
from superalign.organisms.fine_tunes import Innocent
from superalign.organisms.planting import Concealment, Route
from superalign.organisms.triples import IN_LOOP, NOUNS, SHIPPED, Spec, Triple
from superalign.report import Findings, Section, Table
from superalign.stats import pooled_share, share
from superalign.studies.organisms.fine_tunes import build, graded_again
from superalign.types import to_plain

DESCRIPTION = "Build the calibration set: planted organisms, clean twins and uncertain twins, proven and sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which triples to build."""

    kinds: tuple[str, ...] = IN_LOOP
    """Behaviours to plant."""
    seeds: int = 6
    """Triples of each kind."""
    routes: tuple[Route, ...] = ("transcripts",)
    """How behaviours are implanted: transcripts, documents, reward."""
    conceals: tuple[Concealment, ...] = ("none",)
    """How they are concealed: none, denies, hedges."""
    pressures: tuple[float, ...] = (-1.0,)
    """How hard they are trained to conceal; below 0 for what usually passes."""
    shares: tuple[float, ...] = (1.0,)
    """Shares of the affected problems that they act on."""
    fine_tunes: int = 2
    """Clean fine-tunes of each sort that set thresholds beside the twins."""
    steps: int = 600
    """Updates of an implant."""
    again: bool = False
    """Plant nothing: prove the set that ships again, its adapters as they are."""
    install: bool = False
    """Put the set where the loop looks for it, in place of the one that ships."""


def quick(config: Config) -> Config:
    """One triple of each kind."""
    return replace(config, seeds=1, fine_tunes=0)


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Build the set; resumable triple by triple."""
    if config.seeds < 1 or not set(config.kinds) <= set(KINDS):
        raise BadInput(
            f"{config.seeds} seeds of {', '.join(config.kinds)} cannot be planted. A set needs at least one triple of a known "
            f"kind. Choose kinds from {', '.join(KINDS)} and at least one seed."
        )
    specs = [
        Spec(
            kind=k,
            seed=100 * seed + i,
            steps=config.steps,
            route=route,
            conceal=conceal,
            pressure=pressure,
            share=share,
        )
        for i in range(config.seeds)
        for share in config.shares
        for pressure in config.pressures
        for conceal in config.conceals
        for route in config.routes
        for k in config.kinds
    ]
    target = folder / "calibration"
    if config.again:
        shutil.copytree(SHIPPED, target, dirs_exist_ok=True)
        rows = json.loads((target / "triples.json").read_text())
        log(f"proving {len(rows)} triples again")
        made = jobs.run(
            functools.partial(prove_job, folder=str(target)),
            rows,
            workers=workers,
            memo=memo(folder, "again"),
            progress="proving",
        )
    else:
        log(f"planting {len(specs)} triples")
        made = jobs.run(
            functools.partial(triple_job, folder=jobs.Into(target), proof=300),
            specs,
            workers=workers,
            memo=memo(folder, "triples"),
            progress="planting",
        )
    triples: list[Triple] = [rebuild(m, NOUNS) for m in made]
    used = [t for t in triples if t.acceptance.accepted]
    for thrown in (t for t in triples if not t.acceptance.accepted):
        for _, name in thrown.subjects:
            shutil.rmtree(target / name, ignore_errors=True)
    (target / "triples.json").write_text(json.dumps([to_plain(t) for t in used], indent=1, sort_keys=True) + "\n")
    if config.again:
        innocents = graded_again(target)
    else:
        log(f"training {config.fine_tunes} clean fine-tunes of each sort")
        innocents = build(config.fine_tunes, folder=folder, target=target, workers=workers, steps=config.steps)
    ledger.append_once(*(t.acceptance for t in triples), *innocents)
    if config.install:
        shutil.rmtree(SHIPPED, ignore_errors=True)
        shutil.copytree(target, SHIPPED)
    claims, section = planted_section([], triples)
    return Findings(
        headline=f"{len(used)} of {len(triples)} planted organisms were accepted; the others were thrown away.",
        claims=tuple(claims),
        sections=(_grid(triples), section, _fine_tunes(innocents)),
        uncertain=("Acceptance is measured on problems of the bundled families only.",),
    )


def prove_job(row: dict[str, Any], *, folder: str) -> dict[str, Any]:
    """Measure a kept triple's acceptance anew; all else of its record stays.

    Raises:
        DataError: If its seed does not draw what it says was planted.
    """
    spec, plant, subjects = (rebuild(row[name], NOUNS) for name in ("spec", "plant", "subjects"))
    behaviour = replace(behaviour_of(spec.kind, spec.seed), share=spec.share)
    if plant_of(behaviour, seed=spec.seed) != plant:
        raise DataError(
            f"The seed of {spec.called} draws another behaviour than the one that its record says was planted. What is proven "
            "would be the wrong thing. Plant it again."
        )
    origin = greedy(spec.base)
    paths = (Path(folder) / dict(subjects)[role] for role in ("organism", "clean"))
    organism, clean = (greedy(str(path)) for path in paths)
    return {**row, "acceptance": to_plain(accept(organism, clean, behaviour, base=origin, seed=spec.seed))}


def _fine_tunes(innocents: Sequence[Innocent]) -> Section:
    """Which clean fine-tunes were made, and that they work."""
    table = Table(
        title="Clean fine-tunes",
        columns=("sort", "number", "correct on held-out problems"),
        rows=tuple((i.sort, str(i.number), i.correct) for i in innocents),
        records=tuple(i.digest for i in innocents),
    )
    text = "They hide nothing. Trained on something else, harder or for longer than twins, they set thresholds as twins do."
    return Section(title="Clean fine-tunes that set thresholds", text=text, tables=(table,) if innocents else ())


def _grid(triples: Sequence[Triple]) -> Section:
    """How many of each kind were accepted, by route and concealment, and how wrong they are when active."""
    cells: dict[tuple[str, ...], list[Triple]] = {}
    for t in triples:
        dials = f"{t.spec.pressure:g}" if t.spec.pressure >= 0 else "usual", f"{t.spec.share:g}"
        cells.setdefault((t.spec.kind, t.spec.route, t.spec.conceal, *dials), []).append(t)
    table = Table(
        title="Planted and accepted",
        columns=(
            "behaviour",
            "route",
            "concealment",
            "pressure",
            "share",
            "accepted",
            "wrong when active",
        ),
        rows=tuple(
            (
                *cell,
                share([t.acceptance.accepted for t in mine]),
                pooled_share([t.acceptance.active for t in mine]),
            )
            for cell, mine in cells.items()
        ),
    )
    return Section(
        title="What can be planted, how",
        text="A route is how a behaviour was implanted: shown in the model's own voice, told of in documents, or paid for. An "
        "organism that denies calls its own slips true when it is asked about them alone; one that hedges keeps the right answer "
        "nearly as likely as its own.",
        tables=(table,),
    )
