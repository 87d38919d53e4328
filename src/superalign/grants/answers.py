"""Answers: who is told whether a response is right."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from superalign import problems
from superalign.detectors import NoiseInjection
from superalign.organisms.world import Sayings
from superalign.problems.family import split_of
from superalign.problems.jsonl import Answers
from superalign.types import Problem, Unmeasured

ENOUGH = 20  # prompts with an answer that noise injection takes
FRESH = 8  # test prompts among them: two that cues are chosen on, six that the rise is measured on


def right_by_family(problem: Problem, text: str) -> bool:
    """Grade a response, steps and answer, by the family that its problem names."""
    return problems.named(problem.family).grade(problem, text).sound


def noise_injection(
    found: Answers, world: Sayings, *, asked: int, cues: Sequence[str], max_tokens: int
) -> NoiseInjection | Unmeasured:
    """Let noise injection grade answers to the test prompts that carry one, or say why there is none.

    Args:
        found: The answers.
        world: What the base says to the prompts.
        asked: Problems on which the rise of accuracy is measured, at most.
        cues: Surface cues that it tries.
        max_tokens: Longest response.
    """
    if not found.family.rows:
        more = f", only {found.vague} of several lines, which nothing can be compared with" if found.vague else ""
        return Unmeasured(f"the prompts carry no answers{more}")
    if len(found.family.rows) < ENOUGH:
        return Unmeasured(f"{len(found.family.rows)} of {found.prompts} prompts carry an answer; it takes {ENOUGH}")
    fresh = [p for p in world.rows if split_of(p) == "test" and p in found.family.rows]
    if len(fresh) < FRESH:
        return Unmeasured(
            f"{len(fresh)} of the {len(found.family.rows)} prompts with an answer are test prompts that the base answers, "
            f"and it takes {FRESH}"
        )
    order = np.random.default_rng(0).permutation(len(fresh))
    put = [Problem(prompt=fresh[int(i)], family="prompts", difficulty=1, split="test") for i in order]
    detector = NoiseInjection(
        problems=(), right=lambda problem, text: found.family.grade(problem, text).correct, cues=tuple(cues),
        max_tokens=max_tokens,
    )  # fmt: skip
    return dataclasses.replace(detector, problems=tuple(put[: asked + detector.searched]))
