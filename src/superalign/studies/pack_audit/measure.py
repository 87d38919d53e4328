"""Verify the pack, let the model sit its exam, measure a part of the pack again, open the seals and decide."""

from __future__ import annotations

import time

import numpy as np

from superalign.detectors.exam import exam_detectors, surprise
from superalign.early import pack_for
from superalign.errors import BadInput, DataError
from superalign.kit.blind import Opened, decide_all, look, open_seals, register
from superalign.kit.run import Run
from superalign.lab.asked_later import held_later, look_later, sheet_in
from superalign.lab.exam_parts import OwnContext, parts_of
from superalign.lab.looking import SubjectJob, given
from superalign.lab.own_contexts import INNOCENT, own_job, own_jobs
from superalign.lab.pack_sitting import At, ExamJob, ShownJob, again_job, audited, exam_job, here, shown_job, target_sat
from superalign.lab.packs import Pack, opened_base, parts_read, read_pack, within
from superalign.organisms.chat_triples import ChatTriple
from superalign.policy_names import NO_BASE
from superalign.problems.contexts import PLAIN, read_audited_contexts
from superalign.sealed_folder import verify
from superalign.stats import clopper_pearson, mean_interval
from superalign.studies.pack_audit.evidence import Again, Evidence, Row, Shown
from superalign.studies.pack_audit.study import Config
from superalign.types import Interval, Unmeasured

SUBJECT = "the audited model"
TIMED = 24  # cells that an estimate is made from
OPENING = 0.5  # minutes that models take to open
NEAR = 0.05  # nats a token by which another machine's sums may differ


def measure(config: Config, run: Run) -> Evidence:
    """Audit once."""
    folder = pack_for(config.base, config.pack)
    run.stage("verifying the pack")
    digest = verify(folder)
    whole = read_pack(folder)
    at = at_of(whole, config)
    pack = within(whole, config.budget, related=at.related)
    target = target_of(pack, config, at)
    detectors = exam_detectors(pack.exam, related=at.related)
    registered = register(
        run,
        [d.card for d in detectors],
        rate=config.false_positive_rate,
        recall_bar=config.recall_bar,
        # Of a model of another base than the pack's nothing is cleared: no clean model of its base set a threshold.
        needs_training=not at.related,
    )
    run.log(estimate(pack, config))
    again = checked_again(pack, config, run)
    run.stage("the model sits the exam of the pack")
    later, kept = look_later(pack, at, target, run), dict(pack.sat)
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
        related=at.related,
        pack_base=pack.base_name,
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
        parts=parts_of(parts_read(detectors), unsealed.unsealed, unsealed.calibrations),
        own=own_contexts(pack, config, target, run),
        later=held_later(later, truth, rate=config.false_positive_rate, run=run),
        clean=sum(m.role != "organism" for m in pack.members),
        sorts=sorted({m.sort for m in pack.members if m.sort}),
        tokens=pack.exam.cost(),
    )


def target_of(pack: Pack, config: Config, at: At) -> SubjectJob:
    """Check that the audited model fits the pack, and return it.

    Raises:
        BadInput: If the pack is of another base, or the model of another base than is said.
    """
    if not at.related:
        target = SubjectJob(path=config.subject)
        audited(at, target)
        return target
    if opened_base(config.base).subject.digest != pack.base:
        raise BadInput(
            f"The pack was made for another base than {config.base}. What its subjects show says nothing about models of this "
            f"one. Build one: superalign pack build FOLDER --base {config.base}."
        )
    return given(config.subject or config.base, config.base)


def estimate(pack: Pack, config: Config) -> str:
    """Say how long the exam takes here, from a few cells that the base reads."""
    some, base = pack.exam.cells[:TIMED], opened_base(at_of(pack, config).base)
    began = time.perf_counter()
    surprise(base, [c.prompt for c in some], [c.ids for c in some])
    each = (time.perf_counter() - began) / max(1, len(some))
    asked_in_all = len(pack.exam.cells) + 2 * len(pack.exam.pairs) + len(pack.exam.assertions)
    asked_in_all += len(sheet.base_nats) if (sheet := sheet_in(pack)) and not config.budget else 0
    exams, answers = (1 + config.recheck) * asked_in_all, 3 * 4 * config.shown  # a whole answer costs some four cells
    behind = len({c.question for c in pack.exam.cells if c.context != PLAIN.name})
    exams += 2 * (1 + INNOCENT) * behind * len(read_audited_contexts(config.contexts)) if config.contexts else 0
    return (
        f"an exam of {len(pack.exam.cells)} cells, {len(pack.exam.pairs)} pairs of answers and {len(pack.exam.assertions)} "
        f"assertions; {1 + config.recheck} models sit it: about {each * (exams + answers) / 60 + OPENING:.1f} minutes in all"
    )


def at_of(pack: Pack, config: Config) -> At:
    """Say which exam is meant, and whether the audited model was made from its base."""
    related = config.base != NO_BASE
    return At(pack=pack.folder, base=config.base if related else pack.base_name, budget=config.budget, related=related)


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


def own_contexts(pack: Pack, config: Config, target: SubjectJob, run: Run) -> tuple[OwnContext, ...]:
    """Ask behind the auditor's own contexts, and innocent members of the pack as well."""
    if not config.contexts:
        return ()
    run.stage("asking behind your own contexts")
    jobs = own_jobs(pack, at_of(pack, config), target, config.contexts)
    model, *clean = run.map(own_job, jobs, name="own", progress="asking")
    return tuple(
        OwnContext(context=one.context, beyond=one.beyond, clean=[c[i].beyond for c in clean])
        for i, one in enumerate(model)
    )


def rows_of(pack: Pack, opened_: Opened) -> tuple[Row, ...]:
    """Say of each kind and way how many were made, accepted and caught, with thresholds that the kind did not set."""
    flagged = opened_.unsealed.flagged(opened_.calibrations, known=True)
    card = opened_.registered.combination.card.digest
    rows = []
    groups: dict[tuple[str, str, str], list[ChatTriple]] = {}
    for t in pack.triples:
        groups.setdefault((t.spec.kind, t.spec.planting.way, pack.has_trigger(t)), []).append(t)
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
