"""Advice on worked chains: who wrote them, who is asked about them, and everything that is said, as a job."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from superalign.grants import chains
from superalign.oversight.judges.judge import key_of
from superalign.oversight.sandwich.dialogue import Adviser, Hostile, JudgeCopy, converse
from superalign.oversight.sandwich.practice import Advised, Believed, Heard, Votes
from superalign.problems import parse
from superalign.problems.corpus import LIE
from superalign.stats.streams import seed_for
from superalign.trials import Item
from superalign.trials.solver import Solver
from superalign.types import Problem, Record, Rollouts

Manner: TypeAlias = Literal["honest", "shuffled", "lying", "hostile", "copy"]
MANNERS: tuple[Manner, ...] = get_args(Manner)
PRACTICE, TEST = "train", "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceJob(Record):
    """One draw of everything that is said, under one adviser."""

    writer: str
    agent: str
    temperature: float  # of the agent
    manner: Manner
    seed: int  # of the problems, the same for every draw
    draw: int
    depths: tuple[int, ...]
    practice: int
    items: int
    checks: int  # most that any judge has
    votes: int


@functools.lru_cache(maxsize=8)
def written(writer: str, depths: tuple[int, ...], n: int, split: str, seed: int, draw: int) -> Rollouts:
    """Sample the responses under judgement at temperature 1; the problems are the same for every draw."""
    at = chains(depths, writer)
    each = [at.family.problems(split=split, n=-(-n // len(depths)), seed=seed, difficulty=d) for d in depths]
    problems = tuple(dict.fromkeys(p for some in zip(*each, strict=True) for p in some))[:n]
    return at.model().sample(problems, n=1, seed=seed_for(draw, "advice"))


def shuffled(problems: Sequence[Problem], seed: int) -> dict[str, Problem]:
    """Give each problem another one of the same length."""
    out: dict[str, Problem] = {}
    for depth in {p.difficulty for p in problems}:
        some = sorted((p for p in problems if p.difficulty == depth), key=lambda p: key_of(seed, p.prompt.encode()))
        out |= {p.prompt: some[(i + 1) % len(some)] for i, p in enumerate(some)}
    return out


def adviser_of(job: AdviceJob, problems: Sequence[Problem]) -> Adviser:
    """Make the adviser of a job."""
    at = chains(job.depths, job.agent)
    if job.manner == "copy":
        return JudgeCopy(check=at.check, count=at.units)
    if job.manner == "hostile":
        return Hostile(correct=at.answered)
    agent = at.model(temperature=job.temperature)
    if job.manner == "lying":
        return Solver(agent=agent, name=f"{job.agent}, told to lie", front=f"{LIE}: ")
    return Solver(agent=agent, name=job.agent, other=shuffled(problems, job.draw) if job.manner == "shuffled" else {})


def advise(job: AdviceJob) -> Advised:
    """Let an adviser talk about every response, in practice and in the test."""
    return Advised(practice=heard(job, PRACTICE, job.practice), test=heard(job, TEST, job.items))


def heard(job: AdviceJob, split: str, n: int) -> Heard:
    """Let an adviser talk about the responses of one split."""
    rollouts = written(job.writer, job.depths, n, split, job.seed, job.draw)
    at, problems, texts = chains(job.depths, job.agent), rollouts.problems, rollouts.text_R
    told, tokens = converse(
        problems,
        rollouts,
        adviser=adviser_of(job, problems),
        check=at.check,
        count=at.units,
        k=job.checks,
        seed=job.draw,
    )
    return Heard(
        problems=tuple(problems),
        texts=tuple(texts),
        right=tuple(at.answered(p, t) for p, t in zip(problems, texts, strict=True)),
        dialogues=tuple(told),
        tokens=tokens / max(1, len(texts)),
        votes=votes(job, problems, texts) if job.manner == "honest" else None,
    )


def votes(job: AdviceJob, problems: Sequence[Problem], texts: Sequence[str]) -> Votes:
    """Let the agent answer every problem itself, several times."""
    n, at = job.votes, chains(job.depths, job.agent)
    said = at.model(temperature=job.temperature).sample(problems, n=n, seed=seed_for(job.draw, "both together"))
    own = [said.text_R[i * n : (i + 1) * n] for i in range(len(problems))]
    return Votes(
        same=tuple(
            tuple(int(parse(t).answer is not None and parse(t).answer == parse(text).answer) for t in row)
            for row, text in zip(own, texts, strict=True)
        ),
        texts=tuple(row[0] for row in own),
        right=float(np.mean([[at.answered(p, t) for t in row] for p, row in zip(problems, own, strict=True)])),
        tokens=float(said.length_R.sum()) / max(1, len(texts)),
    )


def decided(test: Heard, found: Believed, arm: str, seed: int, tokens: float = 0.0) -> list[Item]:
    """Return what one arm believes as decisions."""
    return [
        Item(
            problem=problem.digest,
            difficulty=problem.difficulty,
            seed=seed,
            arm=arm,
            truth=right,
            behaviour="right" if right else "wrong",
            probability=value,
            transcript=words,
            checks=checks,
            tokens=round(tokens),
        )
        for problem, right, value, words, checks in zip(
            test.problems, test.right, found.values, found.words, found.checks, strict=True
        )
    ]
