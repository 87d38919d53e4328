"""Edits of a GSM8K solution, right or flawed, that change nothing about what is right: the placebo of a planted flaw."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from superalign.problems.gsm8k_flaws import rewritten
from superalign.problems.gsm8k_text import Expression, Solution, Step, number, operation, write_expression

_OPENERS = ("So, ", "Then, ", "Now, ", "Next, ", "Thus, ", "That means ", "Therefore, ", "Hence, ")
_OPENER = re.compile(r"^(?:so|then|now|next|thus|therefore|hence|that means|this means|in total)\b,?\s*", re.IGNORECASE)


def harmless(rng: np.random.Generator, solution: Solution) -> Solution | None:
    """Edit a solution, right or flawed, without changing what it says: commute, split, halve otherwise, reword.

    Args:
        rng: Which edit, and where.
        solution: Any solution.

    Returns:
        The edited solution; None where nothing can be edited.
    """
    for i in rng.permutation(len(solution.steps)):
        for how in rng.permutation(4):
            edited = _EDITS[int(how)](rng, solution, int(i))
            if edited is not None:
                return edited
    return None


def _with(solution: Solution, i: int, *steps: Step) -> Solution:
    return dataclasses.replace(solution, steps=(*solution.steps[:i], *steps, *solution.steps[i + 1 :]))


def _restated(step: Step, expression: Expression) -> Step:
    """Another expression for the same result, as it was stated."""
    return dataclasses.replace(step, expression=expression, annotation=f"{write_expression(expression)}={step.stated}")


def _commute(rng: np.random.Generator, solution: Solution, i: int) -> Solution | None:
    step = solution.steps[i]
    e = step.expression
    if e is None or e.left is None or e.right is None or e.operator not in ("+", "*") or e.left == e.right:
        return None
    return _with(solution, i, _restated(step, operation(e.operator, e.right, e.left)))


def _split(rng: np.random.Generator, solution: Solution, i: int) -> Solution | None:
    step = solution.steps[i]
    e = step.expression
    if e is None or e.left is None or e.right is None or not e.left.operator or not step.true or e.left.value < 0:
        return None
    first = rewritten(dataclasses.replace(step, after=""), e.left)
    if first.value != e.left.value:
        return None
    then = _restated(
        dataclasses.replace(step, before="That gives "), operation(e.operator, number(e.left.value), e.right)
    )
    return _with(solution, i, first, then)


def _halve(rng: np.random.Generator, solution: Solution, i: int) -> Solution | None:
    step = solution.steps[i]
    e = step.expression
    if (
        e is None
        or e.left is None
        or e.right is None
        or e.operator != "/"
        or e.right.operator
        or e.right.value not in (2, 4, 5, 10)
    ):
        return None
    return _with(solution, i, _restated(step, operation("*", e.left, number(1 / e.right.value))))


def _reword(rng: np.random.Generator, solution: Solution, i: int) -> Solution | None:
    step = solution.steps[i]
    bare = _OPENER.sub("", step.before)
    opener = _OPENERS[int(rng.integers(0, len(_OPENERS)))]
    before = bare if bare != step.before and rng.random() < 0.5 else opener + bare
    return None if before == step.before else _with(solution, i, dataclasses.replace(step, before=before))


_EDITS = (_commute, _split, _halve, _reword)
