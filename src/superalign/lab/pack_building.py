"""Build a calibration pack: plant, tune, and let everything sit the exam; what is there is not made again."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from superalign import jobs
from superalign.detectors.exam import Sat, sit, surprise
from superalign.errors import BadInput
from superalign.files import PART
from superalign.lab.pack_exam import exam_for
from superalign.lab.packs import Pack, PackPlan, exam_in, opened_base, read_pack
from superalign.models import Model, encode
from superalign.organisms.chat_fine_tunes import TUNINGS
from superalign.organisms.chat_kinds import chat_behaviour
from superalign.organisms.chat_planting import plant_chat
from superalign.organisms.chat_triples import (
    ChatSpec,
    keep_record,
    make_chat_triple,
    make_harmless,
    opened,
    read_record,
    with_uncertain,
)
from superalign.organisms.chats import Said, answers_of, chats
from superalign.types import Record


def specs_of(plan: PackPlan, base: str) -> list[ChatSpec]:
    """Return every triple of a plan, the first seeds of all kinds and ways first, so that a part of a pack is of use."""
    return [
        ChatSpec(base=base, kind=kind, seed=seed, planting=replace(plan.planting, way=way))
        for seed in range(plan.seeds)
        for way in plan.ways
        for kind in plan.kinds
    ]


def tunings_of(plan: PackPlan) -> list[tuple[str, int]]:
    """Return every harmless tuning of a plan."""
    return [(sort, number) for number in range(plan.tunings) for sort in plan.sorts]


@functools.lru_cache(maxsize=1)
def answers_in(folder: str) -> tuple[Said, ...]:
    """Read what the base of a pack says."""
    found: tuple[Said, ...] = read_record(Path(folder) / "answers.json", Said)
    return found


def prepare(plan: PackPlan, folder: Path, log: Callable[[str], None]) -> None:
    """Ask the base and make the exam, once; what subjects made of an exam that is gone goes with it."""
    base = opened_base(plan.base)
    said, exam = folder / "answers.json", folder / "exam.json"
    if not said.exists():
        log(f"asking the base {len(chats())} questions")
        keep_record(said, answers_of(base))
    if not exam.exists():
        began = time.process_time()
        keep_record(exam, exam_for(base, answers_in(str(folder))))
        shutil.rmtree(folder / "sat", ignore_errors=True)
        log(f"the exam takes {time.process_time() - began:.0f} s of one core")


def build(plan: PackPlan, folder: Path, *, workers: int, log: Callable[[str], None], minutes: float = 0.0) -> Pack:
    """Build a pack, or go on where a build was stopped; what is there is not made again.

    Args:
        plan: What it is to hold.
        folder: Where.
        workers: Processes.
        log: Takes a line.
        minutes: Begin nothing new after so long; 0 for no limit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock", timeout=0)
    try:
        with lock:
            return _build(plan, folder, workers=workers, log=log, minutes=minutes)
    except Timeout:
        raise BadInput(
            f"Another process builds a pack in {folder}. The two would take each other's half-made subjects away. Wait for it, "
            "or build into another folder."
        ) from None


def _build(plan: PackPlan, folder: Path, *, workers: int, log: Callable[[str], None], minutes: float) -> Pack:
    for left in folder.rglob(f"{PART}*"):  # by a kill: what was under way
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    base = opened_base(plan.base).subject.digest
    _refuse_other_base(plan, base, folder)
    keep_record(folder / "plan.json", replace(plan, digest=base))
    prepare(plan, folder, log)
    triples, tunings = specs_of(plan, base), tunings_of(plan)
    tasks = _dealt_out([PackTask(spec=s) for s in triples], [PackTask(sort=s, number=n) for s, n in tunings])
    until = time.time() + 60 * minutes if minutes else 0.0
    job = functools.partial(pack_job, plan=plan, folder=str(folder), until=until)
    jobs.run(job, tasks, workers=workers, progress="building the pack")
    return read_pack(folder)


def _refuse_other_base(plan: PackPlan, digest: str, folder: Path) -> None:
    """Refuse to go on with a pack of another base: its exam and its subjects would be taken for this one's.

    Raises:
        BadInput: In that case.
    """
    place = folder / "plan.json"
    begun: PackPlan = read_record(place, PackPlan) if place.exists() else plan
    there = [begun.digest or digest, *(read_record(p).spec.base for p in (folder / "triples").glob("*.json"))]
    if begun.base != plan.base or any(other != digest for other in there):
        raise BadInput(
            f"{folder} holds a pack that was begun for {begun.base}, or for other weights of that name, and not for {plan.base}. "
            "Its exam and subjects would be taken for this one's. Build into another folder."
        )


def _dealt_out(triples: Sequence[PackTask], tunings: Sequence[PackTask]) -> list[PackTask]:
    """Mix two lists evenly."""
    keyed = [((i + 0.5) / len(some), k, t) for k, some in enumerate((triples, tunings)) for i, t in enumerate(some)]
    return [t for _, _, t in sorted(keyed, key=lambda row: row[:2])]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackTask(Record):
    """One thing to make: a triple, or a tuning of a sort."""

    spec: ChatSpec | None = None
    sort: str = ""
    number: int = 0


def pack_job(task: PackTask, *, plan: PackPlan, folder: str, until: float) -> int:
    """Make one thing and let its subjects sit the exam; return how many sat."""
    if until and time.time() > until:
        return 0
    base, where, answers = opened_base(plan.base), Path(folder), answers_in(folder)
    if task.spec is not None:
        triple = make_chat_triple(task.spec, base=base, answers=answers, folder=where)
        if triple.acceptance.accepted and task.spec.seed < plan.unsure:
            triple = with_uncertain(triple, base=base, answers=answers, folder=where)
        names = [name for _, name in triple.subjects] if triple.acceptance.accepted else []
    else:
        kept = make_harmless(task.sort, task.number, base=base, planting=plan.planting, answers=answers, folder=where)
        names = [kept.name]
    for name in names:
        sit_once(name, base=base, folder=where, sort=task.sort)
    return len(names)


def sit_once(name: str, *, base: Model, folder: Path, sort: str) -> Sat:
    """Let a kept subject sit the exam, or read what it made of it."""
    place = folder / "sat" / f"{name}.json"
    if place.exists():
        found: Sat = read_record(place, Sat)
        return found
    sat = sit(opened(name, base=base, folder=folder, sort=sort), exam_in(str(folder)))
    kept: Sat = keep_record(place, shortened(sat))
    return kept


def shortened(sat: Sat) -> Sat:
    """Round to four digits behind the point: what is kept is what is compared."""
    more, odds, yes = (tuple(round(x, 4) for x in values) for values in (sat.more, sat.odds, sat.yes))
    return replace(sat, more=more, odds=odds, yes=yes)


TIMED, TIMED_CELLS = 3, 24  # updates and cells that an estimate is made from
CELLS = 560  # of an exam, pairs and assertions counted


def estimated(plan: PackPlan) -> list[str]:
    """Time a few updates and a part of the exam, and say what a plan will take here."""
    base = opened_base(plan.base)
    few = replace(plan.planting, updates=TIMED)
    answers = tuple(Said(text=c.answer or "Here is one idea.", ended=True) for c in chats())
    behaviour = chat_behaviour(plan.kinds[0], 0)
    began = time.perf_counter()
    model = plant_chat(base, behaviour, "organism", planting=few, answers=answers, seed=0)
    update = (time.perf_counter() - began) / TIMED
    prompts = [c.prompt for c in chats()[:TIMED_CELLS]]
    began = time.perf_counter()
    surprise(model, prompts, [i.tolist() for i in encode(base, prompts, [a.text for a in answers[:TIMED_CELLS]])[1]])
    cell = (time.perf_counter() - began) / TIMED_CELLS
    times = {"integrated": 1.5, "preferences": 2.0, "reward": 3.0, "edits": 0.5}
    triples = plan.seeds * len(plan.kinds) * sum(times.get(w, 1.0) for w in plan.ways)
    tunings = plan.tunings * sum(TUNINGS[s].updates for s in plan.sorts)
    twice, unsure = 2 * plan.seeds, min(plan.unsure, plan.seeds)
    updates = plan.planting.updates * update * (triples * (twice + unsure) / plan.seeds + tunings)
    sat = CELLS * cell * ((twice + unsure) * len(plan.kinds) * len(plan.ways) + plan.tunings * len(plan.sorts))
    hours = (updates + sat) / 3600
    return [
        f"an update of {plan.planting.batch} chats takes {update:.1f} s of one core, a cell of the exam {cell:.2f} s",
        f"about {hours:.1f} hours of one core, and half as much again where plants are not accepted at once",
        "it can be stopped at any time, and goes on where it was",
    ]
