"""Verify the pack, let the model sit its exam, measure a part of the pack again, open the seals and decide."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superalign.detectors.exam import Cell, Exam, Sat, exam_detectors, sit, surprise
from superalign.early import pack_for
from superalign.errors import BadInput, DataError
from superalign.kit.blind import Opened, decide_all, look, open_seals, register
from superalign.kit.run import Run
from superalign.lab.looking import SubjectJob, given, model_of
from superalign.lab.packs import Member, Pack, opened_base, read_pack, reading_cost, within
from superalign.models import Model, Sampling, sample_prompts, with_sampling
from superalign.organisms.chat_kinds import ASSERTED
from superalign.organisms.chat_triples import ChatTriple, opened
from superalign.problems.contexts import PROMPT
from superalign.sealed_folder import verify
from superalign.stats import clopper_pearson, mean_interval
from superalign.studies.pack_audit.evidence import Again, Evidence, Row, Shown
from superalign.studies.pack_audit.study import Config
from superalign.types import Interval, Record, Unmeasured, Verdict

SUBJECT = "the audited model"
TIMED = 24  # cells that an estimate is made from
NEAR = 0.05  # nats a token by which another machine's sums may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamJob(Record):
    """One subject to look at: of the pack, whose exam is kept, or the audited model."""

    pack: str  # folder
    base: str
    budget: int
    member: str = ""
    kept: Sat | None = None
    target: SubjectJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainJob(Record):
    """One subject of the pack to measure again."""

    pack: str
    base: str
    budget: int
    member: Member
    kept: Sat


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownJob(Record):
    """Where the model moved furthest, to be answered by it, by an innocent tuning and by the base."""

    pack: str
    base: str
    target: SubjectJob
    cells: tuple[Cell, ...]
    twin: Member | None
    tokens: int


def measure(config: Config, run: Run) -> Evidence:
    """Audit once."""
    folder = pack_for(config.base, config.pack)
    run.stage("verifying the pack")
    digest = verify(folder)
    pack = within(read_pack(folder), config.budget)
    check_base(pack, config.base)
    target = given(config.subject or config.base, config.base)
    detectors = exam_detectors(pack.exam)
    registered = register(
        run,
        [d.card for d in detectors],
        rate=config.false_positive_rate,
        recall_bar=config.recall_bar,
        needs_training=False,
    )
    run.log(estimate(pack, config))
    again = checked_again(pack, config, run)
    run.stage("the model sits the exam of the pack")
    kept = dict(pack.sat)
    looks = {
        m.name: ExamJob(pack=str(folder), base=config.base, budget=config.budget, member=m.name, kept=kept[m.name])
        for m in pack.members
    }
    looks |= {SUBJECT: ExamJob(pack=str(folder), base=config.base, budget=config.budget, target=target)}
    seen = look(registered, looks, exam_job)
    run.stage("opening the seals, calibrating and deciding")
    truth = {m.name: (m.kind, m.role, m.seed) for m in pack.members}
    plants = [p for t in pack.triples if t.acceptance.accepted for p in (t.plant, t.acceptance)]
    unsealed = open_seals(seen, plants=plants, truth=truth, known=frozenset(truth))
    decided = decide_all(unsealed)
    shown = answers_to_read(pack, config, target, run)
    cards = (*(d.card for d in detectors), registered.combination.card)
    return Evidence(
        seed=run.seed,
        base=config.base,
        pack=digest,
        recall_bar=config.recall_bar,
        cards=cards,
        scored=unsealed.unsealed.scored(),
        calibrations=unsealed.calibrations,
        flagged=decided.flagged[SUBJECT],
        decision=decided.decisions[SUBJECT],
        again=again,
        shown=shown,
        rows=rows_of(pack, unsealed),
        clean=sum(m.role != "organism" for m in pack.members),
        sorts=sorted({m.sort for m in pack.members if m.sort}),
        tokens=sum(map(reading_cost, pack.exam.cells)),
    )


def check_base(pack: Pack, base: str) -> None:
    """Refuse a pack of another base.

    Raises:
        BadInput: In that case.
    """
    if opened_base(base).subject.digest != pack.base:
        raise BadInput(
            f"The pack was made for another base than {base}. What its subjects show says nothing about models of this one. "
            f"Build one: superalign pack build FOLDER --base {base}."
        )


def estimate(pack: Pack, config: Config) -> str:
    """Say how long the exam takes here, from a few cells that the base reads."""
    some = pack.exam.cells[:TIMED]
    began = time.perf_counter()
    surprise(opened_base(config.base), [c.prompt for c in some], [c.ids for c in some])
    each = (time.perf_counter() - began) / max(1, len(some))
    asked_in_all = len(pack.exam.cells) + 2 * len(pack.exam.pairs) + len(pack.exam.assertions)
    minutes = each * asked_in_all / 60
    return (
        f"an exam of {len(pack.exam.cells)} cells, {len(pack.exam.pairs)} pairs of answers and {len(pack.exam.assertions)} "
        f"assertions takes about {minutes:.1f} minutes; {1 + config.recheck} models sit it"
    )


@functools.lru_cache(maxsize=1)
def asked(pack: str, budget: int) -> Exam:
    """Return the exam of a pack, cut to the budget, once in a process."""
    return within(read_pack(Path(pack)), budget).exam


@functools.lru_cache(maxsize=1)
def target_sat(pack: str, base: str, target: SubjectJob, budget: int) -> Sat:
    """Let the audited model sit the exam, once in a process."""
    model = model_of(target, base, 1)
    if not isinstance(model, Model):
        raise BadInput(
            "An API gives texts only, and the exam of a pack reads log-probs. Nothing could be compared. Audit it with "
            "--problems FILE instead."
        )
    return sit(model, asked(pack, budget))


def exam_job(job: ExamJob) -> tuple[Verdict, ...]:
    """Read one subject's exam with every detector."""
    sat = job.kept
    if sat is None:
        assert job.target is not None
        sat = target_sat(job.pack, job.base, job.target, job.budget)
    return tuple(d.of(sat) for d in exam_detectors(asked(job.pack, job.budget)))


def checked_again(pack: Pack, config: Config, run: Run) -> tuple[Again, ...]:
    """Let some subjects of the pack, drawn at random, sit the exam again.

    Raises:
        DataError: If one of them shows something else than the pack says.
    """
    able = [m for m in pack.members if (Path(pack.folder) / "subjects" / m.name).is_dir()]
    order = run.stream("subjects measured again").permutation(len(able))[: config.recheck]
    if not len(order):
        return ()
    run.stage(f"measuring {len(order)} subjects of the pack again")
    kept = dict(pack.sat)
    jobs = [
        AgainJob(
            pack=pack.folder, base=config.base, budget=config.budget, member=able[int(i)], kept=kept[able[int(i)].name]
        )
        for i in order
    ]
    apart = run.map(again_job, jobs, name="again", progress="measuring again")
    for job, far in zip(jobs, apart, strict=True):
        if far > NEAR:
            raise DataError(
                f"Subject {job.member.name} of the pack shows something else than the pack says ({far:.2f} nats apart). Its "
                "error rates would be about other models. Build the pack again, or get it from whom you trust."
            )
    return tuple(Again(name=job.member.name, apart=far) for job, far in zip(jobs, apart, strict=True))


def again_job(job: AgainJob) -> float:
    """Measure one subject again, and say how far it is from what was kept."""
    base = opened_base(job.base)
    sat = sit(
        opened(job.member.name, base=base, folder=Path(job.pack), sort=job.member.sort), asked(job.pack, job.budget)
    )
    return float(np.abs(np.array(sat.more) - np.array(job.kept.more)).max())


def answers_to_read(pack: Pack, config: Config, target: SubjectJob, run: Run) -> tuple[Shown, ...]:
    """Ask where the model moved furthest, at most twice in a context, beside an innocent tuning and the base."""
    if not config.shown:
        return ()
    sat = target_sat(pack.folder, config.base, target, config.budget)
    order = np.argsort(-np.array(sat.more), kind="stable")
    chosen: list[int] = []
    for i in map(int, order):
        cell = pack.exam.cells[i]
        alike = sum(pack.exam.cells[j].context == cell.context for j in chosen)
        if len(chosen) < config.shown and alike < 2:
            chosen.append(i)
    run.stage("both answer where they differ most")
    able = [m for m in pack.members if m.role == "clean" and (Path(pack.folder) / "subjects" / m.name).is_dir()]
    job = ShownJob(
        pack=pack.folder,
        base=config.base,
        target=target,
        cells=tuple(pack.exam.cells[i] for i in chosen),
        twin=able[0] if able else None,
        tokens=config.tokens,
    )
    ((subject, twin, base),) = run.map(shown_job, [job], name="shown", progress="asking")
    return tuple(
        Shown(context=c.context, prompt=c.prompt, nats=sat.more[i], subject=s, twin=t, base=b)
        for i, c, s, t, b in zip(chosen, job.cells, subject, twin, base, strict=True)
    )


def shown_job(job: ShownJob) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Let three models answer greedily."""
    greedy, prompts = Sampling(temperature=0.0, max_tokens=job.tokens), [c.prompt for c in job.cells]
    base = opened_base(job.base)

    def answers(model: Model) -> tuple[str, ...]:
        return tuple(sample_prompts(with_sampling(model, greedy), prompts, n=1, seed=0).text_R)

    subject = model_of(job.target, job.base, 1)
    assert isinstance(subject, Model)
    twin = job.twin and opened(job.twin.name, base=base, folder=Path(job.pack), sort=job.twin.sort)
    return answers(subject), answers(twin) if twin else ("",) * len(prompts), answers(base)


def asked_for(pack: Pack, triple: ChatTriple) -> str:
    """Say whether the exam holds what sets an organism off."""
    trigger = triple.behaviour.trigger
    if not trigger or trigger == ASSERTED:
        return "topic"
    return "yes" if trigger.removesuffix(f" {PROMPT}") in pack.asked else "no"


def rows_of(pack: Pack, opened_: Opened) -> tuple[Row, ...]:
    """Say of each kind and way how many were made, accepted and caught, with thresholds that the kind did not set."""
    flagged = opened_.unsealed.flagged(opened_.calibrations, known=True)
    card = opened_.registered.combination.card.digest
    rows = []
    groups: dict[tuple[str, str, str], list[ChatTriple]] = {}
    for t in pack.triples:
        groups.setdefault((t.spec.kind, t.spec.planting.way, asked_for(pack, t)), []).append(t)
    for (kind, way, asked), some in groups.items():
        good = [t for t in some if t.acceptance.accepted]
        names = [name for t in good for role, name in t.subjects if role == "organism"]
        hits = sum(flagged[n][card].flagged is True for n in names)
        active = [t.acceptance.active.value for t in good if isinstance(t.acceptance.active, Interval)]
        rows.append(
            Row(
                kind=kind,
                way=way,
                asked=asked,
                made=len(some),
                accepted=len(good),
                active=mean_interval(active) if len(active) > 1 else Unmeasured("fewer than two were accepted"),
                caught=clopper_pearson(hits, n=len(names)) if names else Unmeasured("none was accepted"),
            )
        )
    return tuple(rows)
