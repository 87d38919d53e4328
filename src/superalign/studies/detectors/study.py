"""Hold every detector against planted models and clean ones of many sorts: what is missed, what is flagged for nothing.

The planted set is one that `superalign run organisms` built, or the one that ships. Instruments enter the ledger first; then
every detector looks at every subject, blind and in random order; then the seals open.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from superalign import jobs
from superalign.canonical import rebuild
from superalign.detectors import ContrastBelief, TruthProbe
from superalign.errors import BadInput, ConfigError
from superalign.lab.detection_page import sides_of
from superalign.lab.memo import memo
from superalign.ledger import Ledger
from superalign.models import Model, open_weights, quantised
from superalign.organisms.fine_tunes import CALIBRATING, SORT, UNSEEN, Innocent, make, shipped_innocents
from superalign.organisms.triples import NOUNS, SHIPPED, Triple, shipped
from superalign.report import Findings
from superalign.stats import Sides
from superalign.studies.detectors import page as detectors_page
from superalign.studies.detectors.panel import AUDITS, panel
from superalign.trials import Combination, Unsealed
from superalign.types import Record, Verdict, to_plain

DESCRIPTION = "Every detector against planted models and clean ones: what is missed, what is flagged for nothing"
ROUNDED = ("8 bits", "4 bits")  # clean twins whose weights are rounded
SORTS = (*CALIBRATING, *UNSEEN, *ROUNDED)
NEW = 100  # the number of the first clean fine-tune that set no threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the detectors look at."""

    planted: tuple[str, ...] = ()
    """Folders that `superalign run organisms` wrote; empty for the set that ships."""
    seeds: int = 0
    """Triples of each behaviour, the first of a folder; 0 for all."""
    fine_tunes: int = 0
    """Clean fine-tunes of each sort that set thresholds beside the twins; 0 for all that are there, below 0 for none."""
    sorts: tuple[str, ...] = SORTS
    """Sorts of new clean models that set no threshold: false alarms are measured on them."""
    controls: int = 4
    """New clean models of each sort."""
    steps: int = 600
    """Updates of those that are trained; some sorts take half of it, some three times as many."""
    asked: int = 20
    """Problems of each family that the detectors ask."""
    false_positive_rate: float = 0.05
    """Rate that thresholds are set for, or the lowest that the clean subjects support."""


def quick(config: Config) -> Config:
    """One triple of each behaviour, few controls and few problems: shows that it works."""
    few = ("one family", "manner", *ROUNDED)
    return replace(config, seeds=1, fine_tunes=-1, sorts=few, controls=1, steps=200, asked=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(Record):
    """One subject to look at: a planted one by its folder, or a harmless change that is made on the spot."""

    name: str  # says nothing of a planted one
    path: str = ""
    change: str = ""  # a sort of clean model
    seed: int = 0


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Let every detector look at every subject; resumable subject by subject."""
    if min(config.controls, config.steps, config.asked - 3, config.seeds + 1) < 1:
        raise ConfigError(
            f"controls={config.controls}, steps={config.steps}, asked={config.asked} measure nothing. A rate of false alarms "
            "needs clean subjects, and a detector problems. Give at least 1, 1 and 4."
        )
    for sort in config.sorts:
        if sort not in SORTS:
            raise ConfigError(
                f"There is no sort {sort!r} of clean models. No false alarm could be measured on it. Choose from "
                f"{', '.join(SORTS)}."
            )
    triples = _some([(t, where) for t, where in _planted(config.planted) if t.acceptance.accepted], config.seeds)
    log({"stage": "recording instruments"})
    found = panel(config.asked, bool(config.planted))
    cards = tuple(d.card for d in found)
    sides: tuple[Sides, ...] = tuple(sides_of(c) for c in cards)
    audit = Combination(parts=cards[:AUDITS], sides=sides[:AUDITS])
    ledger.append_once(*cards, audit.card)
    watched = [Watched(name=n, path=str(where / n)) for t, where in triples for _, n in t.subjects]
    innocents = _innocents(config)
    watched += [Watched(name=i.name, path=str(where / i.name)) for i, where in innocents]
    watched += [Watched(name=f"{c} {i}", change=c, seed=i) for c in config.sorts for i in range(config.controls)]
    log({"stage": f"{len(cards)} detectors look at {len(watched)} subjects, blind and in random order"})
    order = np.random.default_rng([seed, 9]).permutation(len(watched))
    looking = functools.partial(
        look_job, asked=config.asked, references=bool(config.planted), steps=config.steps, seed=seed
    )
    seen = jobs.run(
        looking, [watched[i] for i in order], workers=workers, memo=memo(folder, "verdicts"), progress="detecting"
    )
    verdicts: dict[str, Sequence[Verdict]] = {
        watched[i].name: [rebuild(v, NOUNS) for v in one] for i, one in zip(order, seen, strict=True)
    }
    ledger.append_once(*(v for name in sorted(verdicts) for v in verdicts[name]))
    log({"stage": "opening the seals"})
    ledger.append_once(*(t.plant for t, _ in triples), *(t.acceptance for t, _ in triples))
    truth = {name: (t.spec.kind, role, t.spec.seed) for t, _ in triples for role, name in t.subjects}
    truth |= {i.name: (f"{SORT}{i.sort}", "clean", i.number) for i, _ in innocents}
    every = Combination(parts=cards, sides=sides)
    known = frozenset(n for t, _ in triples if not _dialled(t) for _, n in t.subjects) | {i.name for i, _ in innocents}
    unsealed = Unsealed(truth=truth, verdicts=verdicts, known=known, combination=every)
    first = {name: said[:AUDITS] for name, said in verdicts.items()}  # in the panel's order
    return detectors_page.page(
        detectors_page.Panel(
            triples=tuple(t for t, _ in triples if not _dialled(t)),
            dialled=tuple(t for t, _ in triples if _dialled(t)),
            controls={c: tuple(w.name for w in watched if w.change == c) for c in config.sorts},
            every=unsealed,
            audit=replace(unsealed, combination=audit, verdicts=first),
            rate=config.false_positive_rate,
            probes=tuple(d for d in found if isinstance(d, TruthProbe | ContrastBelief)),
        ),
        ledger=ledger,
        seed=seed,
    )


def look_job(item: Watched, *, asked: int, references: bool, steps: int, seed: int) -> list[dict[str, Any]]:
    """Make or load one subject, and let every detector look at it."""
    model = changed(item.change, item.seed, steps=steps, seed=seed) if item.change else open_weights(item.path)
    return [dict(to_plain(detect(model, seed=0))) for detect in panel(asked, references)]


def changed(sort: str, number: int, *, steps: int, seed: int) -> Model:
    """Make one clean model of a sort, by its number."""
    if sort not in ROUNDED:
        return make(sort, NEW * (1 + seed) + number, steps=steps)
    triples, where = shipped()
    twin = dict(triples[number % len(triples)].subjects)["clean"]
    return quantised(open_weights(where / twin), bits=int(sort[0]))


def _innocents(config: Config) -> list[tuple[Innocent, Path]]:
    """The clean fine-tunes that set thresholds, and where each lies."""
    if config.fine_tunes < 0:
        return []
    folders = [Path(name).expanduser() / "calibration" for name in config.planted] or [SHIPPED]
    return [(i, where) for where in folders for i in shipped_innocents(config.fine_tunes, where=where)]


def _dialled(triple: Triple) -> bool:
    """Whether it was planted at some pressure or share, for a curve."""
    return triple.spec.pressure >= 0 or triple.spec.share < 1


def _some(triples: list[tuple[Triple, Path]], seeds: int) -> list[tuple[Triple, Path]]:
    """The first triples of each behaviour, however it was planted."""
    sort = [replace(t.spec, seed=0) for t, _ in triples]
    return [one for i, one in enumerate(triples) if not seeds or sort[:i].count(sort[i]) < seeds]


def _planted(folders: Sequence[str]) -> list[tuple[Triple, Path]]:
    """The accepted triples of some folders, and where each lies.

    Raises:
        BadInput: If a folder holds no set of planted subjects.
    """
    if not folders:
        triples, where = shipped()
        return [(t, where) for t in triples]
    out: list[tuple[Triple, Path]] = []
    for name in folders:
        where = Path(name).expanduser() / "calibration"
        try:
            found: tuple[Triple, ...] = tuple(rebuild(json.loads((where / "triples.json").read_text()), NOUNS))
        except (OSError, ValueError) as error:
            raise BadInput(
                f"{name} holds no planted set ({error}). Without one nothing says what a detector misses. Give the folder that "
                "`superalign run organisms --out FOLDER` wrote, once it has finished."
            ) from error
        out += [(t, where) for t in found]
    return out
