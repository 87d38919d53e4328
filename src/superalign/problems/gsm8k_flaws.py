"""Flaws planted in right GSM8K solutions, and edits that change nothing about what is right.

A solution is edited as steps, so that text and annotation never disagree: what follows a flaw is worked out anew, and a
number that changed is also changed where the prose repeats it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from superalign.problems.gsm8k_text import (
    Expression,
    Solution,
    Step,
    number,
    operation,
    write_expression,
    write_number,
)

FLAW_KINDS = ("slip", "local slip", "miscopy", "wrong source", "operator", "dropped", "left out", "added")
LARGEST = 10**9  # beyond this a flawed value is no longer plausible, and is drawn again
_OPENERS = ("So, ", "Then, ", "Now, ", "Next, ", "Thus, ", "That means ", "Therefore, ", "Hence, ")
_OPENER = re.compile(r"^(?:so|then|now|next|thus|therefore|hence|that means|this means|in total)\b,?\s*", re.IGNORECASE)

Made = tuple[Solution, int, str]


def rewritten(step: Step, expression: Expression, stated: Fraction | None = None) -> Step:
    """Give a step another expression; its result is worked out unless one is stated."""
    result = write_number(expression.value if stated is None else stated)
    return dataclasses.replace(
        step,
        annotation=f"{write_expression(expression)}={result}",
        expression=expression,
        stated=result,
        shown=result,
    )


def replaced(expression: Expression, leaf: int, by: Expression) -> Expression:
    """Put another expression in the place of one number, counted from the left."""
    if expression.left is None or expression.right is None:
        return by
    n = len(expression.left.numbers())
    if leaf < n:
        return operation(expression.operator, replaced(expression.left, leaf, by), expression.right)
    return operation(expression.operator, expression.left, replaced(expression.right, leaf - n, by))


def carried(steps: Sequence[Step], start: int, changed: dict[Fraction, Fraction]) -> list[Step]:
    """Work out the steps from `start` on anew, with changed results in place of those that they used.

    Args:
        steps: All steps; those before `start` are kept as they are.
        start: The first step to work out.
        changed: From an old result to the new one. Not modified.

    Raises:
        ZeroDivisionError: Where a changed value makes a later step divide by zero.
    """
    out, now = list(steps[:start]), dict(changed)
    for step in steps[start:]:
        expression = step.expression
        if expression is None or step.value is None:
            out.append(step)
            continue
        old = step.value
        for i, leaf in enumerate(expression.numbers()):
            if leaf.value in now:
                expression = replaced(expression, i, number(now[leaf.value]))
        if expression is step.expression:
            now.pop(old, None)  # from here on the same number means this step's result
            out.append(step)
            continue
        prose = _renumbered(step, now)
        new = rewritten(prose, expression)
        value = new.value
        assert value is not None
        if value != old:
            now[old] = value
        out.append(new)
    return out


def _renumbered(step: Step, changed: dict[Fraction, Fraction]) -> Step:
    """Change numbers in the prose of a step along with those in its annotation."""

    def swap(match: re.Match[str]) -> str:
        value = Fraction(match[0].replace(",", ""))
        return write_number(changed[value]) if value in changed else match[0]

    pattern = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w]|\.\d)")
    return dataclasses.replace(step, before=pattern.sub(swap, step.before), after=pattern.sub(swap, step.after))


def _settled(right: Solution, steps: list[Step], last: Fraction | None = None) -> Solution:
    """Close a solution whose answer is the result of its last step."""
    value = steps[-1].value if last is None else last
    return Solution(steps=tuple(steps), answer=right.answer if value is None else write_number(value))


def _from(right: Solution, i: int, step: Step) -> Solution:
    """Put another step i into a right solution and carry its result through."""
    old, new = right.steps[i].value, step.value
    assert old is not None and new is not None
    steps = [*right.steps[:i], step, *right.steps[i + 1 :]]
    return _settled(right, carried(steps, i + 1, {old: new} if old != new else {}))


def _near(rng: np.random.Generator, value: Fraction, taken: set[Fraction]) -> Fraction | None:
    """Draw a number that could be mistaken for this one: a digit changed, one off, ten off, two digits swapped."""
    digits = write_number(abs(value))
    for _ in range(12):
        how = int(rng.integers(0, 4))
        if how == 0:
            made = value + int(rng.choice([-2, -1, 1, 2]))
        elif how == 1:
            made = value + int(rng.choice([-10, 10]))
        elif how == 2:
            at = int(rng.choice([i for i, c in enumerate(digits) if c.isdigit()]))
            made = Fraction(digits[:at] + str(rng.integers(0, 10)) + digits[at + 1 :])
        else:
            made = Fraction(digits[1::-1] + digits[2:]) if digits[:2].isdigit() and len(digits) > 1 else value
        if made > 0 and made not in taken:
            return made
    return None


def _slip(rng: np.random.Generator, right: Solution, i: int, numbers: Sequence[Fraction]) -> Solution | None:
    step, taken = right.steps[i], {*numbers, *(s.value for s in right.steps if s.value is not None)}
    assert step.expression is not None and step.value is not None
    wrong = _near(rng, step.value, taken)
    return None if wrong is None else _from(right, i, rewritten(step, step.expression, wrong))


def _local_slip(rng: np.random.Generator, right: Solution, i: int, numbers: Sequence[Fraction]) -> Solution | None:
    step, taken = right.steps[i], {*numbers, *(s.value for s in right.steps if s.value is not None)}
    assert step.expression is not None and step.value is not None
    wrong = _near(rng, step.value, taken)
    if wrong is None or i + 1 == len(right.steps):
        return None
    steps = list(right.steps)
    steps[i] = rewritten(step, step.expression, wrong)
    return dataclasses.replace(right, steps=tuple(steps))


def _miscopy(rng: np.random.Generator, right: Solution, i: int, numbers: Sequence[Fraction]) -> Solution | None:
    step = right.steps[i]
    assert step.expression is not None
    taken = {*numbers, *(s.value for s in right.steps if s.value is not None)}
    able = [j for j, leaf in enumerate(step.expression.numbers()) if leaf.value in numbers]
    if not able:
        return None
    j = int(rng.choice(able))
    old = step.expression.numbers()[j].value
    wrong = _near(rng, old, taken)
    if wrong is None:
        return None
    prose = _renumbered(step, {old: wrong})
    return _from(right, i, rewritten(prose, replaced(step.expression, j, number(wrong))))


def _wrong_source(rng: np.random.Generator, right: Solution, i: int, numbers: Sequence[Fraction]) -> Solution | None:
    step = right.steps[i]
    assert step.expression is not None
    leaves = step.expression.numbers()
    j = int(rng.integers(0, len(leaves)))
    earlier = [s.value for s in right.steps[:i] if s.value is not None]
    able = sorted({*numbers, *earlier} - {leaf.value for leaf in leaves})
    if not able:
        return None
    wrong = able[int(rng.integers(0, len(able)))]
    prose = _renumbered(step, {leaves[j].value: wrong})
    return _from(right, i, rewritten(prose, replaced(step.expression, j, number(wrong))))


def _operator(rng: np.random.Generator, right: Solution, i: int, numbers: Sequence[Fraction]) -> Solution | None:
    step = right.steps[i]
    assert step.expression is not None
    n = len(step.expression.operations())
    if n == 0:
        return None
    wrong = _swapped(rng, step.expression, int(rng.integers(0, n)))
    return _from(right, i, rewritten(step, wrong))


def _swapped(rng: np.random.Generator, expression: Expression, at: int) -> Expression:
    """Change the operator of one operation, counted as in `Expression.operations`."""
    left, right = expression.left, expression.right
    assert left is not None and right is not None
    n_left, n_right = len(left.operations()), len(right.operations())
    if at < n_left:
        return operation(expression.operator, _swapped(rng, left, at), right)
    if at < n_left + n_right:
        return operation(expression.operator, left, _swapped(rng, right, at - n_left))
    return operation(str(rng.choice([o for o in "+-*/" if o != expression.operator])), left, right)


def _dropped(rng: np.random.Generator, right: Solution, i: int, numbers: Sequence[Fraction]) -> Solution | None:
    """Leave a step out; what used its result now uses one of its operands."""
    step = right.steps[i]
    assert step.expression is not None and step.value is not None
    leaves = [leaf.value for leaf in step.expression.numbers() if leaf.value != step.value]
    if len(right.steps) < 2 or not leaves:
        return None
    steps = [*right.steps[:i], *right.steps[i + 1 :]]
    if i + 1 == len(right.steps):
        return _settled(right, steps)
    instead = leaves[int(rng.integers(0, len(leaves)))]
    return _settled(right, carried(steps, i, {step.value: instead}))


def _left_out(rng: np.random.Generator, right: Solution, i: int, numbers: Sequence[Fraction]) -> Solution | None:
    """Leave one term out of an expression."""
    step = right.steps[i]
    assert step.expression is not None
    if len(step.expression.operations()) < 2:
        return None
    shorter = _pruned(step.expression, int(rng.integers(0, len(step.expression.numbers()))))
    return None if shorter is None else _from(right, i, rewritten(step, shorter))


def _pruned(expression: Expression, leaf: int) -> Expression | None:
    if expression.left is None or expression.right is None:
        return None
    n = len(expression.left.numbers())
    if leaf < n:
        kept = _pruned(expression.left, leaf)
        return expression.right if kept is None else operation(expression.operator, kept, expression.right)
    kept = _pruned(expression.right, leaf - n)
    return expression.left if kept is None else operation(expression.operator, expression.left, kept)


def _added(rng: np.random.Generator, right: Solution, i: int, numbers: Sequence[Fraction]) -> Solution | None:
    """Put a step too many after step i: its result and a number of the question."""
    value = right.steps[i].value
    if value is None or not numbers:
        return None
    by = numbers[int(rng.integers(0, len(numbers)))]
    extra = operation(str(rng.choice(list("+-*/"), p=[0.3, 0.25, 0.3, 0.15])), number(value), number(by))
    donor = right.steps[int(rng.integers(0, len(right.steps)))]
    made = rewritten(dataclasses.replace(donor, before=donor.before), extra)
    steps = [*right.steps[: i + 1], made, *right.steps[i + 1 :]]
    if made.value is None or made.value == value:
        return None
    return _settled(right, carried(steps, i + 2, {value: made.value}))


_MAKERS: dict[str, Callable[[np.random.Generator, Solution, int, Sequence[Fraction]], Solution | None]] = {
    "slip": _slip,
    "local slip": _local_slip,
    "miscopy": _miscopy,
    "wrong source": _wrong_source,
    "operator": _operator,
    "dropped": _dropped,
    "left out": _left_out,
    "added": _added,
}


def plantable(right: Solution) -> bool:
    """Say whether flaws can be carried through: every step is a true equation, and the last one gives the answer."""
    return bool(right.steps) and all(s.true for s in right.steps) and right.steps[-1].value == right.value


def reached(right: Solution) -> frozenset[Fraction]:
    """List every value that a right solution works out on its way, inside its expressions too."""
    values = {s.value for s in right.steps if s.value is not None}
    values.update(o.value for s in right.steps if s.expression is not None for o in s.expression.operations())
    return frozenset(values)


def first_unreached(solution: Solution, values: frozenset[Fraction]) -> int:
    """Find the first step that is false, or whose result a right solution never works out; -1 if there is none."""
    for i, step in enumerate(solution.steps):
        if step.annotation and (not step.true or step.value not in values):
            return i
    return -1


def flaw(rng: np.random.Generator, right: Solution, numbers: Sequence[Fraction], kind: str) -> Made | None:
    """Put one flaw of a kind into a right solution.

    Args:
        rng: Where and what.
        right: A right solution.
        numbers: The numbers of its question.
        kind: One of `FLAW_KINDS`.

    Returns:
        The flawed solution, the index of its first wrong step (-1 where the last step is missing) and where that is in words;
        None where the kind does not fit.
    """
    if not plantable(right):
        return None
    results = [s.value for s in right.steps]
    values = reached(right)
    for i in rng.permutation(len(right.steps)):
        if i + 1 < len(results) and (results[i] in numbers or results.count(results[i]) > 1):
            continue  # nobody could say which later use of this number is a use of this result
        try:
            made = _MAKERS[kind](rng, right, int(i), numbers)
        except ZeroDivisionError:
            continue
        if made is None or not made.steps or any(s.value is None for s in made.steps):
            continue
        if (made.value == right.value) != (kind == "local slip") or _implausible(made):
            continue  # a flaw that changes nothing is none, and one that nobody would write teaches nothing
        step = first_unreached(made, values)
        if step < 0 and (kind != "dropped" or i + 1 < len(right.steps)):
            continue
        return made, step, f"step {step}" if step >= 0 else "the last step is missing"
    return None


def _implausible(made: Solution) -> bool:
    """Say whether a flawed solution gives itself away by a number of absurd size or precision."""
    values = [s.value for s in made.steps if s.value is not None]
    return any(abs(v) > LARGEST or (v * 10_000).denominator != 1 for v in values)


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
            made = _EDITS[int(how)](rng, solution, int(i))
            if made is not None:
                return made
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
