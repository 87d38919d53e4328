"""Does X learn what its overseer cannot answer, and do the overseer's errors grow with depth?

Two games with known truth (powers of permutations, long expressions), each with the overseer's slips as a dial; then worked
arithmetic, where an assistant is trained against a judge who has the question split and answered by X.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superalign.errors import ConfigError
from superalign.grants.facts import RESULTS
from superalign.lab.run import Run
from superalign.lab.trained import trained_against
from superalign.lab.training_arms import training_job, trainings
from superalign.ledger import Ledger
from superalign.oversight.amplification.distillation import Distilled, Distilling, answers_of, distil
from superalign.oversight.amplification.games import Expressions, Permutations
from superalign.oversight.amplification.teachers import (
    Answer,
    Slips,
    Teacher,
    amplified,
    direct,
    scrambled,
    undecomposed,
)
from superalign.report import Findings
from superalign.studies.amplification.page import page
from superalign.types import Record

DESCRIPTION = (
    "Amplification: X learns from an overseer who splits questions; whose errors grow, and a judge made of it."
)
TRAINING_DEPTHS = (4, 5, 6)
TRIES = 3  # starts of an X that does not come to agree with H

AMPLIFIED, DIRECT = "amplification", "direct supervision"
OWN, RANDOM, SHALLOW = "no decomposition", "random recombination", "no depth beyond 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other seeds than those it uses."""

    elements: int = 10
    """Of the permutations."""
    doublings: int = 5
    """Deepest question about permutations: sigma applied 2^this times."""
    lengths: tuple[int, ...] = (1, 2, 4, 8)
    """Operations of an expression at each depth."""
    rates: tuple[float, ...] = (0.01, 0.05)
    """Shares of the overseer's slips, beside none."""
    steps: int = 400
    """Updates of X."""
    seeds: int = 5
    """Of X, in every arm about permutations."""
    expression_seeds: int = 3
    """Of X, in every arm about expressions."""
    test_questions: int = 300
    """Held-out questions at each depth (for permutations: lists, each with a question per element)."""
    training_seeds: int = 3
    """Assistants trained against each overseer of worked arithmetic; 0 leaves that part out."""
    rl_steps: int = 24
    """Updates of each of these."""
    held_out: int = 600
    """Test problems that they are graded on."""
    votes: int = 3
    """Responses that vote."""
    distilling: int = 600
    """Updates of the X that judges."""


def quick(config: Config) -> Config:
    """Fewer seeds, doublings and slips."""
    return dataclasses.replace(
        config,
        doublings=3,
        lengths=(1, 2, 4),
        rates=(0.05,),
        steps=200,
        seeds=3,
        expression_seeds=2,
        test_questions=100,
        training_seeds=2,
        rl_steps=8,
        held_out=150,
        distilling=400,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation(Record):
    """One X, as a job."""

    game: str  # permutations or expressions
    arm: str
    answers: float = 0.0
    decompositions: float = 0.0
    systematic: bool = False
    seed: int
    elements: int
    doublings: int
    lengths: tuple[int, ...]
    steps: int
    test_questions: int


def look_up(questions: Tensor) -> Tensor:
    """What one operation is worth: all that H can look up."""
    return _worked(questions)


def _worked(questions: Tensor) -> Tensor:
    """The value of each chain; the study's grader."""
    value = questions[:, 0]
    for t in range(1, questions.shape[1]):
        value = RESULTS[value, questions[:, t]]
    return value


def powered(sigma_BN: Tensor, doublings: int) -> Tensor:
    """Where each element is after 2^doublings applications; the study's grader.

    Example:
        >>> powered(torch.tensor([[1, 2, 0]]), 1).tolist()
        [[2, 0, 1]]
    """
    for _ in range(doublings):
        sigma_BN = sigma_BN.gather(1, sigma_BN)
    return sigma_BN


@dataclass(frozen=True, slots=True)
class _Set:
    """Held-out questions with what is right, at one depth."""

    asked: Tensor
    right: Tensor
    counts: Tensor  # False where the answer is the element itself: who says "nothing moves" would be right

    def wrong(self, answer: Answer, depth: int) -> list[float]:
        """Share of wrong answers, per row that has a question that counts."""
        hit = ((answer(self.asked, depth) != self.right) & self.counts).float().reshape(len(self.asked), -1).sum(1)
        of = self.counts.float().reshape(len(self.asked), -1).sum(1)
        return [float(h / n) if n else -1.0 for h, n in zip(hit, of, strict=True)]


def _tests(game: Permutations | Expressions, n: int) -> list[_Set]:
    """The same held-out questions for every arm and seed."""
    out = []
    for depth in range(game.depths + 1):
        made = torch.Generator().manual_seed(900_000 + (depth if isinstance(game, Expressions) else 0))
        asked = game.draw(n, depth, made)
        right = powered(asked, depth) if isinstance(game, Permutations) else _worked(asked)
        still = (
            right == torch.arange(asked.shape[1]) if isinstance(game, Permutations) else torch.zeros_like(right).bool()
        )
        out.append(_Set(asked, right, ~still))
    return out


def distillation_job(item: Distillation) -> dict[str, Any]:
    """Train one X and measure it.

    Returns:
        `wrong` (depth -> share of wrong answers per held-out row, -1 where none counts), `curve` (questions so far, error per
        depth), `opened`, and how many questions H and X were asked.
    """
    game: Permutations | Expressions = (
        Permutations(elements=item.elements, depths=item.doublings)
        if item.game == "permutations"
        else Expressions(look_up=look_up, lengths=item.lengths)
    )
    slips = Slips(answers=item.answers, decompositions=item.decompositions, systematic=item.systematic)
    truth: Answer = powered if isinstance(game, Permutations) else lambda questions, depth: _worked(questions)
    teachers: dict[str, Teacher] = {
        AMPLIFIED: amplified(game, slips),
        DIRECT: direct(game, truth, slips),
        OWN: undecomposed(game),
        RANDOM: scrambled(game),
        SHALLOW: amplified(game, slips),
    }
    values = item.elements if isinstance(game, Permutations) else 10
    by_chance = 0.0 if item.systematic else item.answers + item.decompositions
    few, many = _tests(game, min(100, item.test_questions)), _tests(game, item.test_questions)
    settings = Distilling(
        steps=item.steps,
        deepest=1 if item.arm == SHALLOW else 99,
        batch=32 if isinstance(game, Permutations) else 256,
        lr=3e-3 if isinstance(game, Permutations) else 5e-3,
    )
    made: list[Distilled] = []
    # About two in five start from weights with which X never comes to agree with H beyond depth 1. That X and H disagree can be
    # seen without any answer, so such an X is given up for a fresh one; what it cost is counted.
    while len(made) < TRIES and not any(len(x.opened) > min(game.depths, settings.deepest) for x in made):
        made.append(
            distil(
                game,
                teachers[item.arm],
                config=settings,
                seed=item.seed + 100 * len(made),
                noise=1 - 1 / values if item.arm == RANDOM else by_chance,
                measure=lambda answer: [_mean(some.wrong(answer, depth)) for depth, some in enumerate(few)],
            )
        )
    x = max(made, key=lambda one: len(one.opened))
    questions = sum(one.questions for one in made)
    return {
        "wrong": [some.wrong(answers_of(x.net), depth) for depth, some in enumerate(many)],
        "curve": [[questions - x.questions + n, list(errors)] for n, errors in x.curve],
        "opened": list(x.opened),
        "questions": questions,
        "asked": sum(one.asked for one in made),
        "tries": len(made),
    }


def _mean(wrong: Sequence[float]) -> float:
    return float(np.mean([w for w in wrong if w >= 0]))


def distillations(config: Config, seed: int) -> list[Distillation]:
    """Every X of the study: each game, arm, slip and seed."""
    dials: list[Mapping[str, Any]] = [{"arm": arm} for arm in (AMPLIFIED, DIRECT, OWN, RANDOM, SHALLOW)]
    for game_rate in config.rates:
        for systematic in (False, True):
            dials += [
                {"arm": AMPLIFIED, "answers": game_rate, "systematic": systematic},
                {"arm": AMPLIFIED, "decompositions": game_rate, "systematic": systematic},
                {"arm": DIRECT, "answers": game_rate, "systematic": systematic},
            ]
    worst = max(config.rates, default=0.0)
    return [
        Distillation(
            game=game,
            seed=1000 * (seed + 1) + s,
            elements=config.elements,
            doublings=config.doublings,
            lengths=config.lengths,
            steps=config.steps,
            test_questions=config.test_questions,
            **dial,
        )
        for game in ("permutations", "expressions")
        for dial in dials
        # The long expressions repeat the ends of the dial only.
        if game == "permutations" or max(dial.get("answers", 0), dial.get("decompositions", 0)) in (0, worst)
        for s in range(config.seeds if game == "permutations" else config.expression_seeds)
    ]


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Distil every X, train assistants against the judge that is made of one, and hold both against their nulls.

    Raises:
        ConfigError: For settings that would leave nothing to measure.
    """
    check(config)
    plain = distillations(config, seed)
    seeds = [100 * seed + s for s in range(config.training_seeds)]
    trained = trainings(
        "amplification",
        seeds=seeds,
        steps=config.rl_steps,
        held_out=config.held_out,
        votes=config.votes,
        effort=config.distilling,
    )
    log({"stage": f"distilling X {len(plain)} times, and training {2 * len(trained)} assistants"})
    run = Run(seed=seed, workers=workers, folder=folder, ledger=ledger, log=log)
    paid = run.map(training_job, trained, name="trained", progress="training")
    made = run.map(distillation_job, plain, name="distilled", progress="distilling")
    ledger.append_once(*plain, *trained)
    against = trained_against(paid, depths=TRAINING_DEPTHS, ledger=ledger)
    return page(config, runs=list(zip(plain, made, strict=True)), trained=against)


LEAST = {
    "elements": 4,
    "doublings": 1,
    "steps": 10,
    "seeds": 2,
    "expression_seeds": 2,
    "test_questions": 2,
    "training_seeds": 0,
    "rl_steps": 1,
    "held_out": 6,
    "votes": 1,
    "distilling": 10,
}


def check(config: Config) -> None:
    """Refuse settings that would fail only after minutes of work."""
    for name, smallest in LEAST.items():
        if getattr(config, name) < smallest:
            raise ConfigError(
                f"{name}={getattr(config, name)} is too small. The study would have nothing to measure, or no interval. "
                f"Give {smallest} or more."
            )
    if not all(0 < r < 0.5 for r in config.rates) or len(set(config.rates)) < len(config.rates):
        raise ConfigError(
            f"rates={config.rates} are not distinct shares between 0 and a half. An overseer who errs more often than that "
            "teaches the opposite. Give shares such as 0.01,0.05."
        )
    pairs = list(zip(config.lengths, config.lengths[1:], strict=False))
    if not pairs or config.lengths[0] != 1 or any(not a < b <= 2 * a for a, b in pairs):
        raise ConfigError(
            f"lengths={config.lengths} cannot be climbed by halving. Each half must be short enough for the depth below. Start "
            "at 1, and let each length be more than the one before and at most twice that."
        )
