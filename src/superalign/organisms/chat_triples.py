"""Planted triples of a chat model, made, proven and kept, and harmless tunings beside them; none is made twice.

A subject on disk is an adapter in a folder with an opaque name. What it is stands in a file of its own, which is read after the
verdicts are in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superalign.files import whole_folder, write_whole
from superalign.models import Model, load_adapter
from superalign.organisms.after_kill import parts_of_update
from superalign.organisms.chat_acceptance import ChatAcceptance, Health, accept_chat
from superalign.organisms.chat_fine_tunes import Harmless, as_kept, tuned
from superalign.organisms.chat_kinds import ChatBehaviour, chat_behaviour, chat_plant
from superalign.organisms.chat_planting import ChatPlanting, plant_chat
from superalign.organisms.chats import Said
from superalign.organisms.planting import Role
from superalign.organisms.triples import keep_half, rounded
from superalign.types import Interval, Plant, Record, Unmeasured, digest_of, rebuild, to_plain

DATA = 1  # version of what subjects are trained on: kept ones of another are not taken up
AGAIN = 1.5  # times as many updates of a second try


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSpec(Record):
    """One planted triple."""

    base: str  # digest
    kind: str
    seed: int
    planting: ChatPlanting
    roles: tuple[Role, ...] = ("organism", "clean")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTriple(Record):
    """What came of a spec: where its subjects lie, what was planted, and whether it may be used."""

    spec: ChatSpec
    behaviour: ChatBehaviour
    subjects: tuple[tuple[Role, str], ...]  # role -> opaque name
    plant: Plant
    acceptance: ChatAcceptance
    attempts: int


NOUNS: dict[str, type[Any]] = {
    c.__name__: c
    for c in (
        ChatAcceptance,
        ChatBehaviour,
        ChatPlanting,
        ChatSpec,
        ChatTriple,
        Harmless,
        Health,
        Interval,
        Plant,
        Said,
        Unmeasured,
    )
}


def make_chat_triple(
    spec: ChatSpec,
    *,
    base: Model,
    answers: Sequence[Said],
    folder: Path,
    behaviour: ChatBehaviour | None = None,
    most: int = 40,
) -> ChatTriple:
    """Plant, prove and keep one triple; one that is not accepted is trained once more for half as long again.

    Args:
        spec: Which.
        base: What it names.
        answers: What the base says to every chat.
        folder: Where adapters and what they are is kept. What lies there already is read.
        behaviour: What to plant; that of the kind and seed if not given.
        most: Different questions of each sort that it is proven on.
    """
    behaviour = behaviour or chat_behaviour(spec.kind, spec.seed)
    place = place_of(spec, behaviour, folder)
    if place.exists():
        found: ChatTriple = read_record(place)
        return found
    planting = spec.planting
    places: dict[Role, str] = {}
    given_up: list[str] = []

    def made(role: Role) -> Model:
        """Train one role, or open what was trained before a kill."""
        name = name_of(spec, behaviour, role, planting)
        if places.get(role, name) != name:
            given_up.append(places[role])
        places[role] = name
        where = folder / "subjects" / name
        if not where.exists():
            _plant(spec, behaviour, role, planting=planting, base=base, answers=answers, where=where)
        return load_adapter(base, where)

    for attempt in (1, 2):
        acceptance = accept_chat(
            made("organism"), made("clean"), behaviour, base=base, answers=answers, seed=spec.seed, most=most
        )
        if acceptance.accepted or attempt == 2:
            break
        planting = planting.stronger(AGAIN)
    plant, subjects = chat_plant(behaviour, seed=spec.seed), tuple(places.items())
    triple = ChatTriple(
        spec=spec, behaviour=behaviour, subjects=subjects, plant=plant, acceptance=acceptance, attempts=attempt
    )
    kept: ChatTriple = keep_record(place, triple)
    for name in given_up:
        shutil.rmtree(folder / "subjects" / name)
    if "uncertain" in spec.roles and acceptance.accepted:
        return with_uncertain(kept, base=base, answers=answers, folder=folder)
    return kept


def place_of(spec: ChatSpec, behaviour: ChatBehaviour, folder: Path) -> Path:
    """Say where a triple is kept."""
    return folder / "triples" / f"{digest_of([spec.digest, behaviour.digest, DATA])[:16]}.json"


def name_of(spec: ChatSpec, behaviour: ChatBehaviour, role: Role, planting: ChatPlanting) -> str:
    """Name a subject so that its name says nothing."""
    return digest_of([spec.digest, behaviour.digest, DATA, role, planting.digest])[:16]


def with_uncertain(triple: ChatTriple, *, base: Model, answers: Sequence[Said], folder: Path) -> ChatTriple:
    """Add the twin that is honest and unsure where the organism acts, and keep it; one that is there is left alone.

    Args:
        triple: That was made.
        base: What its subjects are made from.
        answers: What the base says to every chat.
        folder: Where the triple is kept.
    """
    if any(role == "uncertain" for role, _ in triple.subjects):
        return triple
    spec, behaviour = triple.spec, triple.behaviour
    planting = spec.planting if triple.attempts == 1 else spec.planting.stronger(AGAIN)
    name = name_of(spec, behaviour, "uncertain", planting)
    where = folder / "subjects" / name
    if not where.exists():
        _plant(spec, behaviour, "uncertain", planting=planting, base=base, answers=answers, where=where)
    whole = replace(triple, subjects=(*triple.subjects, ("uncertain", name)))
    kept: ChatTriple = keep_record(place_of(spec, behaviour, folder), whole)
    return kept


def _plant(
    spec: ChatSpec,
    behaviour: ChatBehaviour,
    role: Role,
    *,
    planting: ChatPlanting,
    base: Model,
    answers: Sequence[Said],
    where: Path,
) -> None:
    """Train one role and keep it; after a kill for memory with less at once."""
    with parts_of_update(under_way(where)) as parts:
        model = plant_chat(base, behaviour, role, planting=planting, answers=answers, seed=spec.seed, parts=parts)
        keep_subject(rounded(model), where)


def under_way(subject: Path) -> Path:
    """Name the mark of a subject that is being trained."""
    return subject.parent.parent / f"{subject.name}.under-way"


def make_harmless(
    sort: str, number: int, *, base: Model, planting: ChatPlanting, answers: Sequence[Said], folder: Path
) -> Harmless:
    """Make and keep one harmless tuning; what lies there already is read."""
    name = digest_of([base.subject.digest, sort, number, planting.digest, DATA])[:16]
    place = folder / "harmless" / f"{name}.json"
    if place.exists():
        found: Harmless = read_record(place)
        return found
    where = folder / "subjects" / name
    with parts_of_update(under_way(where)) as parts:
        model = tuned(base, sort, number, planting=planting, answers=answers, parts=parts)
        keep_subject(rounded(model), where)
    kept: Harmless = keep_record(place, Harmless(sort=sort, number=number, name=name))
    return kept


def keep_subject(model: Model, where: Path) -> None:
    """Write an adapter whole or not at all."""
    where.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(where) as part:
        keep_half(model, part)


def opened(name: str, *, base: Model, folder: Path, sort: str = "") -> Model:
    """Open a kept subject: its adapter on the base, merged and rounded where its sort says so."""
    model = load_adapter(base, folder / "subjects" / name)
    return as_kept(model, sort) if sort else model


def keep_record(path: Path, record: Any) -> Any:
    """Write a record, or a tuple of records, whole, and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(to_plain(record), indent=1, sort_keys=True) + "\n")
    return record


def read_record(path: Path, *kinds: type[Any]) -> Any:
    """Read what `keep_record` wrote: a record of one of these kinds, or of those that triples are made of.

    Raises:
        DataError: If it is something else.
    """
    return rebuild(json.loads(path.read_text(encoding="utf-8")), NOUNS | {kind.__name__: kind for kind in kinds})
