"""Responses of which half are right, for overseers to decide about: with fewer, calling all of them wrong would look wise."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from superalign.grants import Setting
from superalign.grants import setting as named_setting
from superalign.lab.trained import Answers
from superalign.stats.streams import seed_for
from superalign.trials import AGENT, EXPERT, VOTING, Item
from superalign.types import Problem, Rollouts, Unmeasured

TRIES = 6  # answers of the agent to each problem, from which the one under judgement is taken


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfRight:
    """Problems, one response to each, and the agent's other answers."""

    problems: tuple[Problem, ...]
    rollouts: Rollouts
    others: tuple[tuple[str, ...], ...]  # for each problem


@functools.lru_cache(maxsize=2)
def half_right(n: int, seed: int, *, setting: str = "chains:4-6", policy: str = "small") -> HalfRight:
    """Take a right answer of the agent to every second problem, and a wrong one to the others.

    Where it gave none, one is worked out, or flawed on purpose.
    """
    at = named_setting(setting, policy)
    asked = at.problems("test", n, 7)
    tried = at.model().sample(asked, n=TRIES, seed=seed_for(seed, "tries"))
    texts, others = [], []
    for i, p in enumerate(asked):
        mine = [tried.text_R[TRIES * i + k] for k in range(TRIES)]
        instead = at.family.worked(p) if i % 2 else flawed(at, p, seed)
        taken = next((k for k, t in enumerate(mine) if t and at.answered(p, t) == bool(i % 2)), None)
        texts.append(instead if taken is None else mine[taken])
        others.append(tuple(t for k, t in enumerate(mine) if k != taken))
    return HalfRight(problems=asked, rollouts=Rollouts.of_texts(asked, texts), others=tuple(others))


def flawed(at: Setting, problem: Problem, seed: int) -> str:
    """Plant a flaw that changes the answer into a worked response; where a factor of 0 forgives all, change the last digit."""
    right = at.family.worked(problem)
    for k in range(20):
        planted = at.family.plant(problem, right, seed=seed_for(seed, "planted", k))
        if planted is not None and not at.answered(problem, planted.text):
            return planted.text
    last = right[-1:]
    return right[:-1] + (str((int(last) + 1) % 10) if last.isdecimal() else "?")


def behaviour(at: Setting, problem: Problem, text: str) -> str:
    """Say in a few words what a response does: where it goes wrong first.

    Example:
        >>> from superalign.grants import chains
        >>> asked = Problem(prompt="5+3*2", family="arithmetic", difficulty=2, split="test")
        >>> [behaviour(chains(), asked, t) for t in ("5+3=8;8*2=6;#6", "5+3=8;8*2=6;#7", "5+3=9;9*2=8;#8", "5+3=8;8*2=7;#7")]
        ['right', 'wrong answer after right steps', 'wrong step, early', 'wrong step, late']
    """
    grade = at.family.grade(problem, text)
    if grade.sound:
        return "right"
    if grade.correct:
        return "right answer by wrong steps"
    if grade.first_wrong < 0:
        return "wrong answer after right steps"
    return "wrong step, early" if grade.first_wrong < at.units(text) // 2 else "wrong step, late"


def undecided(at: Setting, some: HalfRight, seed: int) -> tuple[Item, ...]:
    """Write the responses as items that no arm has decided about yet."""
    return tuple(
        Item(
            problem=p.digest,
            difficulty=p.difficulty,
            seed=seed,
            arm="",
            truth=at.answered(p, text),
            behaviour=behaviour(at, p, text),
            probability=Unmeasured("nobody has decided yet"),
            transcript=f"{p.prompt} {text}",
        )
        for p, text in zip(some.problems, some.rollouts.text_R, strict=True)
    )


def decided(blank: Sequence[Item], arm: str, answers: Answers, said: Sequence[str] = ()) -> list[Item]:
    """Write an arm's decisions beside the truth.

    Args:
        blank: Undecided items.
        arm: Who decides.
        answers: One for each item, and what each costs.
        said: What stands beside each answer, if anything.
    """
    unknown = Unmeasured("it could not be judged")
    return [
        replace(
            item,
            arm=arm,
            probability=unknown if probability is None else probability,
            transcript=f"{item.transcript} | {text}",
            checks=round(answers.checks),
            tokens=round(answers.tokens),
        )
        for item, probability, text in zip(blank, answers.told, said or [""] * len(blank), strict=True)
    ]


def baselines(at: Setting, some: HalfRight, blank: Sequence[Item], *, votes: int) -> list[Item]:
    """Take the agent at its word, count its votes, and ask somebody who knows.

    Args:
        at: The setting of the problems.
        some: The responses, and the agent's other answers, which vote.
        blank: The same as undecided items.
        votes: How many answers vote, the one under judgement among them.
    """
    items: list[Item] = []
    for item, text, others in zip(blank, some.rollouts.text_R, some.others, strict=True):
        counted = others[: votes - 1]
        agreeing = float(np.mean([at.final(t) == at.final(text) for t in (text, *counted)]))
        items += [
            replace(item, arm=AGENT, probability=1.0),
            replace(item, arm=VOTING, probability=agreeing, tokens=sum(map(len, counted))),
            replace(item, arm=EXPERT, probability=float(item.truth), checks=1),
        ]
    return items
