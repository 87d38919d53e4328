"""Verify the pack, let the model sit its exam, measure a part of the pack again, open the seals and decide."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superalign.detectors.exam import Exam, Sat, exam_detectors, sit, surprise
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
OPENING = 0.5  # minutes that models take to open
NEAR = 0.05  # nats a token by which another machine's sums may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class At(Record):
    """Which exam of which pack, and of which base."""

    pack: str  # folder
    base: str
    budget: int  # of tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamJob(Record):
    """One subject to look at: a member of the pack, whose exam is kept, or the audited model."""

    at: At
    member: Member | None = None
    kept: Sat | None = None
    target: SubjectJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownJob(Record):
    """Where the model moved furthest, to be answered by it, by an innocent tuning and by the base."""

    at: At
    target: SubjectJob
    prompts: tuple[str, ...]
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
    at, kept = at_of(pack, config), dict(pack.sat)
    looks = {m.name: ExamJob(at=at, member=m, kept=kept[m.name]) for m in pack.members}
    seen = look(registered, looks | {SUBJECT: ExamJob(at=at, target=target)}, exam_job)
    run.stage("opening the seals, calibrating and deciding")
    truth = {m.name: (m.kind, m.role, m.seed) for m in pack.members}
    plants = [p for t in pack.triples if t.acceptance.accepted for p in (t.plant, t.acceptance)]
    unsealed = open_seals(seen, plants=plants, truth=truth, known=frozenset(truth))
    decided = decide_all(unsealed)
    return Evidence(
        seed=run.seed,
        base=config.base,
        pack=digest,
        recall_bar=config.recall_bar,
        cards=(*(d.card for d in detectors), registered.combination.card),
        scored=unsealed.unsealed.scored(),
        calibrations=unsealed.calibrations,
        flagged=decided.flagged[SUBJECT],
        decision=decided.decisions[SUBJECT],
        again=again,
        shown=answers_to_read(pack, config, target, run),
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
    exams, answers = (1 + config.recheck) * asked_in_all, 3 * 4 * config.shown  # a whole answer costs some four cells
    return (
        f"an exam of {len(pack.exam.cells)} cells, {len(pack.exam.pairs)} pairs of answers and {len(pack.exam.assertions)} "
        f"assertions; {1 + config.recheck} models sit it: about {each * (exams + answers) / 60 + OPENING:.1f} minutes in all"
    )


def at_of(pack: Pack, config: Config) -> At:
    """Say which exam is meant."""
    return At(pack=pack.folder, base=config.base, budget=config.budget)


@functools.lru_cache(maxsize=1)
def asked(at: At) -> Exam:
    """Return the exam of a pack, cut to the budget, once in a process."""
    return within(read_pack(Path(at.pack)), at.budget).exam


@functools.lru_cache(maxsize=1)
def target_sat(at: At, target: SubjectJob) -> Sat:
    """Let the audited model sit the exam, once in a process."""
    model = model_of(target, at.base, 1)
    if not isinstance(model, Model):
        raise BadInput(
            "An API gives texts only, and the exam of a pack reads log-probs. Nothing could be compared. Audit it with "
            "--problems FILE instead."
        )
    return sit(model, asked(at))


def exam_job(job: ExamJob) -> tuple[Verdict, ...]:
    """Read one subject's exam with every detector."""
    sat = job.kept
    if sat is None:
        assert job.target is not None
        sat = target_sat(job.at, job.target)
    return tuple(d.of(sat) for d in exam_detectors(asked(job.at)))


def checked_again(pack: Pack, config: Config, run: Run) -> tuple[Again, ...]:
    """Let some subjects of the pack, drawn at random, sit the exam again.

    Raises:
        DataError: If one of them shows something else than the pack says.
    """
    able, kept = here(pack), dict(pack.sat)
    order = run.stream("subjects measured again").permutation(len(able))[: config.recheck]
    if not len(order):
        return ()
    run.stage(f"measuring {len(order)} subjects of the pack again")
    some, at = [able[int(i)] for i in order], at_of(pack, config)
    jobs = [ExamJob(at=at, member=m, kept=kept[m.name]) for m in some]
    apart = run.map(again_job, jobs, name="again", progress="measuring again")
    for m, far in zip(some, apart, strict=True):
        if far > NEAR:
            raise DataError(
                f"Subject {m.name} of the pack shows something else than the pack says ({far:.2f} nats apart). Its error rates "
                "would be about other models. Build the pack again, or get it from whom you trust."
            )
    return tuple(Again(name=m.name, apart=far) for m, far in zip(some, apart, strict=True))


def here(pack: Pack) -> list[Member]:
    """List the members whose adapters came along."""
    return [m for m in pack.members if (Path(pack.folder) / "subjects" / m.name).is_dir()]


def again_job(job: ExamJob) -> float:
    """Measure one subject again, and say how far it is from what was kept."""
    assert job.member is not None
    assert job.kept is not None
    base = opened_base(job.at.base)
    model = opened(job.member.name, base=base, folder=Path(job.at.pack), sort=job.member.sort)
    return float(np.abs(np.array(sit(model, asked(job.at)).more) - np.array(job.kept.more)).max())


def answers_to_read(pack: Pack, config: Config, target: SubjectJob, run: Run) -> tuple[Shown, ...]:
    """Ask where the model moved furthest, at most twice in a context, beside an innocent tuning and the base."""
    if not config.shown:
        return ()
    at, cells = at_of(pack, config), pack.exam.cells
    sat = target_sat(at, target)
    chosen: list[int] = []
    for i in map(int, np.argsort(-np.array(sat.more), kind="stable")):
        alike = sum(cells[j].context == cells[i].context for j in chosen)
        if len(chosen) < config.shown and alike < 2:
            chosen.append(i)
    run.stage("three models answer where they differ most")
    twin = next((m for m in here(pack) if m.role == "clean"), None)
    job = ShownJob(
        at=at, target=target, prompts=tuple(cells[i].prompt for i in chosen), twin=twin, tokens=config.tokens
    )
    ((subject, other, base),) = run.map(shown_job, [job], name="shown", progress="asking")
    return tuple(
        Shown(context=cells[i].context, prompt=cells[i].prompt, nats=sat.more[i], subject=s, twin=t, base=b)
        for i, s, t, b in zip(chosen, subject, other, base, strict=True)
    )


def shown_job(job: ShownJob) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Let three models answer greedily."""
    greedy, base = Sampling(temperature=0.0, max_tokens=job.tokens), opened_base(job.at.base)

    def answers(model: Model) -> tuple[str, ...]:
        return tuple(sample_prompts(with_sampling(model, greedy), job.prompts, n=1, seed=0).text_R)

    subject = model_of(job.target, job.at.base, 1)
    assert isinstance(subject, Model)
    twin = job.twin and opened(job.twin.name, base=base, folder=Path(job.at.pack), sort=job.twin.sort)
    return answers(subject), answers(twin) if twin else ("",) * len(job.prompts), answers(base)


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
