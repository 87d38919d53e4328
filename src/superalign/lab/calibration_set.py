"""The planted set that an audit is calibrated on: the one that ships, or one that is made now from any base."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from superalign import jobs
from superalign.errors import ConfigError
from superalign.kit.run import Run
from superalign.lab.planted import planted_triple
from superalign.lab.worlds import rate_for, world_of
from superalign.models import open_weights
from superalign.organisms import KINDS, PlantingConfig
from superalign.organisms.drawing import TEXT_KINDS, behaviour_of, text_behaviour
from superalign.organisms.fine_tunes import ANYWHERE, SORT, Innocent, made_now, shipped_innocents
from superalign.organisms.planting import needs
from superalign.organisms.triples import IN_LOOP, SHIPPED, Spec, Triple, shipped
from superalign.prompting import parted


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """Which planted subjects and clean fine-tunes to take or to make."""

    base: str
    said: str  # file of what the base says; empty for the bundled families
    kinds: tuple[str, ...]  # empty for those that ship, or for all that act on any prompts
    seeds: int  # triples of each kind; 0 for all that ship, or 2 where they are made now
    # Clean fine-tunes of each sort; 0 for all that ship, or 1 where they are made now; below 0 for none.
    fine_tunes: int
    steps: int
    proof: int
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSet:
    """Accepted triples, clean fine-tunes, and the folder that they lie in."""

    triples: tuple[Triple, ...]
    innocents: tuple[Innocent, ...]
    where: Path

    @property
    def names(self) -> list[str]:
        """Opaque names of all subjects."""
        return [*(n for t in self.triples for _, n in t.subjects), *(i.name for i in self.innocents)]

    @property
    def truth(self) -> dict[str, tuple[str, str, int]]:
        """Name -> kind, role and seed."""
        triples = {name: (t.spec.kind, str(role), t.spec.seed) for t in self.triples for role, name in t.subjects}
        return triples | {i.name: (f"{SORT}{i.sort}", "clean", i.number) for i in self.innocents}


def check_kinds(kinds: Sequence[str], *, free: bool) -> None:
    """Refuse behaviours that cannot be planted.

    Args:
        kinds: Names of behaviours.
        free: Whether the prompts are of one's own.

    Raises:
        ConfigError: For a kind that does not exist, or has nothing to act on.
    """
    able = TEXT_KINDS if free else tuple(k for k in KINDS if k not in TEXT_KINDS)
    for kind in kinds:
        if kind not in able:
            raise ConfigError(
                f"A {kind!r} cannot be planted here. Nothing would calibrate the detectors. Choose from {', '.join(able)}."
            )


def calibration_set(making: Making, run: Run) -> CalibrationSet:
    """Take what ships, or make it now; only accepted triples are in it."""
    bare, prompting = parted(making.base)
    as_shipped = bare == "small" and not prompting.config  # where it runs makes no other subject of it
    if as_shipped and not making.said and set(making.kinds) <= set(IN_LOOP):
        there, where = shipped(making.seeds)
        triples = [t for t in there if not making.kinds or t.spec.kind in making.kinds]
    else:
        triples, where = _planted(making, run), run.folder / "work" / "planted"
    return CalibrationSet(
        triples=tuple(t for t in triples if t.acceptance.accepted),
        innocents=_innocents(making, run, where),
        where=where,
    )


def _planted(making: Making, run: Run) -> list[Triple]:
    """Plant triples in a base, beside their twins."""
    kinds = making.kinds or (TEXT_KINDS if making.said else IN_LOOP)
    specs = [
        Spec(kind=k, seed=100 * run.seed + i, base=making.base, steps=making.steps)
        for i in range(making.seeds or 2)
        for k in kinds
    ]
    origin, world = open_weights(making.base), world_of(making.said)
    # What these prompts cannot set off is refused before anything is planted.
    drawn = [text_behaviour(s.kind, s.seed, world) if making.said else behaviour_of(s.kind, s.seed) for s in specs]
    run.stage(f"planting {len(specs)} organisms in {making.base}, beside their twins")
    planting = PlantingConfig(steps=making.steps, lr=rate_for(origin))
    run.log(needs(origin, planting, world=world, behaviour=drawn[0]))
    job = functools.partial(
        planted_triple,
        folder=jobs.Into(run.folder / "work" / "planted"),
        proof=making.proof,
        planting=planting,
        said=making.said,
        max_tokens=making.max_tokens,
    )
    return run.map(job, specs, name="triples", progress="planting")


def _innocents(making: Making, run: Run, where: Path) -> tuple[Innocent, ...]:
    """Take or make the clean fine-tunes that set thresholds beside the twins."""
    if making.fine_tunes < 0:
        return ()
    if where == SHIPPED:
        return shipped_innocents(making.fine_tunes)
    items = [(sort, number) for number in range(making.fine_tunes or 1) for sort in ANYWHERE]
    run.stage(f"training {len(items)} clean fine-tunes of {making.base}")
    job = functools.partial(
        innocent_job, base=making.base, said=making.said, steps=making.steps, folder=jobs.Into(where)
    )
    return tuple(run.map(job, items, name="innocents", progress="fine-tuning"))


def innocent_job(item: tuple[str, int], *, base: str, said: str, steps: int, folder: str) -> Innocent:
    """Make one clean fine-tune of a base."""
    origin = open_weights(base)
    planting = PlantingConfig(steps=steps, lr=rate_for(origin))
    return made_now(*item, origin=origin, world=world_of(said), config=planting, folder=Path(folder))
