"""Responses of a bundled base whose steps are labelled, and what a judge finds where a critique points.

The privileges stand here: labels of steps, and checks of the single steps that critiques name.

Shape suffixes: R responses, S steps of all responses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.grants import chains
from superalign.models import Model
from superalign.oversight.critique.self_reading import ResponseReading, read
from superalign.oversight.judges.judge import key_of
from superalign.types import Problem, Rollouts

DEPTHS = (4, 5, 6)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Responses with all that a grader knows of them."""

    problems: list[Problem]
    texts: list[str]
    reading: ResponseReading
    wrong_S: np.ndarray
    flawed_R: np.ndarray


@functools.lru_cache(maxsize=3)
def agent(size: str) -> Model:
    """Return a bundled base that may write as much as its problems need."""
    return chains(DEPTHS, size).model()


def distinct(problems: Sequence[Problem], texts: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """Return the first of equal responses, and which of these each one is."""
    place: dict[tuple[str, str], int] = {}
    first: list[int] = []
    which = []
    for r, (p, t) in enumerate(zip(problems, texts, strict=True)):
        if (p.prompt, t) not in place:
            place[p.prompt, t] = len(first)
            first.append(r)
        which.append(place[p.prompt, t])
    return first, np.array(which)


def label(model: Model, problems: Sequence[Problem], texts: Sequence[str], *, whole_steps: bool) -> Labelled:
    """Read responses with a model and say which of their steps are wrong."""
    at = chains(DEPTHS)
    wrong = at.wrong_units(problems, texts)
    reading = read(model, problems, Rollouts.of_texts(problems, texts), at.spans, whole_steps=whole_steps)
    flat = np.array([w for labels in wrong for w in labels], bool)
    return Labelled(list(problems), list(texts), reading, flat, np.array([any(w) or not w for w in wrong]))


def sampled(model: Model, split: str, n: int, seed: int, *, whole_steps: bool) -> Labelled:
    """Sample one response to each of n problems, and label it; empty ones are left out, since nobody could criticise them."""
    problems = chains(DEPTHS).problems(split, n, seed)
    texts = list(model.sample(problems, n=1, seed=seed).text_R)
    kept = [r for r, t in enumerate(texts) if t]
    return label(model, [problems[r] for r in kept], [texts[r] for r in kept], whole_steps=whole_steps)


def foreign(named_R: np.ndarray, count_R: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
    """Return the critique of another problem's response of as many steps; none (-1) where there is no other.

    Example:
        >>> foreign(np.array([0, 1, 2]), np.array([4, 4, 5]), ["a", "b", "c"]).tolist()
        [1, 0, -1]
    """
    out = np.full(len(named_R), -1)
    for n in np.unique(count_R):
        same = [int(r) for r in np.flatnonzero(count_R == n)]
        order = sorted(same, key=lambda r: key_of(0, prompts[r].encode()))
        for place, r in enumerate(order):
            others = (order[(place + k) % len(order)] for k in range(1, len(order)))
            out[r] = next((int(named_R[o]) for o in others if prompts[o] != prompts[r]), -1)
    return out


def checked(some: Labelled, named_R: np.ndarray, check: Callable[[Problem, str, int], bool]) -> np.ndarray:
    """Say whether the step that each critique names turns out to be wrong when the judge looks at it."""
    looked = zip(some.problems, some.texts, named_R, strict=True)
    return np.array([k >= 0 and not check(p, t, int(k)) for p, t, k in looked])
