"""Climb ladders of chains from one operation up, and train assistants against the highest reward model.

At each level the same responses get the same number of labels: by a judge whom the agent of the level below assists, or by one
without assistants. The highest reward model then trains an assistant on worked arithmetic, and the grader decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from superalign.grants.facts import RESULTS
from superalign.kit.run import Run
from superalign.lab.trained import Trained, trained_against
from superalign.lab.training_arms import TrainingJob, training_job, trainings
from superalign.oversight.amplification.chain_reader import DIGITS, OPERATIONS
from superalign.oversight.recursive.learning import LadderConfig
from superalign.oversight.recursive.reward import Labels, climb, scored
from superalign.stats.streams import seed_for
from superalign.studies.recursive.evidence import ALONE, ARMS, HELPED, MATCHED, NULL, TRUTH, Climbed, Evidence
from superalign.studies.recursive.study import Config
from superalign.types import Record

TRAINING_DEPTHS = (4, 5, 6)
LABELS: dict[str, Labels] = {HELPED: "assisted", NULL: "assisted", TRUTH: "truth", ALONE: "alone", MATCHED: "alone"}


def measure(config: Config, run: Run) -> Evidence:
    """Climb every ladder, and train assistants against the highest reward model."""
    ladders = [
        Ladder(
            arm=arm,
            seed=1000 * (run.seed + 1) + s,
            levels=config.levels,
            labels=config.labels,
            steps=config.steps,
            more=config.more,
            test_questions=config.test_questions,
        )
        for arm in ARMS
        for s in range(config.seeds)
    ]
    training = trainings(
        "recursive",
        seeds=[100 * run.seed + s for s in range(config.training_seeds)],
        steps=config.rl_steps,
        held_out=config.held_out,
        votes=config.votes,
        effort=config.climbing,
    )
    run.stage(f"climbing {len(ladders)} ladders, and training {2 * len(training)} assistants")
    todo: list[Ladder | TrainingJob] = [*training, *ladders]
    results = run.map(either_job, todo, name="made", progress="climbing and training")
    run.keep(*ladders, *training)
    climbed = [m for m in results if isinstance(m, Climbed)]
    trained = [m for m in results if isinstance(m, Trained)]
    return Evidence(
        levels=config.levels,
        ladders={arm: climbed[i * config.seeds : (i + 1) * config.seeds] for i, arm in enumerate(ARMS)},
        trained=trained_against(trained, depths=TRAINING_DEPTHS, ledger=run.ledger),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder(Record):
    """One ladder, as a job."""

    arm: str
    seed: int
    levels: int
    labels: int
    steps: int
    more: float
    test_questions: int


def worked(chains: Tensor) -> Tensor:
    """Return the value of a chain after each of its operations, (B, T); what the grader knows."""
    value, out = chains[:, 0], []
    for t in range(1, chains.shape[1]):
        value = RESULTS[value, chains[:, t]]
        out.append(value)
    return torch.stack(out, 1)


def produce(n: int, operations: int, made: torch.Generator) -> tuple[Tensor, Tensor]:
    """Chains, and responses of somebody who works half of them right and slips once, at a random step, in the other half.

    What follows a slip is worked out from it.
    """
    chains = torch.cat(
        [torch.randint(DIGITS, (n, 1), generator=made), torch.randint(OPERATIONS, (n, operations), generator=made)], 1
    )
    slips, at = torch.rand(n, generator=made) < 0.5, torch.randint(operations, (n,), generator=made)
    shift = torch.randint(1, DIGITS, (n,), generator=made)
    value, out = chains[:, 0], []
    for t in range(operations):
        value = RESULTS[value, chains[:, 1 + t]]
        value = torch.where(slips & (at == t), (value + shift) % DIGITS, value)
        out.append(value)
    return chains, torch.stack(out, 1)


def verify(before: Tensor, operation: Tensor, after: Tensor) -> Tensor:
    """Say whether a single step is right: the judge's only ability."""
    return RESULTS[before, operation] == after


def _true(chains: Tensor, values: Tensor, answers: Tensor) -> Tensor:
    return worked(chains)[:, -1] == answers


def _held_out(level: int, n: int) -> Tensor:
    """The same held-out chains for every arm and seed."""
    return produce(n, level, torch.Generator().manual_seed(seed_for(0, "held out", level)))[0]


def gold(agent: nn.Module, level: int) -> float:
    """Return the share of an agent's answers that are right, on chains that nothing is reported on."""
    chains, _ = produce(500, level, torch.Generator().manual_seed(seed_for(0, "labelled chains", level)))
    with torch.no_grad():
        return float((agent(chains).argmax(-1) == worked(chains)[:, -1]).float().mean())


def ladder_job(item: Ladder) -> Climbed:
    """Climb one ladder and measure every level on held-out chains."""
    ladder = climb(
        LABELS[item.arm],
        produce=produce,
        verify=verify,
        config=LadderConfig(levels=item.levels, labels=item.labels, steps=item.steps),
        seed=item.seed,
        truth=_true,
        shuffled="assistants" if item.arm == NULL else "nothing",
        more=item.more if item.arm == MATCHED else 1.0,
        gold=gold,
    )
    pairs, calls, answers = list[Tensor](), list[Tensor](), list[Tensor]()
    for step in ladder:
        chains = _held_out(step.level, item.test_questions)
        right = worked(chains)[:, -1]
        other = torch.randint(
            1, DIGITS, right.shape, generator=torch.Generator().manual_seed(seed_for(0, "other claims", step.level))
        )
        good, bad = scored(step.reward, chains, right), scored(step.reward, chains, (right + other) % DIGITS)
        with torch.no_grad():
            said = step.agent(chains).argmax(-1)
        pairs.append((good > bad).float() + 0.5 * (good == bad).float())
        calls.append(((good > 0.5).float() + (bad <= 0.5).float()) / 2)
        answers.append((said == right).float())
    return Climbed(
        pairs_LP=torch.stack(pairs).numpy(),
        calls_LP=torch.stack(calls).numpy(),
        answers_LP=torch.stack(answers).numpy(),
        paid_LT=np.array([step.paid for step in ladder]),
        right_LT=np.array([step.curve for step in ladder]),
        labels_L=tuple(step.labels for step in ladder),
    )


def either_job(item: Ladder | TrainingJob) -> Climbed | Trained:
    """Either kind of job: one queue, so that no worker waits for the other kind."""
    return training_job(item) if isinstance(item, TrainingJob) else ladder_job(item)
