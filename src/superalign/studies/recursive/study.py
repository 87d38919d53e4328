"""Does an agent trained at one level help a judge, who can verify one step, to train a reward model for the next?

A ladder of chains from one operation up. At each level the same responses get the same number of labels: by a judge whom the
agent of the level below assists, or by one without assistants. The highest reward model then trains an assistant on worked
arithmetic, and the grader decides.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superalign import jobs
from superalign.lab.arithmetic_facts import RESULTS
from superalign.lab.memo import memo
from superalign.lab.training_arms import Training, at_least, training_job, trainings
from superalign.ledger import Ledger
from superalign.oversight.amplification.chain_reader import DIGITS, OPERATIONS
from superalign.oversight.recursive.learning import Climbing
from superalign.oversight.recursive.reward import Labels, climb, scored
from superalign.report import Study
from superalign.studies.recursive.page import page
from superalign.types import Record

DESCRIPTION = "Recursive reward modelling: agents of one level help the judge of the next, against no help at all."
TRAINING_DEPTHS = (4, 5, 6)

ARMS = (
    "with assistants",
    "no assistants",
    "no assistants, same computation",
    "assistants of shuffled labels",
    "labels by truth",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other seeds than those it uses."""

    levels: int = 4
    """Operations at the highest level of the ladder."""
    labels: int = 8000
    """Labels at each level, one check each, in every arm."""
    steps: int = 400
    """Updates of a reward model, and of an agent, at each level."""
    more: float = 2.0
    """Labels and updates of the arm that gets the computation which others spend on agents, as a multiple."""
    seeds: int = 3
    """Ladders of each arm."""
    test_questions: int = 600
    """Held-out questions at each level."""
    training_seeds: int = 3
    """Assistants trained against each overseer of worked arithmetic; 0 leaves that part out."""
    rl_steps: int = 24
    """Updates of each of these."""
    held_out: int = 600
    """Test problems that they are graded on."""
    votes: int = 3
    """Responses that vote."""
    climbing: int = 400
    """Updates at each level of the ladder whose reward model judges worked arithmetic; 20 labels for each."""


def quick(config: Config) -> Config:
    """Fewer levels, labels and seeds."""
    return dataclasses.replace(
        config, levels=3, labels=4000, steps=200, seeds=2, test_questions=200, training_seeds=2, rl_steps=8, held_out=150,
        climbing=150,
    )  # fmt: skip


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
    """The value of a chain after each of its operations, (B, T); what the grader knows."""
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
    """Whether a single step is right: the judge's only ability."""
    return RESULTS[before, operation] == after


def _true(chains: Tensor, values: Tensor, answers: Tensor) -> Tensor:
    return worked(chains)[:, -1] == answers


def _held_out(level: int, n: int) -> Tensor:
    """The same held-out chains for every arm and seed."""
    return produce(n, level, torch.Generator().manual_seed(800_000 + level))[0]


def gold(agent: nn.Module, level: int) -> float:
    """Share of an agent's answers that are right, on chains that nothing is reported on."""
    chains, _ = produce(500, level, torch.Generator().manual_seed(700_000 + level))
    with torch.no_grad():
        return float((agent(chains).argmax(-1) == worked(chains)[:, -1]).float().mean())


def ladder_job(item: Ladder) -> dict[str, Any]:
    """Climb one ladder and measure every level on held-out chains.

    Returns:
        Per level: `pairs` (right answer scored above a wrong one, half a point for a tie), `calls` (share of the two called as
        they are), `answers` (agent right), `paid` and `right` along the agent's training, and `labels`.
    """
    config = Climbing(levels=item.levels, labels=item.labels, steps=item.steps)
    kind: dict[str, Labels] = {ARMS[0]: "assisted", ARMS[3]: "assisted", ARMS[4]: "truth"}
    ladder = climb(
        kind.get(item.arm, "alone"),
        produce=produce,
        verify=verify,
        config=config,
        seed=item.seed,
        truth=_true,
        shuffled="assistants" if item.arm == "assistants of shuffled labels" else "nothing",
        more=item.more if item.arm == "no assistants, same computation" else 1.0,
        gold=gold,
    )
    out: dict[str, Any] = {k: [] for k in ("pairs", "calls", "answers", "paid", "right", "labels")}
    for step in ladder:
        chains = _held_out(step.level, item.test_questions)
        right = worked(chains)[:, -1]
        other = torch.randint(1, DIGITS, right.shape, generator=torch.Generator().manual_seed(step.level))
        good, bad = scored(step.reward, chains, right), scored(step.reward, chains, (right + other) % DIGITS)
        with torch.no_grad():
            said = step.agent(chains).argmax(-1)
        out["pairs"].append(((good > bad).float() + 0.5 * (good == bad).float()).tolist())
        out["calls"].append((((good > 0.5).float() + (bad <= 0.5).float()) / 2).tolist())
        out["answers"].append((said == right).float().tolist())
        out["paid"].append(list(step.paid))
        out["right"].append(list(step.curve))
        out["labels"].append(step.labels)
    return out


def making_job(item: Ladder | Training) -> dict[str, Any]:
    """Either kind of job: one queue, so that no worker waits for the other kind."""
    return training_job(item) if isinstance(item, Training) else ladder_job(item)


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Study:
    """Climb every ladder, train assistants against the highest reward model, and hold both against their nulls.

    Raises:
        ConfigError: For settings that would leave nothing to measure.
    """
    check(config)
    ladders = [
        Ladder(
            arm=arm, seed=1000 * (seed + 1) + s, levels=config.levels, labels=config.labels, steps=config.steps,
            more=config.more, test_questions=config.test_questions,
        )
        for arm in ARMS
        for s in range(config.seeds)
    ]  # fmt: skip
    seeds = [100 * seed + s for s in range(config.training_seeds)]
    trained = trainings(
        "recursive",
        seeds=seeds,
        steps=config.rl_steps,
        held_out=config.held_out,
        votes=config.votes,
        effort=config.climbing,
    )
    log({"stage": f"climbing {len(ladders)} ladders, and training {2 * len(trained)} assistants"})
    todo: list[Ladder | Training] = [*trained, *ladders]
    made = jobs.run(making_job, todo, workers=workers, memo=memo(folder, "made"), progress="climbing and training")
    ledger.append_once(*ladders, *trained)
    runs = list(zip(ladders, made[len(trained) :], strict=True))
    return page(config, runs=runs, trained=made[: len(trained)], ledger=ledger, depths=TRAINING_DEPTHS)


LEAST = {"levels": 2, "labels": 10, "steps": 10, "more": 1, "seeds": 2, "test_questions": 2, "training_seeds": 0, "rl_steps": 1,
         "held_out": 6, "votes": 1, "climbing": 1}  # fmt: skip


def check(config: Config) -> None:
    """Refuse settings that would fail only after minutes of work."""
    at_least(config, LEAST)
