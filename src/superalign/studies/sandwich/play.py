"""Writers, advisers and dialogues of the sandwich study: one seed under one adviser as a job that another process can run."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from superalign.grants import Setting, chains
from superalign.lab.solver import NOBODY_IN, Solver
from superalign.oversight.judges.judge import Grader, key_of
from superalign.oversight.sandwich.dialogue import Advice, Asked, Dialogue, JudgeCopy, converse
from superalign.problems import parse
from superalign.problems.corpus import LIE
from superalign.types import Problem, Record, Rollouts

Manner: TypeAlias = Literal["honest", "shuffled", "lying", "hostile", "copy"]
MANNERS: tuple[Manner, ...] = get_args(Manner)
PRACTICE, TEST = "train", "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Record):
    """One seed under one adviser."""

    writer: str
    agent: str
    temperature: float  # of the agent
    manner: Manner
    seed: int
    depths: tuple[int, ...]
    practice: int
    items: int
    checks: int  # most that any judge has
    votes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """An adviser who knows what is right and keeps the judge from it: bears wrong responses out, accuses right ones falsely."""

    correct: Grader = field(repr=False)
    name: str = "an adversary who knows the answers"

    def __call__(self, asked: Sequence[Asked], *, seed: int) -> Advice:
        """Say the opposite of what is so."""
        right = [self.correct(problem, text) for problem, text, _ in asked]
        units = tuple(start if ok else None for ok, (_, _, start) in zip(right, asked, strict=True))
        return Advice(units=units, same=tuple(not ok for ok in right))


@functools.lru_cache(maxsize=8)
def written(writer: str, depths: tuple[int, ...], n: int, split: str, seed: int, draw: int) -> Rollouts:
    """Responses under judgement, sampled at temperature 1; the problems are the same for every draw."""
    at = chains(depths, writer)
    each = [at.family.problems(split=split, n=-(-n // len(depths)), seed=seed, difficulty=d) for d in depths]
    problems = tuple(dict.fromkeys(p for some in zip(*each, strict=True) for p in some))[:n]
    return at.model().sample(problems, n=1, seed=30_000 + draw)


def dealt(problems: Sequence[Problem], seed: int) -> dict[str, Problem]:
    """Give each problem another one of the same length."""
    out: dict[str, Problem] = {}
    for depth in {p.difficulty for p in problems}:
        some = sorted((p for p in problems if p.difficulty == depth), key=lambda p: key_of(seed, p.prompt.encode()))
        out |= {p.prompt: some[(i + 1) % len(some)] for i, p in enumerate(some)}
    return out


def adviser_of(spec: Spec, problems: Sequence[Problem]) -> Any:
    """Make the adviser of a spec."""
    at = chains(spec.depths, spec.agent)
    if spec.manner == "copy":
        return JudgeCopy(check=at.check, count=at.units)
    if spec.manner == "hostile":
        return Hostile(correct=at.answered)
    agent = at.model(temperature=spec.temperature)
    if spec.manner == "lying":
        return Solver(agent=agent, name=f"{spec.agent}, told to lie", front=f"{LIE}: ")
    other = dealt(problems, spec.seed) if spec.manner == "shuffled" else {}
    return Solver(agent=agent, name=spec.agent, other=other)


def play(spec: Spec, *, seed: int) -> dict[str, Any]:
    """Let an adviser talk about every response of one seed, in practice and in the test.

    Args:
        spec: Which.
        seed: Of the problems, the same for all draws.

    Returns:
        For practice (train) and test: problems' prompts and difficulties, texts, right (by the grader), dialogues, tokens of the
        adviser per response, and the share of the agent's own answers that are the response's.
    """
    at, out = chains(spec.depths, spec.agent), dict[str, Any]()
    for split, n in ((PRACTICE, spec.practice), (TEST, spec.items)):
        rollouts = written(spec.writer, spec.depths, n, split, seed, spec.seed)
        problems, texts = rollouts.problems, list(rollouts.text_R)
        adviser = adviser_of(spec, problems)
        told, tokens = converse(
            problems, rollouts, adviser=adviser, check=at.check, count=at.units, k=spec.checks, seed=spec.seed
        )
        out[split] = {
            "prompts": [p.prompt for p in problems],
            "difficulties": [p.difficulty for p in problems],
            "texts": texts,
            "right": [at.answered(p, t) for p, t in zip(problems, texts, strict=True)],
            "dialogues": [[list(move) for move in d] for d in told],
            "tokens": tokens / max(1, len(texts)),
            **_own(at, spec, problems, texts),
        }
    return out


def _own(at: Setting, spec: Spec, problems: Sequence[Problem], texts: Sequence[str]) -> dict[str, Any]:
    """The agent's own answers, several times: how many are the response's, and how many are right."""
    if spec.manner != "honest":
        return {}
    said = at.model(temperature=spec.temperature).sample(problems, n=spec.votes, seed=2 * NOBODY_IN + spec.seed)
    own_PG = [[said.text_R[i * spec.votes + g] for g in range(spec.votes)] for i in range(len(problems))]
    same = [
        [int(parse(t).answer is not None and parse(t).answer == parse(text).answer) for t in row]
        for row, text in zip(own_PG, texts, strict=True)
    ]
    right = [[at.answered(p, t) for t in row] for p, row in zip(problems, own_PG, strict=True)]
    return {
        "same": same,
        "solved": float(np.mean(right)),
        "own": [row[0] for row in own_PG],
        "own tokens": float(said.length_R.sum()) / max(1, len(texts)),
    }


def dialogues(found: Mapping[str, Any]) -> list[Dialogue]:
    """Read dialogues back from plain values."""
    return [
        tuple((None if u is None else int(u), bool(ok), bool(same)) for u, ok, same in d) for d in found["dialogues"]
    ]
