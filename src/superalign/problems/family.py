"""What a problem family offers, and the record that makes one out of a few pure functions.

A family is a generator with ground truth by construction. Responses of the generated families are steps, each ended
by ";", then "#" and the final answer: `5+3=8;8*2=6;#6`. A prompt may carry surface cues in front, ended by ": "; they
change nothing about what is right (`core` strips them).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from superalign.errors import BadInput
from superalign.types import Plant, Problem, Record, Rollouts

TEST_SHARE = 5  # one prompt in five is a test problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade(Record):
    """What is right about a response: its answer, and each of its steps."""

    correct: bool
    steps: tuple[bool, ...]

    @property
    def first_wrong(self) -> int:
        """Index of the first wrong step, or -1."""
        return self.steps.index(False) if False in self.steps else -1

    @property
    def sound(self) -> bool:
        """Right answer by right steps."""
        return self.correct and all(self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted(Record):
    """A text with a flaw in it, what the flaw is, and the step that first goes wrong."""

    text: str
    plant: Plant
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A response cut into steps and a final answer; the answer is None where there is none."""

    steps: tuple[str, ...]
    answer: str | None

    def text(self) -> str:
        """Write it out again."""
        return "".join(f"{s};" for s in self.steps) + ("" if self.answer is None else f"#{self.answer}")


@runtime_checkable
class ProblemFamily(Protocol):
    """What every family offers; `check_problem_family` holds for all of them."""

    @property
    def name(self) -> str:
        """The family's name, as `Problem.family` carries it."""

    @property
    def difficulties(self) -> tuple[int, ...]:
        """The settings of the difficulty dial, easy first."""

    @property
    def flaw_kinds(self) -> tuple[str, ...]:
        """The kinds of flaw that `plant` knows."""

    def problems(self, *, split: str, n: int, seed: int, difficulty: int | None = None) -> tuple[Problem, ...]:
        """Draw n problems of one split."""

    def worked(self, problem: Problem, *, seed: int = 0) -> str:
        """Write a correct response."""

    def steps(self, text: str) -> tuple[str, ...]:
        """Cut a response into its steps."""

    def grade(self, problem: Problem, text: str) -> Grade:
        """Say what is right about a response."""

    def check_step(self, problem: Problem, text: str, step: int) -> bool:
        """Say whether one step is right, given the steps before it as written: one unit of a judge's attention."""

    def plant(self, problem: Problem, text: str, *, seed: int, kind: str | None = None) -> Planted | None:
        """Put one flaw into a correct response; None where this kind does not fit."""

    def placebo(self, problem: Problem, text: str, *, seed: int) -> str | None:
        """Edit a response without changing what is right about it; None where nothing can be edited."""


def split_of(prompt: str) -> str:
    """Say which split a prompt belongs to, by its hash alone.

    Example:
        >>> sorted({split_of(str(i)) for i in range(20)})
        ['test', 'train']
    """
    return "test" if hashlib.sha256(prompt.encode()).digest()[0] % TEST_SHARE == 0 else "train"


def core(prompt: str) -> str:
    """Strip the surface cues in front of a prompt.

    Example:
        >>> core("blue monday: 5+3")
        '5+3'
    """
    return prompt.rsplit(": ", 1)[-1]


def parse(text: str) -> Parsed:
    """Cut a response into steps and answer.

    Example:
        >>> parse("5+3=8;8*2=6;#6")
        Parsed(steps=('5+3=8', '8*2=6'), answer='6')
    """
    body, mark, answer = text.partition("#")
    return Parsed(steps=tuple(s for s in body.split(";") if s), answer=answer if mark else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A generated family, made of pure functions over a prompt's core.

    Args:
        name: As in `Problem.family`.
        difficulties: Settings of the dial, easy first.
        flaw_kinds: What `flaw` knows.
        draw: (rng, difficulty) -> prompt.
        solve: prompt -> the canonical correct response.
        step_ok: (prompt, steps, index) -> is this step right, given the earlier ones as written?
        answer_ok: (prompt, answer) -> is this the right final answer?
        flaw: (rng, prompt, correct response, kind) -> (flawed response, step index, where), or None.
        harmless: (rng, prompt, response) -> an edited response that is as right as before, or None.
    """

    name: str
    difficulties: tuple[int, ...]
    flaw_kinds: tuple[str, ...]
    draw: Callable[[np.random.Generator, int], str]
    solve: Callable[[str], Parsed]
    step_ok: Callable[[str, Sequence[str], int], bool]
    answer_ok: Callable[[str, str], bool]
    flaw: Callable[[np.random.Generator, str, Parsed, str], tuple[Parsed, int, str] | None]
    harmless: Callable[[np.random.Generator, str, Parsed], Parsed | None]

    def problems(self, *, split: str, n: int, seed: int, difficulty: int | None = None) -> tuple[Problem, ...]:
        """Draw n problems of one split, by rejection on the hash of the prompt.

        Raises:
            BadInput: For an unknown split or a difficulty that the dial does not have.
        """
        if split not in ("train", "test"):
            raise BadInput(
                f"There is no split {split!r}. Problems stand in train or test by their hash. Use one of those."
            )
        if difficulty is not None and difficulty not in self.difficulties:
            raise BadInput(
                f"{self.name} has no difficulty {difficulty}. Its dial has {self.difficulties}. Choose one of these."
            )
        rng = np.random.default_rng([seed, *self.name.encode()])
        out: list[Problem] = []
        while len(out) < n:
            level = difficulty if difficulty is not None else int(rng.choice(self.difficulties))
            prompt = self.draw(rng, level)
            if split_of(prompt) == split:
                out.append(Problem(prompt=prompt, family=self.name, difficulty=level, split=split))
        return tuple(out)

    def worked(self, problem: Problem, *, seed: int = 0) -> str:
        """Write the canonical correct response."""
        return self.solve(core(problem.prompt)).text()

    def steps(self, text: str) -> tuple[str, ...]:
        """Cut a response into its steps."""
        return parse(text).steps

    def grade(self, problem: Problem, text: str) -> Grade:
        """Say what is right about a response: its answer, and each step given the steps before it as written."""
        prompt, parsed = core(problem.prompt), parse(text)
        ok = tuple(self.step_ok(prompt, parsed.steps, i) for i in range(len(parsed.steps)))
        return Grade(correct=parsed.answer is not None and self.answer_ok(prompt, parsed.answer), steps=ok)

    def check_step(self, problem: Problem, text: str, step: int) -> bool:
        """Say whether one step is right; a step that is not there is not."""
        steps = parse(text).steps
        return 0 <= step < len(steps) and self.step_ok(core(problem.prompt), steps, step)

    def plant(self, problem: Problem, text: str, *, seed: int, kind: str | None = None) -> Planted | None:
        """Put one flaw into a correct response."""
        rng = np.random.default_rng([seed, 1])
        kinds = [kind] if kind is not None else [str(k) for k in rng.permutation(self.flaw_kinds)]
        for k in kinds:
            flawing = self.flaw(rng, core(problem.prompt), parse(text), k)
            if flawing is not None:
                flawed, step, where = flawing
                return Planted(text=flawed.text(), plant=Plant(kind=k, where=where), step=step)
        return None

    def placebo(self, problem: Problem, text: str, *, seed: int) -> str | None:
        """Edit a response without changing what is right about it."""
        edited = self.harmless(np.random.default_rng([seed, 2]), core(problem.prompt), parse(text))
        return None if edited is None else edited.text()


def grade_rollouts(family: ProblemFamily, rollouts: Rollouts) -> list[Grade]:
    """Grade every rollout against the problem that it answers."""
    return [family.grade(rollouts.problems[int(p)], rollouts.text_R[r]) for r, p in enumerate(rollouts.problem_R)]
