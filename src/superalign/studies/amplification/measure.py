"""Distil X in two games with known truth, and train assistants against a judge that is made of an X.

The games are powers of permutations and long expressions, each with the overseer's slips as a dial.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.kit.run import Run
from superalign.lab.graded_games import held_out, looked_up, truth_of
from superalign.lab.trained import trained_against
from superalign.lab.training_arms import training_job, trainings
from superalign.oversight.amplification.distillation import DistillConfig, Distilled, answers_of, distil
from superalign.oversight.amplification.games import Expressions, Permutations
from superalign.oversight.amplification.teachers import ErrorModel, amplified, direct, scrambled, undecomposed
from superalign.studies.amplification.evidence import AMPLIFIED, DIRECT, Evidence, Game, Learned, Learners, Slipped
from superalign.studies.amplification.study import Config
from superalign.types import Record

GAMES = ("permutations", "expressions")
TRAINING_DEPTHS = (4, 5, 6)
TRIES = 3  # starts of an X that does not come to agree with H


def measure(config: Config, run: Run) -> Evidence:
    """Distil every X, and train assistants against the judge that is made of one."""
    training = trainings(
        "amplification",
        seeds=[100 * run.seed + s for s in range(config.training_seeds)],
        steps=config.rl_steps,
        held_out=config.held_out,
        votes=config.votes,
        effort=config.distilling,
    )
    plain = distillations(config, run.seed)
    run.stage(f"distilling X {len(plain)} times, and training {2 * len(training)} assistants")
    trained = run.map(training_job, training, name="trained", progress="training")
    distilling = functools.partial(distillation_job, config=config)
    learned = run.map(distilling, plain, name="distilled", progress="distilling")
    run.keep(*plain, *training)
    permutations, expressions = (
        game_of([(job, x) for job, x in zip(plain, learned, strict=True) if job.game == name]) for name in GAMES
    )
    return Evidence(
        config=config,
        permutations=permutations,
        expressions=expressions,
        trained=trained_against(trained, depths=TRAINING_DEPTHS, ledger=run.ledger),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation(Record):
    """One X, as a job."""

    game: str  # one of GAMES
    overseer: str | Slipped  # a field of Game, or one who slips
    seed: int


def distillations(config: Config, seed: int) -> list[Distillation]:
    """List every X of the study: each game, overseer and seed."""
    overseers: list[str | Slipped] = [AMPLIFIED, DIRECT, "own", "random", "shallow"]
    overseers += [
        Slipped(arm=arm, kind=kind, rate=rate, systematic=systematic)
        for rate in config.rates
        for systematic in (False, True)
        for arm, kind in ((AMPLIFIED, "answers"), (AMPLIFIED, "decompositions"), (DIRECT, "answers"))
    ]
    worst = max(config.rates, default=0.0)
    return [
        Distillation(game=game, overseer=overseer, seed=1000 * (seed + 1) + s)
        for game, seeds in zip(GAMES, (config.seeds, config.expression_seeds), strict=True)
        for overseer in overseers
        # The long expressions repeat the ends of the dial only.
        if game == "permutations" or isinstance(overseer, str) or overseer.rate == worst
        for s in range(seeds)
    ]


def game_of(done: Sequence[tuple[Distillation, Learned]]) -> Game:
    """Put the seeds of each overseer of a game together."""
    grouped = dict[str | Slipped, tuple[Learned, ...]]()
    for job, learned in done:
        grouped[job.overseer] = (*grouped.get(job.overseer, ()), learned)
    arms = {key: Learners(some) for key, some in grouped.items() if isinstance(key, str)}
    slipped = {key: Learners(some) for key, some in grouped.items() if isinstance(key, Slipped)}
    return Game(**arms, slipped=slipped)


def distillation_job(item: Distillation, *, config: Config) -> Learned:
    """Train one X, and measure it."""
    game: Permutations | Expressions
    if item.game == "permutations":
        game, values = Permutations(elements=config.elements, depths=config.doublings), config.elements
        batch, lr = 32, 3e-3
    else:
        game, values = Expressions(look_up=looked_up, lengths=config.lengths), 10
        batch, lr = 256, 5e-3
    if isinstance(item.overseer, Slipped):
        slipped, arm = item.overseer, item.overseer.arm
        rates = {"answers": 0.0, "decompositions": 0.0, slipped.kind: slipped.rate}
        slips = ErrorModel(**rates, systematic=slipped.systematic)
    else:
        arm, slips = item.overseer, ErrorModel()
    teachers = {
        AMPLIFIED: amplified(game, slips),
        DIRECT: direct(game, truth_of(game), slips),
        "own": undecomposed(game),
        "random": scrambled(game),
        "shallow": amplified(game, slips),
    }
    by_chance = 0.0 if slips.systematic else slips.answers + slips.decompositions
    few, many = (held_out(game, n) for n in (min(100, config.test_questions), config.test_questions))
    deepest = 1 if arm == "shallow" else game.depths
    settings = DistillConfig(steps=config.steps, deepest=deepest, batch=batch, lr=lr)
    tries: list[Distilled] = []
    # About two in five start from weights with which X never comes to agree with H beyond depth 1. That X and H disagree can be
    # seen without any answer, so such an X is given up for a fresh one; what it cost is counted.
    while len(tries) < TRIES and not any(len(x.opened) > min(game.depths, deepest) for x in tries):
        tries.append(
            distil(
                game,
                teachers[arm],
                config=settings,
                seed=item.seed + 100 * len(tries),
                noise=1 - 1 / values if arm == "random" else by_chance,
                measure=lambda answer: [float(some.wrong_P(answer).mean()) for some in few],
            )
        )
    x = max(tries, key=lambda one: len(one.opened))
    questions = sum(one.questions for one in tries)
    return Learned(
        wrong=tuple(some.wrong_P(answers_of(x.net)) for some in many),
        questions_T=tuple(questions - x.questions + n for n, _ in x.curve),
        error_TD=np.array([errors for _, errors in x.curve]),
        questions=questions,
        asked=sum(one.asked for one in tries),
        starts=len(tries),
    )
