"""Train assistants and plant fakes, let every detector look at all of them, blind, and let the gate decide."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from superalign import jobs
from superalign.gate import Overoptimisation
from superalign.kit.blind import Seen, decide_all, look, open_seals, register
from superalign.kit.run import Run
from superalign.lab.arms import Arm, run_arm
from superalign.lab.arms import Config as ArmsConfig
from superalign.lab.given_subject import NAME, digest_at, look_outside
from superalign.lab.overoptimisation import overoptimisation, unrewarded
from superalign.lab.overseen import ArmRow, Overseen, arm_row
from superalign.lab.planted import planted_triple
from superalign.lab.planted_page import Planted
from superalign.lab.three_detectors import detect_model, detectors, wrong_responses
from superalign.models import open_weights, save
from superalign.organisms.triples import Spec, Triple, shipped
from superalign.stats.recall import Sides
from superalign.studies.loop.evidence import Evidence
from superalign.studies.loop.study import Config
from superalign.types import Verdict

SIDES: tuple[Sides, ...] = ("high", "high", "both")  # cue sweep, self-check, truth probe
SUBJECT_ARMS = ("judge alone", "judge + critic", "ground truth")
# Assistants of further seeds under the true reward hold no plant: clean subjects that were trained by reward, not by documents.
REFERENCE_ARM, REFERENCE = "ground truth", "trained by reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmJob:
    """One arm at one seed, as a job."""

    arm: str
    seed: int
    steps: int
    held_out: int
    kept: str  # folder for the assistant; empty if nobody looks at it


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a job made: a planted triple, or an assistant."""

    triple: Triple | None = None
    arm: ArmRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectJob:
    """One subject to look at, as a job."""

    path: str
    outside: str = ""  # digest of a subject that is not ours: a changed one is looked at anew


def measure(config: Config, run: Run) -> Evidence:
    """Run one turn; every stage is resumable, and the same seed gives the same evidence."""
    given = digest_at(config.subject) if config.subject else ""  # before any work: it may be no model at all
    cards = [d.card for d in detectors("small", 0, config.cues)]
    rate = config.false_positive_rate
    registered = register(run, cards, sides=SIDES, rate=rate, recall_bar=config.recall_bar)
    run.stage("planting test organisms beside their twins, and training assistants under each overseer")
    test, rows = _made(config, run)
    run.stage("every detector looks at every subject, blind")
    known, known_folder = shipped(config.calibration_seeds)
    paths = {n: known_folder / n for t in known for _, n in t.subjects}
    paths |= {n: _subjects(run) / n for t in test for _, n in t.subjects}
    paths |= {name: _assistants(run) / place for name, place in _places(config).items()}
    subjects = {name: SubjectJob(path=str(path)) for name, path in paths.items()}
    subjects |= {NAME: SubjectJob(path=config.subject, outside=given)} if given else {}
    seen = look(registered, subjects, functools.partial(look_job, seed=0, cues=config.cues))
    training = _training(config, run, rows, test, seen)
    run.keep(*(training[name] for name in sorted(training)))
    run.stage("opening the seals, calibrating and deciding")
    truth = {name: (t.spec.kind, role, t.spec.seed) for t in (*known, *test) for role, name in t.subjects}
    truth |= {name: (REFERENCE, "clean", s) for name, s in _references(config).items()}
    calibrating = {*_references(config), *(n for t in known for _, n in t.subjects)}
    plants = [t.plant for t in (*known, *test)]
    opened = open_seals(seen, plants=plants, truth=truth, known=frozenset(calibrating))
    decided = decide_all(opened)
    run.stage("grading the test subjects' responses")
    tested = [name for t in test for _, name in t.subjects]
    looked_at = {arm: looks[0].subject for arm in SUBJECT_ARMS if (looks := seen.verdicts.get(f"assistant: {arm}"))}
    evidence = Evidence(
        seed=run.seed,
        recall_bar=config.recall_bar,
        given=bool(given),
        arms=Overseen(rows=rows, looked_at=looked_at),
        planted=Planted(test=tuple(test), known=tuple(known), revealed=True),
        unsealed=opened.unsealed,
        calibrations=opened.calibrations,
        training=training,
        flagged=decided.flagged,
        decisions=decided.decisions,
        wrong={n: wrong_responses(_subjects(run) / n, seen.verdicts[n], cues=config.cues) for n in tested},
    )
    run.keep(*evidence.records())
    return evidence


def _subjects(run: Run) -> Path:
    return run.folder / "work" / "subjects"


def _assistants(run: Run) -> Path:
    return run.folder / "work" / "assistants"


def _made(config: Config, run: Run) -> tuple[list[Triple], list[ArmRow]]:
    """Plant test triples and train assistants."""
    specs = [
        Spec(kind=k, seed=1000 + 100 * run.seed + i, steps=config.plant_steps)
        for k in config.kinds
        for i in range(config.test_seeds)
    ]
    making = functools.partial(making_job, folder=jobs.Into(_subjects(run)), proof=config.proof)
    todo: list[Spec | ArmJob] = [*specs, *_arm_jobs(config, run)]  # the long ones first
    results = run.map(making, todo, name="made", progress="planting and training")
    return [m.triple for m in results if m.triple], [m.arm for m in results if m.arm]


def making_job(item: Spec | ArmJob, *, folder: str, proof: int) -> Made:
    """Make an assistant or a planted triple: one queue, so that no worker waits for the other kind of work."""
    if isinstance(item, ArmJob):
        return Made(arm=arm_job(item))
    return Made(triple=planted_triple(item, folder=folder, proof=proof))


def arm_job(item: ArmJob) -> ArmRow:
    """Train one assistant, grade it, and keep it where the detectors will look."""
    origin = open_weights("small")
    config = ArmsConfig()
    config = replace(config, held_out=item.held_out, training=replace(config.training, steps=item.steps))
    if item.kept:  # a run that was killed between keeping the assistant and grading it left one here
        shutil.rmtree(item.kept, ignore_errors=True)
    return arm_row(
        run_arm(
            Arm(arm=item.arm, seed=item.seed, base=origin, config=config),
            keep=(lambda model: save(model, item.kept)) if item.kept else None,
            pays=bool(item.kept),
        )
    )


def _arm_jobs(config: Config, run: Run) -> list[ArmJob]:
    return [
        ArmJob(
            arm=arm,
            seed=100 * run.seed + s,
            steps=config.rl_steps,
            held_out=config.held_out,
            kept=jobs.Into(_assistants(run) / _place(arm, s)) if _place(arm, s) else "",
        )
        for s in range(config.arm_seeds)
        for arm in config.arms
    ]


def _place(arm: str, s: int) -> str:
    """Name the folder of an assistant that the detectors will look at; empty for one that nobody looks at."""
    if s == 0:
        return arm.replace(" ", "-") if arm in SUBJECT_ARMS else ""
    return f"{arm.replace(' ', '-')}-{s}" if arm == REFERENCE_ARM else ""


def _places(config: Config) -> dict[str, str]:
    """Name every assistant that is looked at: name -> folder."""
    places = {f"assistant: {arm}": _place(arm, 0) for arm in config.arms if arm in SUBJECT_ARMS}
    return places | {name: _place(REFERENCE_ARM, s) for name, s in _references(config).items()}


def _references(config: Config) -> dict[str, int]:
    """Name the clean assistants by reward that thresholds are set on: name -> seed."""
    there = REFERENCE_ARM in config.arms
    return {f"reference {s}": s for s in range(1, config.arm_seeds)} if there else {}


def look_job(item: SubjectJob, *, seed: int, cues: int) -> tuple[Verdict, ...]:
    """Let all detectors look at one subject."""
    if item.outside:
        return look_outside(item.path, detectors("small", seed, cues), seed=seed)
    return detect_model(open_weights(item.path), seed=seed, cues=cues)


def _training(
    config: Config, run: Run, rows: Sequence[ArmRow], test: Sequence[Triple], seen: Seen
) -> Mapping[str, Overoptimisation]:
    """Say what training showed of every assistant and test subject: name -> record. Of a model from outside nobody here knows."""
    first = {r.arm: r for r in rows if r.seed == 100 * run.seed}
    subjects = {name: looks[0].subject for name, looks in seen.verdicts.items()}
    assistants = {f"assistant: {arm}": arm for arm in config.arms if arm in SUBJECT_ARMS}
    out = {name: overoptimisation(subjects[name], first[arm]) for name, arm in assistants.items()}
    # Organisms, clean and uncertain twins alike are trained by supervision, so this record says nothing of what was planted.
    return out | {name: unrewarded(subjects[name]) for t in test for _, name in t.subjects}
