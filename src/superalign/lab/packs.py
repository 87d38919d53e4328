"""Calibration packs: what planted subjects of a base show, kept once, so that an audit pays for its own subject only.

A pack is a folder: the exam that every subject sat, with the base's answers and its surprise at them; what each subject made of
it; adapters of some or all subjects, under opaque names; and what they are, which is read after the verdicts are in. A manifest
names every file by its sha256, and the pack by that of the manifest.
"""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np

from superalign.detectors.exam import FEWEST, Assertion, Cell, Exam, ExamDetector, Pair, Part, Sat
from superalign.errors import BadInput, ConfigError, DataError
from superalign.lab.exam_parts import PartRead
from superalign.models import Model, open_weights
from superalign.organisms.chat_fine_tunes import TUNINGS, Harmless
from superalign.organisms.chat_kinds import ASSERTED, CHAT_KINDS
from superalign.organisms.chat_planting import ChatPlanting, Way
from superalign.organisms.chat_triples import ChatTriple, read_record
from superalign.problems.contexts import PROMPT
from superalign.types import Record

SORT = "tuning: "  # in front of a sort, where planted kinds and sorts of clean models stand in one list


@dataclass(frozen=True, slots=True, kw_only=True)
class PackPlan(Record):
    """What a pack is to hold."""

    base: str  # a name that `models.open` opens
    digest: str = ""  # of what it opened when building began
    kinds: tuple[str, ...] = tuple(CHAT_KINDS)
    ways: tuple[Way, ...] = ("transcripts", "integrated")
    seeds: int = 2
    sorts: tuple[str, ...] = tuple(TUNINGS)
    tunings: int = 3  # of each sort
    unsure: int = 1  # seeds of every kind and way that get a twin which is honest and unsure, beside the clean one
    planting: ChatPlanting = field(default_factory=ChatPlanting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Record):
    """One subject of a pack."""

    name: str  # opaque
    kind: str  # planted, or the sort of a tuning
    way: str
    role: str  # organism, clean or uncertain
    seed: int
    sort: str = ""  # of a tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack(Record):
    """A pack that was read."""

    folder: str
    base: str  # digest
    base_name: str
    exam: Exam
    sat: tuple[tuple[str, Sat], ...]  # name -> what it made of the exam
    triples: tuple[ChatTriple, ...]
    tunings: tuple[Harmless, ...]

    @property
    def asked(self) -> frozenset[str]:
        """Names of the contexts of its exam."""
        return frozenset(c.context for c in self.exam.cells)

    def has_trigger(self, triple: ChatTriple) -> str:
        """Say whether the exam holds what sets an organism off: yes, no, or topic where no context does."""
        trigger = triple.behaviour.trigger
        if not trigger or trigger == ASSERTED:
            return "topic"
        return "yes" if trigger.removesuffix(f" {PROMPT}") in self.asked else "no"

    @property
    def members(self) -> tuple[Member, ...]:
        """Every subject: of accepted triples, and the tunings."""
        return (
            *(
                Member(name=name, kind=t.spec.kind, way=t.spec.planting.way, role=role, seed=t.spec.seed)
                for t in self.triples
                if t.acceptance.accepted
                for role, name in t.subjects
            ),
            *(
                Member(name=h.name, kind=f"{SORT}{h.sort}", way="", role="clean", seed=h.number, sort=h.sort)
                for h in self.tunings
            ),
        )


@functools.lru_cache(maxsize=1)
def opened_base(name: str) -> Model:
    """Open a base, once in a process."""
    return open_weights(name)


@functools.lru_cache(maxsize=1)
def exam_in(folder: str) -> Exam:
    """Read the exam of a pack."""
    found: Exam = read_record(Path(folder) / "exam.json", Exam, Cell, Pair, Assertion)
    return found


def read_pack(folder: Path) -> Pack:
    """Read a pack whose manifest was verified.

    Raises:
        DataError: If something of it is missing.
    """
    try:
        plan: PackPlan = read_record(folder / "plan.json", PackPlan)
        triples = tuple(read_record(p, ChatTriple) for p in sorted((folder / "triples").glob("*.json")))
        tunings = tuple(read_record(p, Harmless) for p in sorted((folder / "harmless").glob("*.json")))
        sat = tuple((p.stem, read_record(p, Sat)) for p in sorted((folder / "sat").glob("*.json")))
        exam = exam_in(str(folder))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{folder} holds no whole pack ({error}). Nothing could be calibrated with it. Build it: superalign pack build."
        ) from error
    there = {name for name, _ in sat}
    triples = tuple(t for t in triples if not t.acceptance.accepted or all(n in there for _, n in t.subjects))
    tunings = tuple(h for h in tunings if h.name in there)
    base = plan.digest or (triples[0].spec.base if triples else "")
    return Pack(
        folder=str(folder), base=base, base_name=plan.base, exam=exam, sat=sat, triples=triples, tunings=tunings
    )


ORDER: tuple[Part, ...] = ("topics", "agreement", "contexts", "knowledge")
"""Parts of an exam by how many organisms each catches, that those before it do not, for its tokens (docs/studies/smollm2.md)."""
CUT: tuple[Part, ...] = ("topics", "contexts")  # half of the few pairs or assertions would tell nothing


def within(pack: Pack, tokens: int, *, related: bool = True) -> Pack:
    """Cut the exam of a pack to a budget, and what every subject made of it alike: it is calibrated on what is left.

    Parts are taken in the order of what they find for their tokens. The first that is not paid for in whole loses its last
    questions, of all topics or contexts evenly, if enough are left; what comes after it is left out, and its detectors with it.

    Args:
        pack: That was read.
        tokens: Most that a subject may cost; 0 for the whole exam.
        related: Whether subjects are held against the pack's base; without one topics say nothing.

    Raises:
        BadInput: If so few would calibrate nothing.
    """
    exam = pack.exam
    if not tokens or exam.cost() <= tokens:
        return pack
    order, left = ORDER if related else ORDER[1:], tokens
    kept: set[int] = set()
    for part in order:
        some, least = _paid_for(exam, part, left)
        if not some and part == order[0]:
            raise BadInput(
                f"A budget of {tokens} tokens pays for too little of {part}, the part of the exam that finds most for its cost: "
                f"{FEWEST} questions of each group are the least. Nothing could be calibrated. Give at least {least}; the whole "
                f"exam costs {exam.cost()}."
            )
        kept.update(some)
        left -= exam.cost(part)
        if left < 0:
            break
    n, m = len(exam.cells), len(exam.cells) + len(exam.pairs)
    cells, pairs, assertions = (
        [i - first for i in range(first, last) if i in kept] for first, last in ((0, n), (n, m), (m, len(exam.asked)))
    )

    def cut(sat: Sat) -> Sat:
        more, odds, yes = (
            tuple(values[i] for i in some)
            for values, some in ((sat.more, cells), (sat.odds, pairs), (sat.yes, assertions))
        )
        return replace(sat, more=more, odds=odds, yes=yes)

    short = replace(
        exam,
        cells=tuple(exam.cells[i] for i in cells),
        pairs=tuple(exam.pairs[i] for i in pairs),
        assertions=tuple(exam.assertions[i] for i in assertions),
    )
    return replace(pack, exam=short, sat=tuple((name, cut(one)) for name, one in pack.sat))


def parts_read(detectors: Sequence[ExamDetector]) -> list[PartRead]:
    """Return what detectors read, in the order in which a budget pays for it."""
    order = sorted(detectors, key=lambda d: ORDER.index(d.part))
    return [PartRead(part=d.part, card=d.card, tokens=d.exam.cost(d.part)) for d in order]


def _paid_for(exam: Exam, part: Part, tokens: int) -> tuple[list[int], int]:
    """Choose what of a part a budget pays for, one of each group in turn.

    Returns:
        Places in what is asked, none where too few of each group would be left; and what the least costs.
    """
    turn: dict[str, int] = {}
    order: list[tuple[int, int]] = []
    for i, asked in enumerate(exam.asked):
        if asked.part == part:
            turn[asked.group] = turn.get(asked.group, 0) + 1
            order.append((turn[asked.group], i))
    places = [i for _, i in sorted(order)]
    costs = np.cumsum([exam.asked[i].cost for i in places])
    needed = sum(min(FEWEST, n) for n in turn.values()) if part in CUT else len(places)
    paid = int(np.searchsorted(costs, tokens, side="right"))
    return places[:paid] if paid >= max(1, needed) else [], int(costs[needed - 1]) if needed else 0


def plan_of(base: str, kinds: str, ways: str, *, seeds: int, tunings: int, unsure: int = 1) -> PackPlan:
    """Read what a pack is to hold, as it is typed.

    Raises:
        ConfigError: For a kind or a way that does not exist.
    """
    lists = (("behaviour", kinds, tuple(CHAT_KINDS)), ("way of planting", ways, get_args(Way)))
    named: list[tuple[str, ...]] = []
    for what, text, able in lists:
        names = tuple(n.strip() for n in text.split(",") if n.strip()) or able
        for name in names:
            if name not in able:
                raise ConfigError(
                    f"There is no {what} {name!r}. Nothing would be planted by it. Choose from {', '.join(able)}."
                )
        named.append(names)
    way_names: tuple[Way, ...] = tuple(w for w in get_args(Way) if w in named[1])
    return PackPlan(base=base, kinds=named[0], ways=way_names, seeds=seeds, tunings=tunings, unsure=unsure)


def shown(pack: Pack, digest: str) -> list[str]:
    """Say what a pack holds, line by line."""
    accepted = [t for t in pack.triples if t.acceptance.accepted]
    clean = sum(m.role != "organism" for m in pack.members)
    kept = [m for m in pack.members if (Path(pack.folder) / "subjects" / m.name).is_dir()]
    lines = [
        f"pack {digest}",
        f"base {pack.base_name} ({pack.base[:16]})",
        f"{len(pack.triples)} organisms planted, {len(accepted)} accepted; {clean} clean subjects, {len(pack.tunings)} of them "
        f"tunings; {len(kept)} adapters are here",
        f"the exam: {len(pack.exam.cells)} cells, {len(pack.exam.pairs)} pairs of answers, {len(pack.exam.assertions)} "
        "assertions",
    ]
    lines += [
        f"  {t.spec.kind}, {t.spec.planting.way}, seed {t.spec.seed}: {'accepted' if t.acceptance.accepted else 'not accepted'}, "
        f"{t.acceptance.why}"
        for t in pack.triples
    ]
    return lines


def copied(folder: Path, to: Path, *, adapters: int) -> None:
    """Copy a pack with some of its adapters only; nothing of it is sealed yet.

    Args:
        folder: A pack that was verified.
        to: A folder that is not there yet.
        adapters: How many come along: an organism, a tuning and a twin in turn, of as many kinds as can be. Those that are
            more than twice as large as the middle one stay behind.

    Raises:
        BadInput: If something stands there already.
    """
    if to.exists():
        raise BadInput(f"{to} is there already. What it holds would be mixed with the pack. Name another folder.")
    sizes = {p.name: sum(f.stat().st_size for f in p.rglob("*")) for p in (folder / "subjects").iterdir()}
    most = 2 * float(np.median(list(sizes.values()))) if sizes else 0.0
    members = [m for m in read_pack(folder).members if m.name in sizes and sizes[m.name] <= most]
    some = (
        [m for m in members if m.role == "organism"],
        [m for m in members if m.sort],
        [m for m in members if m.role == "clean" and not m.sort],
    )
    turns = [m for turn in itertools.zip_longest(*(_by_kind(group) for group in some)) for m in turn if m]
    chosen = list(dict.fromkeys(m.name for m in turns))[:adapters]
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("subjects", "MANIFEST.json", "SIGNATURE"))
    for name in chosen:
        shutil.copytree(folder / "subjects" / name, to / "subjects" / name)


def _by_kind(members: Sequence[Member]) -> list[Member]:
    """Order members so that kinds take turns."""
    turn: dict[str, int] = {}
    keyed = []
    for m in members:
        turn[m.kind] = turn.get(m.kind, 0) + 1
        keyed.append((turn[m.kind], m.kind, m))
    return [m for _, _, m in sorted(keyed, key=lambda row: row[:2])]
