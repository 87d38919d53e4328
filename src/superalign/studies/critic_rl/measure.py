"""Train critics on a judge's comparisons, measure their frontiers, race them against planters, and try them before another judge.

Shape suffixes: as in evidence.py, and B solutions, S steps (within a job there is one seed), K symbols of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from superalign.grants.facts import beliefs
from superalign.kit.panel import ArmOutput, items_of, keep_decisions
from superalign.kit.run import Run
from superalign.lab import flawed_chains as chains
from superalign.lab.critic_race import CONTROL, OURS
from superalign.lab.critic_reward import Learned
from superalign.lab.flawed_chains import LENGTH, Solutions, edited, solutions, wrong_steps
from superalign.lab.planter_race import RaceSettings, Retrained, run_race
from superalign.lab.trained_critics import Critics, CriticTraining, train_critics
from superalign.oversight.critique.flaw_planter import PlanterPolicy, planted_flaws
from superalign.oversight.critique.frontier import caught, flags_of, frontier, nitpicks
from superalign.oversight.critique.search import modifier_at, search
from superalign.oversight.critique.written import STOP
from superalign.stats.streams import seed_for, stream
from superalign.studies.critic_rl import evidence as ev
from superalign.studies.critic_rl.evidence import Evidence, Main, Searched
from superalign.studies.critic_rl.study import Config
from superalign.trials import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, Item
from superalign.types import Record

TEST = 9  # seed of the test solutions, the same for all critics
LEARNED = 800  # training items from which the judge of the trial learns what its findings mean
BIASES = tuple(np.arange(-9.0, 4.1, 0.5).tolist())
MODIFIERS = (-20.0, -4.0, -2.0, -1.0, -0.6, -0.3, -0.15, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 2.0, 20.0)
PERCENTILES = (10, 25, 50, 75)
Steps: TypeAlias = dict[str, np.ndarray]  # arm of the trial -> the step that is checked, for each solution


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticJob(Record):
    """One seed of critics: all that a job reads."""

    training: CriticTraining
    race: RaceSettings | None  # none for RL alone
    held_out: int
    nitpicks: float

    @property
    def seed(self) -> int:
        """Of the critics."""
        return self.training.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Solutions of the trial, and what the judge's check says of them under each arm."""

    prompts: list[str]
    right_B: np.ndarray
    found: dict[str, np.ndarray]  # whether the step that was checked is wrong by the judge's facts
    texts: list[str]  # of the RL critic


def measure(config: Config, run: Run) -> Evidence:
    """Train critics at every seed, race them against planters, and train some before other judges."""
    run.stage(
        f"critics of {config.seeds} seeds, and of {config.sweep_seeds} before {len(config.judges) + 1} other judges"
    )
    base = CriticTraining(
        seed=100 * run.seed,
        labelled=config.labelled,
        compared=config.compared,
        reward_updates=config.reward_updates,
        updates=config.updates,
        kl=config.kl,
        judge=config.judge,
    )
    race = RaceSettings(
        rounds=config.rounds,
        planted=config.planted,
        planter_updates=config.planter_updates,
        nitpicks=config.nitpicks,
        entropy=config.entropy,
    )
    main = CriticJob(training=base, race=race, held_out=config.held_out, nitpicks=config.nitpicks)
    others = [*(replace(base, judge=j) for j in config.judges), replace(base, trust=config.trust)]
    todo = [replace(main, training=replace(base, seed=base.seed + i)) for i in range(config.seeds)]
    todo += [
        replace(main, training=replace(other, seed=base.seed + i), race=None)
        for i in range(config.sweep_seeds)
        for other in others
    ]
    results = run.map(critic_job, todo, name="critics", progress="critics")
    seeds, test = tuple(m for m in results if isinstance(m, Main)), solutions("test", config.held_out, TEST)
    return Evidence(
        length=LENGTH,
        nitpicks=config.nitpicks,
        no_flaws=test.equivalent / (test.equivalent + int(test.flawed_B.sum())),
        main=seeds,
        others=tuple(m for m in results if isinstance(m, Learned)),
        conditions=conditions(config.held_out - config.held_out % 4),
        decisions=keep_decisions([i for m in seeds for i in m.items], run.ledger),
    )


def conditions(n: int) -> tuple[str, ...]:
    """Deal chains of the trial to the four conditions by turns."""
    return tuple(ev.CONDITIONS[i % 4] for i in range(n))


def critic_job(job: CriticJob) -> Main | Learned:
    """Train the critics of one seed; with rounds, also measure their frontiers on test solutions, the race and the trial."""
    t = job.training
    critics = train_critics(t)
    learned = Learned(judge=t.judge, trust=t.trust, updates=critics.updates, along=critics.along)
    if job.race is None:
        return learned
    test = solutions("test", job.held_out, TEST)
    levels, searched = frontiers(critics, test, t.seed)
    race, last, planter = run_race(job.race, critics, test, seed=t.seed)
    flagged, items = trial(job, critics, last, planter)
    return Main(learned=learned, levels=levels, searched=searched, race=race, found=flagged, items=items)


def frontiers(trained: Critics, test: Solutions, seed: int) -> tuple[dict[str, np.ndarray], tuple[Searched, ...]]:
    """Measure all critics on test solutions at each level of nit-picks, and what the published modifiers come to."""
    x, wrong, points, table = test.x_BSK, test.wrong_BS, dict[str, list[np.ndarray]](), list[Searched]()
    rng, generator = stream(seed, "frontiers"), torch.Generator().manual_seed(seed_for(seed, "searched flags"))
    drawn = ((ev.SUPERVISED, trained.supervised, 0), (ev.RL, trained.rl, 0), (ev.CHECKS, trained.checks, 0))
    for name, policy, by in (*drawn, (ev.AGAIN, trained.supervised, 1000)):
        points[name] = [flags_of(policy, x, seed=seed_for(seed, "flags", by, i), bias=b) for i, b in enumerate(BIASES)]
    for name, policy in ((ev.SUPERVISED_SEARCH, trained.supervised), (ev.RL_SEARCH, trained.rl)):
        candidates = search(policy, trained.reward, x, generator=generator)
        tuned = search(policy, trained.reward, trained.tuning.x_BSK, generator=generator)
        points[name] = [candidates.chosen(m)[0].numpy() > 0 for m in MODIFIERS]
        for percentile in PERCENTILES:
            m = modifier_at(tuned, percentile)
            chosen = candidates.chosen(m)[0].numpy() > 0
            table.append(
                Searched(
                    critic=name,
                    percentile=percentile,
                    modifier=m,
                    caught=float(caught(chosen, wrong)[test.flawed_B].mean()),
                    nitpicks=float(nitpicks(chosen, wrong).mean()),
                    highlights=float(chosen.sum(1).mean()),
                )
            )
    points[ev.RANDOM] = [rng.permuted(f, axis=1) for f in points[ev.RL_SEARCH]]
    return {name: frontier(some, wrong, ev.LEVELS)[1] for name, some in points.items()}, tuple(table)


def pointed(job: CriticJob, critics: Critics, retrained: Retrained, x: Tensor, wrong: np.ndarray, seed: int) -> Steps:
    """Return the step that each arm has the judge check: the first highlight, or a random step where there is none."""
    rng = stream(seed, "steps by chance")
    chance = {arm: rng.integers(0, LENGTH, len(x)) for arm in (JUDGE, ev.CHANCE)}
    policies = {
        PROTOCOL: critics.rl,
        ev.FIRST: critics.supervised,
        ev.RETRAINED: retrained[OURS],
        ev.BY_HANDS: retrained[CONTROL],
    }
    named = {arm: critics.first_named(p, x, level=job.nitpicks, seed=seed) for arm, p in policies.items()}
    named[ev.SEARCHED] = critics.first_searched(x, level=job.nitpicks, seed=seed_for(seed, "first searched"))
    # Items stand in the four conditions by turns, so that an odd shift takes the critique of another condition.
    named[PLACEBO] = np.roll(named[PROTOCOL], 2 * (1 + seed % 3) + 1)
    named[ev.ORACLE] = np.where(wrong.any(1), wrong.argmax(1), STOP)
    return chance | {arm: np.where(s == STOP, chance[JUDGE], s) for arm, s in named.items()}


def checked(job: CriticJob, critics: Critics, retrained: Retrained, planter: PlanterPolicy, split: str) -> Checked:
    """Let a judge who is wrong about some facts check the step that each arm points at."""
    n, seed = (LEARNED, 60) if split == "train" else (job.held_out - job.held_out % 4, 61)
    problems = chains.asked(split, n, seed)
    drawn, others = seed_for(job.seed, "planted flaws", seed), seed_for(job.seed, "another judge's beliefs")
    planted, *_ = planted_flaws(planter, chains.worked(problems), edit=edited, seed=drawn)
    x, wrong = chains.in_four_conditions(problems, planted, seed=seed)
    steps = pointed(job, critics, retrained, x, wrong, job.seed + seed)
    # Its wrong facts are other ones than those of the judge whose comparisons the critics were trained on.
    fresh, taught = (wrong_steps(x.numpy(), beliefs(job.training.judge, s)) for s in (others, job.seed))
    by_arm = {arm: fresh[np.arange(n), step_B] for arm, step_B in steps.items()}
    by_arm[ev.TAUGHT] = taught[np.arange(n), steps[PROTOCOL]]
    texts = [f"{chains.text_of(t)} look at step {s + 1}" for t, s in zip(x.numpy(), steps[PROTOCOL], strict=True)]
    return Checked(prompts=[p.prompt for p in problems], right_B=np.asarray(~wrong.any(1)), found=by_arm, texts=texts)


def trial(
    job: CriticJob, critics: Critics, retrained: Retrained, planter: PlanterPolicy
) -> tuple[dict[str, np.ndarray], tuple[Item, ...]]:
    """Let a judge with one check decide under every arm: whether it finds a flaw, and its probability that there is none.

    The probability is the share of training solutions that were right where its check came out as it did.
    """
    learned, test = (checked(job, critics, retrained, planter, split) for split in ("train", "test"))
    true_P = test.right_B.astype(float)
    arms = {AGENT: ArmOutput(probability_P=np.ones(len(true_P))), EXPERT: ArmOutput(probability_P=true_P)}
    for arm, wrong_P in test.found.items():
        of = [learned.right_B[learned.found[arm] == says] for says in (False, True)]
        shares = np.array([s.mean() if len(s) else 0.5 for s in of])
        arms[arm] = ArmOutput(
            probability_P=shares[wrong_P.astype(int)],
            checks=1,
            tokens=0 if arm in (JUDGE, ev.CHANCE, ev.ORACLE) else 7 * LENGTH * (29 if arm == ev.SEARCHED else 1),
            transcripts=test.texts if arm == PROTOCOL else (),
        )
    items = items_of(
        arms,
        seed=job.seed,
        problems=test.prompts,
        truth=test.right_B,
        behaviours=conditions(len(true_P)),
        difficulty=LENGTH,
    )
    return {arm: wrong_P.astype(float) for arm, wrong_P in test.found.items()}, items
