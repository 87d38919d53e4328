"""Flaws planted in right GSM8K solutions.

A solution is edited as steps, so that text and annotation never disagree: what follows a flaw is worked out anew, and a
number that changed is also changed where the prose repeats it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from superalign.problems.gsm8k_text import Expression, Solution, Step, number, operation, write_expression, write_number

FLAW_KINDS = ("slip", "local slip", "miscopy", "wrong source", "operator", "dropped", "left out", "added")
MOST_PLAUSIBLE = 10**9  # beyond this a flawed value is no longer plausible, and is drawn again
Made = tuple[Solution, int, str]


def rewritten(step: Step, expression: Expression, stated: Fraction | None = None) -> Step:
    """Give a step another expression; its result is worked out unless one is stated."""
    result = write_number(expression.value if stated is None else stated)
    return dataclasses.replace(
        step, annotation=f"{write_expression(expression)}={result}", expression=expression, stated=result, shown=result
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
        if new.value is not None and new.value != old:
            now[old] = new.value
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


def _near(rng: np.random.Generator, value: Fraction, taken: set[Fraction]) -> Fraction | None:
    """Draw a number that could be mistaken for this one: a digit changed, one off, ten off, two digits swapped."""
    digits = write_number(abs(value))
    for _ in range(12):
        how = int(rng.integers(0, 4))
        if how == 0:
            drawn = value + int(rng.choice([-2, -1, 1, 2]))
        elif how == 1:
            drawn = value + int(rng.choice([-10, 10]))
        elif how == 2:
            at = int(rng.choice([i for i, c in enumerate(digits) if c.isdigit()]))
            drawn = Fraction(digits[:at] + str(rng.integers(0, 10)) + digits[at + 1 :])
        else:
            drawn = Fraction(digits[1::-1] + digits[2:]) if digits[:2].isdigit() and len(digits) > 1 else value
        if drawn > 0 and drawn not in taken:
            return drawn
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A step of a right solution that a flaw is to go into."""

    right: Solution
    i: int
    numbers: Sequence[Fraction]  # of the question
    expression: Expression
    value: Fraction

    @property
    def step(self) -> Step:
        return self.right.steps[self.i]

    @property
    def taken(self) -> set[Fraction]:
        """Every number that stands for something already."""
        return {*self.numbers, *(s.value for s in self.right.steps if s.value is not None)}

    def by(self, step: Step) -> Solution:
        """Return the solution with another step in this place, its result carried through."""
        new = step.value
        steps = [*self.right.steps[: self.i], step, *self.right.steps[self.i + 1 :]]
        changed = {self.value: new} if new is not None and new != self.value else {}
        return _settled(self.right, carried(steps, self.i + 1, changed))

    def with_number(self, leaf: int, wrong: Fraction) -> Solution:
        """Return the solution with another number in this step, in its prose too."""
        prose = _renumbered(self.step, {self.expression.numbers()[leaf].value: wrong})
        return self.by(rewritten(prose, replaced(self.expression, leaf, number(wrong))))


def _slip(rng: np.random.Generator, at: _Place) -> Solution | None:
    wrong = _near(rng, at.value, at.taken)
    return None if wrong is None else at.by(rewritten(at.step, at.expression, wrong))


def _local_slip(rng: np.random.Generator, at: _Place) -> Solution | None:
    wrong = _near(rng, at.value, at.taken)
    if wrong is None or at.i + 1 == len(at.right.steps):
        return None
    steps = list(at.right.steps)
    steps[at.i] = rewritten(at.step, at.expression, wrong)
    return dataclasses.replace(at.right, steps=tuple(steps))


def _miscopy(rng: np.random.Generator, at: _Place) -> Solution | None:
    leaves = at.expression.numbers()
    able = [j for j, leaf in enumerate(leaves) if leaf.value in at.numbers]
    if not able:
        return None
    j = int(rng.choice(able))
    wrong = _near(rng, leaves[j].value, at.taken)
    return None if wrong is None else at.with_number(j, wrong)


def _wrong_source(rng: np.random.Generator, at: _Place) -> Solution | None:
    leaves = at.expression.numbers()
    earlier = [s.value for s in at.right.steps[: at.i] if s.value is not None]
    able = sorted({*at.numbers, *earlier} - {leaf.value for leaf in leaves})
    if not able:
        return None
    return at.with_number(int(rng.integers(0, len(leaves))), able[int(rng.integers(0, len(able)))])


def _operator(rng: np.random.Generator, at: _Place) -> Solution | None:
    n = len(at.expression.operations())
    return at.by(rewritten(at.step, _swapped(rng, at.expression, int(rng.integers(0, n))))) if n else None


def _swapped(rng: np.random.Generator, expression: Expression, at: int) -> Expression:
    """Change the operator of one operation, counted as in `Expression.operations`."""
    left, right = expression.left, expression.right
    if left is None or right is None:
        return expression
    n_left, n_right = len(left.operations()), len(right.operations())
    if at < n_left:
        return operation(expression.operator, _swapped(rng, left, at), right)
    if at < n_left + n_right:
        return operation(expression.operator, left, _swapped(rng, right, at - n_left))
    return operation(str(rng.choice([o for o in "+-*/" if o != expression.operator])), left, right)


def _dropped(rng: np.random.Generator, at: _Place) -> Solution | None:
    """Leave a step out; what used its result now uses one of its operands."""
    leaves = [leaf.value for leaf in at.expression.numbers() if leaf.value != at.value]
    if len(at.right.steps) < 2 or not leaves:
        return None
    steps = [*at.right.steps[: at.i], *at.right.steps[at.i + 1 :]]
    if at.i + 1 == len(at.right.steps):
        return _settled(at.right, steps)
    return _settled(at.right, carried(steps, at.i, {at.value: leaves[int(rng.integers(0, len(leaves)))]}))


def _left_out(rng: np.random.Generator, at: _Place) -> Solution | None:
    """Leave one term out of an expression."""
    if len(at.expression.operations()) < 2:
        return None
    shorter = _pruned(at.expression, int(rng.integers(0, len(at.expression.numbers()))))
    return None if shorter is None else at.by(rewritten(at.step, shorter))


def _pruned(expression: Expression, leaf: int) -> Expression | None:
    if expression.left is None or expression.right is None:
        return None
    n = len(expression.left.numbers())
    if leaf < n:
        kept = _pruned(expression.left, leaf)
        return expression.right if kept is None else operation(expression.operator, kept, expression.right)
    kept = _pruned(expression.right, leaf - n)
    return expression.left if kept is None else operation(expression.operator, expression.left, kept)


def _added(rng: np.random.Generator, at: _Place) -> Solution | None:
    """Put a step too many after this one: its result and a number of the question, in the words of some other step."""
    if not at.numbers:
        return None
    by = at.numbers[int(rng.integers(0, len(at.numbers)))]
    extra = operation(str(rng.choice(list("+-*/"), p=[0.3, 0.25, 0.3, 0.15])), number(at.value), number(by))
    step = rewritten(at.right.steps[int(rng.integers(0, len(at.right.steps)))], extra)
    if step.value is None or step.value == at.value:
        return None
    steps = [*at.right.steps[: at.i + 1], step, *at.right.steps[at.i + 1 :]]
    return _settled(at.right, carried(steps, at.i + 2, {at.value: step.value}))


_MAKERS: dict[str, Callable[[np.random.Generator, _Place], Solution | None]] = {
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
        expression, value = right.steps[i].expression, results[i]
        if expression is None or value is None:
            continue
        try:
            place = _Place(right=right, i=int(i), numbers=numbers, expression=expression, value=value)
            flawed = _MAKERS[kind](rng, place)
        except ZeroDivisionError:
            continue
        if flawed is None or not flawed.steps or any(s.value is None for s in flawed.steps):
            continue
        if (flawed.value == right.value) != (kind == "local slip") or _implausible(flawed):
            continue  # a flaw that changes nothing is none, and one that nobody would write teaches nothing
        step = first_unreached(flawed, values)
        if step < 0 and (kind != "dropped" or i + 1 < len(right.steps)):
            continue
        return flawed, step, f"step {step}" if step >= 0 else "the last step is missing"
    return None


def _implausible(flawed: Solution) -> bool:
    """Say whether a flawed solution gives itself away by a number of absurd size or precision."""
    values = [s.value for s in flawed.steps if s.value is not None]
    return any(abs(v) > MOST_PLAUSIBLE or (v * 10_000).denominator != 1 for v in values)
