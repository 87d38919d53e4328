"""Train critics on a judge's comparisons, measure their frontiers, race them against planters, and try them before another judge.

Shape suffixes: as in evidence.py, and B solutions, S steps (within a job there is one seed), K symbols of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from superalign.lab import flawed_chains as chains
from superalign.lab.chain_symbols import PLACES, SYMBOLS
from superalign.lab.flawed_chains import EDITS, LENGTH, Solutions, edited, solutions, wrong_steps
from superalign.lab.panel import ArmOutput, items_of, keep_decisions
from superalign.lab.run import Run
from superalign.lab.trained_critics import Critics, CriticTraining, to_retrain_on, train_again, train_critics
from superalign.oversight.critique.flaw_planter import Flags, PlanterConfig, PlanterPolicy, planted_flaws, train_planter
from superalign.oversight.critique.frontier import caught, drawn_anew, flags_of, frontier, nitpicks
from superalign.oversight.critique.search import modifier_at, search
from superalign.oversight.critique.written import STOP, CriticPolicy
from superalign.studies.critic_rl import evidence as ev
from superalign.studies.critic_rl.evidence import CONTROL, OURS, Evidence, Learned, Looks, Main, Round, Searched
from superalign.studies.critic_rl.study import Config
from superalign.trials import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, Item
from superalign.types import Record

TEST = 9  # seed of the test solutions, the same for all critics
POOL = 2000  # chains of the train split that planters are trained on
LEARNED = 800  # training items from which the judge of the trial learns what its findings mean
SHARP = 0.03  # nats' worth of diversity for a planter that may put all on its best flaws
BIASES = tuple(np.arange(-9.0, 4.1, 0.5).tolist())
MODIFIERS = (-20.0, -4.0, -2.0, -1.0, -0.6, -0.3, -0.15, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 2.0, 20.0)
PERCENTILES = (10, 25, 50, 75)
Retrained: TypeAlias = dict[str, CriticPolicy]  # what it was retrained on -> the critic of the last round of the race
Steps: TypeAlias = dict[str, np.ndarray]  # arm of the trial -> the step that is checked, for each solution


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticJob(Record):
    """One seed of critics: all that a job reads."""

    training: CriticTraining
    held_out: int
    rounds: int  # of the race; 0 for RL alone
    planted: int
    planter_updates: int
    nitpicks: float
    entropy: float

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
    main = CriticJob(
        training=base,
        held_out=config.held_out,
        rounds=config.rounds,
        planted=config.planted,
        planter_updates=config.planter_updates,
        nitpicks=config.nitpicks,
        entropy=config.entropy,
    )
    others = [*(replace(base, judge=j) for j in config.judges), replace(base, trust=config.trust)]
    todo = [replace(main, training=replace(base, seed=base.seed + i)) for i in range(config.seeds)]
    todo += [
        replace(main, training=replace(other, seed=base.seed + i), rounds=0)
        for i in range(config.sweep_seeds)
        for other in others
    ]
    made = run.map(critic_job, todo, name="critics", progress="critics")
    seeds, test = tuple(m for m in made if isinstance(m, Main)), solutions("test", config.held_out, TEST)
    return Evidence(
        length=LENGTH,
        nitpicks=config.nitpicks,
        no_flaws=test.equivalent / (test.equivalent + int(test.flawed_B.sum())),
        main=seeds,
        others=tuple(m for m in made if isinstance(m, Learned)),
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
    if not job.rounds:
        return learned
    test = solutions("test", job.held_out, TEST)
    levels, searched = frontiers(critics, test, t.seed)
    rounds, untrained, last, planter = race(job, critics, test)
    found, items = trial(job, critics, last, planter)
    return Main(
        learned=learned, levels=levels, searched=searched, rounds=rounds, untrained=untrained, found=found, items=items
    )


def frontiers(trained: Critics, test: Solutions, seed: int) -> tuple[dict[str, np.ndarray], tuple[Searched, ...]]:
    """Measure all critics on test solutions at each level of nit-picks, and what the published modifiers come to."""
    x, wrong, points, table = test.x_BSK, test.wrong_BS, dict[str, list[np.ndarray]](), list[Searched]()
    rng, generator = np.random.default_rng([seed, 37]), torch.Generator().manual_seed(seed + 5)
    drawn = ((ev.SUPERVISED, trained.supervised, 0), (ev.RL, trained.rl, 0), (ev.CHECKS, trained.checks, 0))
    for name, policy, by in (*drawn, (ev.AGAIN, trained.supervised, 1000)):
        points[name] = [flags_of(policy, x, seed=seed + by + i, bias=b) for i, b in enumerate(BIASES)]
    for name, policy in ((ev.SUPERVISED_SEARCH, trained.supervised), (ev.RL_SEARCH, trained.rl)):
        found = search(policy, trained.reward, x, generator=generator)
        tuned = search(policy, trained.reward, trained.tuning.x_BSK, generator=generator)
        points[name] = [found.chosen(m)[0].numpy() > 0 for m in MODIFIERS]
        for percentile in PERCENTILES:
            m = modifier_at(tuned, percentile)
            chosen = found.chosen(m)[0].numpy() > 0
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


def looks(edit_B: np.ndarray, none: float) -> Looks:
    """Describe edits."""
    step_B, slot_B = chains.parts_of(edit_B)
    return Looks(
        slots={name: float((slot_B == k).mean()) for k, name in enumerate(chains.SLOTS)},
        first_half=float((step_B < LENGTH // 2).mean()),
        different=float(len(np.unique(edit_B))),
        none=none,
    )


def race(
    job: CriticJob, trained: Critics, test: Solutions
) -> tuple[tuple[Round, ...], Looks, Retrained, PlanterPolicy]:
    """Run several rounds: a fresh planter is trained against a critic, then the critic is retrained on its flaws.

    A second critic is retrained on as many flaws by hand, and has fresh planters trained against it too.

    Returns:
        The rounds, what an untrained planter's edits look like, the critics of the last round, and the first planter.
    """
    right, held = (chains.worked(p) for p in (chains.asked("train", POOL, 400_000 + job.seed), test.problems))
    blank = PlanterPolicy(SYMBOLS, PLACES, LENGTH, EDITS)
    base_x, base_wrong, base_edits, base_none = planted_flaws(blank, held, edit=edited, seed=job.seed)
    by_hand = test.x_BSK[torch.from_numpy(test.flawed_B)], test.wrong_BS[test.flawed_B]
    rounds, critics, planters = list[Round](), dict[str, CriticPolicy](), list[PlanterPolicy]()
    for arm in (OURS, CONTROL):
        critic, seen = trained.rl, [(trained.labelled.x_BSK, trained.labelled.wrong_BS)]
        against = {"untrained": (base_x, base_wrong), "hand": by_hand}
        for r in range(job.rounds + 1):
            bias = trained.bias(critic, job.nitpicks)
            # Each arm has planters of its own, from the first round on: what they differ by there is the null.
            key, flags = 1000 * job.seed + 10 * r + (arm == CONTROL), drawn_anew(critic, bias)

            def planter(flags: Flags, entropy: float, key: int = key) -> PlanterPolicy:
                config = PlanterConfig(updates=job.planter_updates, entropy=entropy)
                return train_planter(blank, right, edit=edited, flags=flags, config=config, seed=key)

            def flaws(of: PlanterPolicy, key: int = key) -> tuple[Tensor, np.ndarray]:
                return planted_flaws(of, held, edit=edited, seed=key + 1)[:2]

            # Paid by what the critic says of another edit: what training does to flaws when it learns nothing of the critic.
            def elsewhere(x: Tensor, flags: Flags = flags) -> Tensor:
                return torch.roll(flags(x), len(x) // 2, 0)

            planters.append(planter(flags, job.entropy))
            fresh_x, fresh_wrong, edits, none = planted_flaws(planters[-1], held, edit=edited, seed=key + 1)
            against["fresh"] = fresh_x, fresh_wrong
            if r in (0, job.rounds):
                against["sharp"] = flaws(planter(flags, SHARP))
            if r == 0 and arm == OURS:
                against["blind"] = flaws(planter(elsewhere, job.entropy))
            hits = {
                whose: caught(flags_of(critic, x, seed=job.seed + 3, bias=bias), wrong).astype(float)
                for whose, (x, wrong) in against.items()
            }
            own = flags_of(critic, test.x_BSK, seed=job.seed + 4, bias=bias)
            picks = nitpicks(own, test.wrong_BS)
            rounds.append(Round(arm=arm, round=r, caught=hits, nitpicks_P=picks, looks=looks(edits, none)))
            against = {"untrained": (base_x, base_wrong), "hand": by_hand, "before": (fresh_x, fresh_wrong)}
            if r < job.rounds:
                planter_of = planters[-1] if arm == OURS else None
                seen.append(to_retrain_on(job.planted, planter_of, right, seed=key))
                critic = train_again(critic, seen, seed=key)
        critics[arm] = critic
    return tuple(rounds), looks(base_edits, base_none), critics, planters[0]


def pointed(job: CriticJob, critics: Critics, retrained: Retrained, x: Tensor, wrong: np.ndarray, seed: int) -> Steps:
    """Return the step that each arm has the judge check: the first highlight, or a random step where there is none."""
    rng = np.random.default_rng([seed, 43])
    chance = {arm: rng.integers(0, LENGTH, len(x)) for arm in (JUDGE, ev.CHANCE)}
    policies = {
        PROTOCOL: critics.rl,
        ev.FIRST: critics.supervised,
        ev.RETRAINED: retrained[OURS],
        ev.BY_HANDS: retrained[CONTROL],
    }
    named = {arm: critics.first_named(p, x, level=job.nitpicks, seed=seed) for arm, p in policies.items()}
    named[ev.SEARCHED] = critics.first_searched(x, level=job.nitpicks, seed=seed + 1)
    # Items stand in the four conditions by turns, so that an odd shift takes the critique of another condition.
    named[PLACEBO] = np.roll(named[PROTOCOL], 2 * (1 + seed % 3) + 1)
    named[ev.ORACLE] = np.where(wrong.any(1), wrong.argmax(1), STOP)
    return chance | {arm: np.where(s == STOP, chance[JUDGE], s) for arm, s in named.items()}


def checked(job: CriticJob, critics: Critics, retrained: Retrained, planter: PlanterPolicy, split: str) -> Checked:
    """Let a judge who is wrong about some facts check the step that each arm points at."""
    n, seed = (LEARNED, 60) if split == "train" else (job.held_out - job.held_out % 4, 61)
    problems = chains.asked(split, n, seed)
    planted, *_ = planted_flaws(planter, chains.worked(problems), edit=edited, seed=1000 * job.seed + seed)
    x, wrong = chains.in_four_conditions(problems, planted, seed=seed)
    steps = pointed(job, critics, retrained, x, wrong, job.seed + seed)
    # Its wrong facts are other ones than those of the judge whose comparisons the critics were trained on.
    fresh, taught = (
        wrong_steps(x.numpy(), chains.beliefs(job.training.judge, s)) for s in (job.seed + 7_000_000, job.seed)
    )
    found = {arm: fresh[np.arange(n), step_B] for arm, step_B in steps.items()}
    found[ev.TAUGHT] = taught[np.arange(n), steps[PROTOCOL]]
    texts = [f"{chains.text_of(t)} look at step {s + 1}" for t, s in zip(x.numpy(), steps[PROTOCOL], strict=True)]
    return Checked(prompts=[p.prompt for p in problems], right_B=~wrong.any(1), found=found, texts=texts)


def trial(
    job: CriticJob, critics: Critics, retrained: Retrained, planter: PlanterPolicy
) -> tuple[dict[str, np.ndarray], tuple[Item, ...]]:
    """Let a judge with one check decide under every arm: whether it finds a flaw, and its probability that there is none.

    The probability is the share of training solutions that were right where its check came out as it did.
    """
    learned, test = (checked(job, critics, retrained, planter, split) for split in ("train", "test"))
    true_P = test.right_B.astype(float)
    arms = {AGENT: ArmOutput(probability_P=np.ones(len(true_P))), EXPERT: ArmOutput(probability_P=true_P)}
    for arm, found_P in test.found.items():
        of = [learned.right_B[learned.found[arm] == says] for says in (False, True)]
        shares = np.array([s.mean() if len(s) else 0.5 for s in of])
        arms[arm] = ArmOutput(
            probability_P=shares[found_P.astype(int)],
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
    return {arm: found_P.astype(float) for arm, found_P in test.found.items()}, items
