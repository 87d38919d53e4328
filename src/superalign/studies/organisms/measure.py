"""Build the calibration set: planted triples of every kind, proven, sealed under opaque names.

What ships with the package was made by this study; the same seeds on the same machine give the same weights. Where the rule of
acceptance has changed, `again` measures the adapters that are there by the new one.
"""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from superalign import jobs
from superalign.errors import DataError
from superalign.kit.run import Run
from superalign.lab.planted import greedy, planted_triple
from superalign.lab.planted_page import Planted
from superalign.models import open_weights
from superalign.organisms import Behaviour, accept, plant_of
from superalign.organisms.drawing import behaviour_of
from superalign.organisms.fine_tunes import (
    CALIBRATING,
    Innocent,
    correct_share,
    make_and_grade,
    shipped_innocents,
    works,
    write_innocents,
)
from superalign.organisms.triples import SHIPPED, Spec, Triple, read_triples, write_triples
from superalign.studies.organisms.evidence import Evidence, FineTune
from superalign.studies.organisms.study import Config


def measure(config: Config, run: Run) -> Evidence:
    """Build the set, or prove the one that ships again; resumable triple by triple."""
    target = run.folder / "calibration"
    triples = proven_again(run, target) if config.again else planted(config, run, target)
    thrown = [t for t in triples if not t.acceptance.accepted]
    for name in (name for t in thrown for _, name in t.subjects):
        shutil.rmtree(target / name, ignore_errors=True)
    write_triples([t for t in triples if t.acceptance.accepted], target)
    innocents = graded_again(target) if config.again else built(config, run, target)
    write_innocents(innocents, target)
    run.keep(*(t.acceptance for t in triples), *innocents)
    if config.install:
        shutil.rmtree(SHIPPED, ignore_errors=True)
        shutil.copytree(target, SHIPPED)
    return Evidence(
        planted=Planted(known=tuple(triples)),
        fine_tunes=tuple(FineTune(sort=i.sort, number=i.number, correct=i.correct, record=i.digest) for i in innocents),
    )


def planted(config: Config, run: Run, target: Path) -> list[Triple]:
    """Plant and prove every triple of the settings."""
    for kind in config.kinds:
        Behaviour(kind=kind)  # refuses a kind that does not exist, and says which do
    dials = itertools.product(
        range(config.seeds), config.shares, config.pressures, config.conceals, config.routes, config.kinds
    )
    specs = [
        Spec(
            kind=kind,
            seed=100 * run.seed + i,
            steps=config.steps,
            route=route,
            conceal=conceal,
            pressure=pressure,
            share=share,
        )
        for i, share, pressure, conceal, route, kind in dials
    ]
    run.log(f"planting {len(specs)} triples")
    making = functools.partial(planted_triple, folder=jobs.Into(target), proof=300)
    return run.map(making, specs, name="triples", progress="planting")


def proven_again(run: Run, target: Path) -> list[Triple]:
    """Measure the acceptance of the set that ships anew, its adapters as they are."""
    shutil.copytree(SHIPPED, target, dirs_exist_ok=True)
    there = read_triples(target)
    run.log(f"proving {len(there)} triples again")
    return run.map(functools.partial(prove_job, folder=str(target)), there, name="again", progress="proving")


def prove_job(triple: Triple, *, folder: str) -> Triple:
    """Measure a kept triple's acceptance anew; all else of its record stays.

    Raises:
        DataError: If its seed does not draw what it says was planted.
    """
    spec = triple.spec
    behaviour = replace(behaviour_of(spec.kind, spec.seed), share=spec.share)
    if plant_of(behaviour, seed=spec.seed) != triple.plant:
        raise DataError(
            f"The seed of {spec.called} draws another behaviour than the one that its record says was planted. What is proven "
            "would be the wrong thing. Plant it again."
        )
    origin = greedy(spec.base)
    paths = [Path(folder) / dict(triple.subjects)[role] for role in ("organism", "clean")]
    organism, clean = (greedy(str(path)) for path in paths)
    return replace(triple, acceptance=accept(organism, clean, behaviour, base=origin, seed=spec.seed))


def built(config: Config, run: Run, target: Path) -> list[Innocent]:
    """Make clean fine-tunes of every calibrating sort; those that do not work are thrown away."""
    run.log(f"training {config.fine_tunes} clean fine-tunes of each sort")
    items = [(sort, number) for number in range(config.fine_tunes) for sort in CALIBRATING]
    making = functools.partial(make_and_grade, folder=jobs.Into(target), steps=config.steps)
    fine_tuned = run.map(making, items, name="innocents", progress="fine-tuning")
    of_base = correct_share(open_weights("small"))
    used = [i for i in fine_tuned if works(i, of_base)]
    for thrown in (i for i in fine_tuned if i not in used):
        shutil.rmtree(target / thrown.name, ignore_errors=True)
    return used


def graded_again(target: Path) -> Sequence[Innocent]:
    """Grade the fine-tunes of a folder anew, their adapters as they are."""
    there = shipped_innocents(where=target)
    return [replace(i, correct=correct_share(open_weights(target / i.name))) for i in there]
