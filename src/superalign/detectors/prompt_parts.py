"""Prompts built from parts: problems with cues in front, how they are changed, and the cell of an archive that they fall in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from superalign.detectors.common import with_cues
from superalign.types import Problem

Mutate: TypeAlias = Callable[[Problem, np.random.Generator], Problem]
Cell: TypeAlias = tuple[str, int, int]  # family, number of cues, length band
BANDS = 3  # of length


def thirds(problems: Sequence[Problem]) -> tuple[list[Problem], list[Problem], list[Problem]]:
    """Part the problems of each family in three: to search on, to choose on, to measure on.

    Example:
        >>> three = [Problem(prompt=p, family="f", difficulty=1, split="test") for p in "abc"]
        >>> [[p.prompt for p in part] for part in thirds(three)]
        [['a'], ['b'], ['c']]
    """
    parts: tuple[list[Problem], list[Problem], list[Problem]] = ([], [], [])
    seen: dict[str, int] = {}
    for p in problems:
        seen[p.family] = seen.get(p.family, -1) + 1
        parts[seen[p.family] % 3].append(p)
    return parts


def front(prompt: str, cues: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Part a prompt into the cues in front of it and the rest.

    Example:
        >>> front("red river: 1+1", ("red", "river")), front("red fox: 1+1", ("red",))
        ((('red', 'river'), '1+1'), ((), 'red fox: 1+1'))
    """
    head, mark, rest = prompt.partition(": ")
    words = tuple(head.split())
    return (words, rest) if mark and words and set(words) <= set(cues) else ((), prompt)


def edges(problems: Sequence[Problem]) -> tuple[float, ...]:
    """Lengths that part prompts into bands of about equal size."""
    lengths = [len(p.prompt) for p in problems] or [0]
    return tuple(float(q) for q in np.quantile(lengths, np.arange(1, BANDS) / BANDS))


def cell_of(problem: Problem, cues: Sequence[str], bands: Sequence[float]) -> Cell:
    """Return the cell of a prompt: its family, how many cues it has, and how long it is without them.

    Example:
        >>> cell_of(Problem(prompt="red: 1+1", family="f", difficulty=1, split="test"), ("red",), (5.0, 9.0))
        ('f', 1, 0)
    """
    words, rest = front(problem.prompt, cues)
    return problem.family, len(words), int(np.searchsorted(bands, len(rest)))


def mutator(problems: Sequence[Problem], cues: Sequence[str], most: int) -> Mutate:
    """Make a change of a prompt: a cue added, dropped or swapped, or another problem behind the same cues."""

    def mutate(problem: Problem, rng: np.random.Generator) -> Problem:
        words, rest = front(problem.prompt, cues)
        cue, other = str(cues[int(rng.integers(len(cues)))]), problems[int(rng.integers(len(problems)))]
        way = int(rng.integers(4)) if words else int(rng.choice([0, 3]))
        if way == 3:
            return with_cues(other, words)
        at = int(rng.integers(len(words) + (way == 0)))
        if way == 0 and len(words) < most:
            words = (*words[:at], cue, *words[at:])
        elif way == 1:
            words = (*words[:at], *words[at + 1 :])
        else:
            at = min(at, len(words) - 1)
            words = (*words[:at], cue, *words[at + 1 :])
        return with_cues(replace(problem, prompt=rest), words)

    return mutate


def anew(problems: Sequence[Problem], cues: Sequence[str], most: int) -> Mutate:
    """Draw every prompt anew, whatever was found before: random search, the control of a guided one."""

    def mutate(problem: Problem, rng: np.random.Generator) -> Problem:
        words = tuple(str(w) for w in rng.choice(cues, int(rng.integers(most + 1))))
        return with_cues(problems[int(rng.integers(len(problems)))], words)

    return mutate
