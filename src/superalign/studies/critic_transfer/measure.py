"""Train a critic and its null on planted flaws, let a judge work with it, and rank the solutions of real models."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from superalign.grants.checks import check_grounds
from superalign.kit.evidence import Array
from superalign.kit.run import Run
from superalign.oversight.steps.critic import CARD, StepCriticConfig, shuffled_scores, train_step_critic
from superalign.problems.gsm8k import Gsm8k, load_gsm8k
from superalign.problems.gsm8k_flaws import FLAW_KINDS
from superalign.studies.critic_transfer.evidence import Evidence, HeldOut, Trial
from superalign.studies.critic_transfer.study import Config
from superalign.trials.one_check import TrialEvidence, as_lines, outcomes, trial_solutions
from superalign.trials.planted_steps import calibrated, planted_pairs, read, shown
from superalign.trials.real_solutions import real_solutions, simple_scores, visible_errors
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticJob(Record):
    """One critic."""

    path: str
    seed: int
    questions: int
    flaws: int
    members: int
    epochs: int
    shuffles: int = 0  # if any: not the critic, but so many critics of shuffled labels


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticWork:
    """What the critic says of the solutions of real models, of those of the trial, and of held-out pairs."""

    pairs: int
    real_M: Array
    score_N: Array
    point_N: Array
    point_edited_N: Array
    held_out: HeldOut


@dataclass(frozen=True, slots=True, kw_only=True)
class ShuffledWork:
    """What critics of shuffled labels say of the solutions of real models."""

    shuffled_DM: Array


def measure(config: Config, run: Run) -> Evidence:
    """Train the critic and its null, run the trial, and rank the real solutions.

    Raises:
        BadInput: If the solutions of real models cannot be ranked within questions.
        DataError: If `problems` names no folder with the files.
    """
    family = load_gsm8k(config.problems.partition(":")[2])
    real = real_solutions(family, seed=run.seed)
    problems = sum(map(len, family.answers.values()))
    run.log(f"{problems} problems, {len(family.model_solutions)} model solutions")
    job = CriticJob(
        path=family.path,
        seed=run.seed,
        questions=config.questions,
        flaws=config.flaws,
        members=config.members,
        epochs=config.epochs,
    )
    fewer = min(config.null_questions, config.questions)
    todo = [job, replace(job, questions=fewer, members=1, shuffles=config.shuffles)]
    work, null = run.map(critic_job, todo, name="critics", progress="training critics")
    assert isinstance(work, CriticWork)
    assert isinstance(null, ShuffledWork)
    calibration = calibrated(work.held_out.right_H, work.held_out.flawed_H)
    assert isinstance(calibration.threshold_high, float)
    trial = trial_of(family, work, calibration.threshold_high, run)
    run.keep(CARD, calibration)
    return Evidence(
        trained_on=work.pairs,
        flaw_kinds=FLAW_KINDS,
        held_out=work.held_out,
        threshold=calibration.threshold_high,
        trial=trial,
        real=real,
        scores={"critic": work.real_M, **simple_scores(family.model_solutions)},
        shuffled_DM=null.shuffled_DM,
        contains=visible_errors(family.model_solutions, check=check_grounds),
    )


def critic_job(job: CriticJob) -> CriticWork | ShuffledWork:
    """Train one critic and let it work; or train critics of shuffled labels, for the null."""
    family = load_gsm8k(job.path)
    pairs, kept = planted_pairs(family, questions=job.questions, flaws=job.flaws, seed=job.seed)
    config = StepCriticConfig(members=job.members, epochs=job.epochs)
    models = [shown(m.question, read(m.text)) for m in family.model_solutions]
    if job.shuffles:
        null = shuffled_scores(pairs, models, draws=job.shuffles, seed=job.seed, config=config)
        return ShuffledWork(shuffled_DM=null)
    critic = train_step_critic(pairs, seed=job.seed, config=config)
    solutions = trial_solutions(family, seed=job.seed)
    plain, edited = ([shown(s.question, s.version(edited=e)[0]) for s in solutions] for e in (False, True))
    flawed = [p.pair.flawed for p in kept]
    return CriticWork(
        pairs=len(pairs),
        real_M=critic.scores(models),
        score_N=critic.scores(plain),
        point_N=critic.point(plain),
        point_edited_N=critic.point(edited),
        held_out=HeldOut(
            kind_H=tuple(p.kind for p in kept),
            right_H=critic.scores([p.pair.right for p in kept]),
            flawed_H=critic.scores(flawed),
            point_H=critic.point(flawed),
            step_H=np.array([p.pair.step for p in kept]),
            steps_H=np.array([len(t.solution.steps) for t in flawed]),
        ),
    )


def trial_of(family: Gsm8k, work: CriticWork, threshold: float, run: Run) -> Trial:
    """Let the judge check one step of every solution under every arm, and keep what came of each."""
    solutions = trial_solutions(family, seed=run.seed)
    plain = outcomes(solutions, critic=work.point_N, check=check_grounds, edited=False, seed=run.seed)
    edited = outcomes(solutions, critic=work.point_edited_N, check=check_grounds, edited=True, seed=run.seed)
    record = TrialEvidence(
        blob=run.ledger.put_blob(as_lines(solutions, plain, edited, work.score_N)),
        items=len(solutions),
        planted=sum(bool(s.kind) for s in solutions),
    )
    run.keep(record)
    return Trial(
        kind_N=tuple(s.kind for s in solutions),
        editable_N=np.array([s.edited is not None for s in solutions], bool),
        own_N=work.score_N > threshold,
        plain=plain,
        edited=edited,
        seed=run.seed,
        record=record.digest,
    )
