"""Chains of operations, worked step by step, modulo ten: `5+3*2-4` is read from left to right.

Response: `5+3=8;8*2=6;6-4=2;#2`. The dial is the number of operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superalign.problems.family import Family, Parsed

OPERATORS = "+-*"
MODULUS = 10


def apply(left: int, operator: str, right: int) -> int:
    """Work out one operation modulo ten.

    Example:
        >>> apply(3, "-", 5)
        8
    """
    value = {"+": left + right, "-": left - right, "*": left * right}[operator]
    return value % MODULUS


def draw(rng: np.random.Generator, depth: int) -> str:
    """Draw a chain with `depth` operations."""
    digits = rng.integers(0, MODULUS, depth + 1)
    operators = rng.integers(0, len(OPERATORS), depth)
    return str(digits[0]) + "".join(f"{OPERATORS[o]}{d}" for o, d in zip(operators, digits[1:], strict=True))


def solve(prompt: str) -> Parsed:
    """Work a chain out, step by step.

    Example:
        >>> solve("5+3*2-4").text()
        '5+3=8;8*2=6;6-4=2;#2'
    """
    value, steps = int(prompt[0]), []
    for operator, right in zip(prompt[1::2], prompt[2::2], strict=True):
        result = apply(value, operator, int(right))
        steps.append(f"{value}{operator}{right}={result}")
        value = result
    return Parsed(steps=tuple(steps), answer=str(value))


def true_equation(step: str) -> bool:
    """Say whether a step is true as arithmetic, whatever it has to do with the prompt.

    Example:
        >>> true_equation("5+3=8"), true_equation("5+3=9")
        (True, False)
    """
    return (
        len(step) == 5
        and step[0].isdecimal()
        and step[1] in OPERATORS
        and step[2].isdecimal()
        and step[3] == "="
        and step[4].isdecimal()
        and apply(int(step[0]), step[1], int(step[2])) == int(step[4])
    )


def _sources(prompt: str, steps: Sequence[str], i: int) -> tuple[str, str]:
    """What step i must start from: the value before it, and the operation that the prompt has there."""
    before = prompt[0] if i == 0 else steps[i - 1][-1:]
    return before, prompt[1 + 2 * i : 3 + 2 * i]


def step_ok(prompt: str, steps: Sequence[str], i: int) -> bool:
    """Say whether step i is true, starts from the value before it and does what the prompt says there."""
    before, todo = _sources(prompt, steps, i)
    step = steps[i]
    if not todo or not true_equation(step):
        return False
    straight = step[:3] == before + todo
    swapped = todo[0] in "+*" and step[:3] == todo[1] + todo[0] + before
    return straight or swapped


def answer_ok(prompt: str, answer: str) -> bool:
    """Say whether this is the right result of the chain."""
    return answer == solve(prompt).answer


def rework(prompt: str, steps: Sequence[str], i: int) -> Parsed:
    """Keep steps up to i as written and carry their result through the rest of the chain."""
    kept = list(steps[: i + 1])
    rest = solve(kept[-1][-1] + prompt[1 + 2 * (i + 1) :])
    return Parsed(steps=(*kept, *rest.steps), answer=rest.answer)


def _other(rng: np.random.Generator, digit: str) -> str:
    return str((int(digit) + int(rng.integers(1, MODULUS))) % MODULUS)


def flaw(rng: np.random.Generator, prompt: str, right: Parsed, kind: str) -> tuple[Parsed, int, str] | None:
    """Put one flaw into a correct chain; what follows it is worked out from the flawed value, but for local slips."""
    steps = list(right.steps)
    i = int(rng.integers(0, len(steps)))
    left, operator, operand, result = steps[i][0], steps[i][1], steps[i][2], steps[i][4]
    if kind in ("slip", "local slip"):
        steps[i] = steps[i][:4] + _other(rng, result)
        if kind == "local slip":  # later steps still use the right value
            return (Parsed(steps=tuple(steps), answer=right.answer), i, f"step {i}") if i + 1 < len(steps) else None
    elif kind == "miscopy":
        wrong = _other(rng, operand)
        steps[i] = f"{left}{operator}{wrong}={apply(int(left), operator, int(wrong))}"
    elif kind == "wrong source":
        wrong = _other(rng, left)
        steps[i] = f"{wrong}{operator}{operand}={apply(int(wrong), operator, int(operand))}"
    elif kind == "operator":
        wrong = OPERATORS[(OPERATORS.index(operator) + int(rng.integers(1, 3))) % 3]
        steps[i] = f"{left}{wrong}{operand}={apply(int(left), wrong, int(operand))}"
    elif kind == "dropped":
        if len(steps) < 2 or i + 1 == len(steps):
            return None
        shorter = solve(left + prompt[1 + 2 * (i + 1) :])
        steps = [*steps[:i], *shorter.steps]
        flawed = Parsed(steps=tuple(steps), answer=shorter.answer)
        return None if step_ok(prompt, steps, i) else (flawed, i, f"step {i}")
    else:
        return None
    if step_ok(prompt, steps, i):
        return None
    return rework(prompt, steps, i), i, f"step {i}"


def harmless(rng: np.random.Generator, prompt: str, response: Parsed) -> Parsed | None:
    """Swap the two sides of one sum or product."""
    able = [i for i, s in enumerate(response.steps) if len(s) == 5 and s[1] in "+*" and s[0] != s[2]]
    if not able:
        return None
    i = int(rng.choice(able))
    steps, s = list(response.steps), response.steps[i]
    steps[i] = s[2] + s[1] + s[0] + s[3:]
    # A step that was wrong only through its order must not become right, or the reverse.
    if step_ok(prompt, steps, i) != step_ok(prompt, response.steps, i):
        return None
    return Parsed(steps=tuple(steps), answer=response.answer)


FAMILY = Family(
    name="arithmetic",
    difficulties=(1, 2, 3, 4, 5, 6),
    flaw_kinds=("slip", "local slip", "miscopy", "wrong source", "operator", "dropped"),
    draw=draw,
    solve=solve,
    step_ok=step_ok,
    answer_ok=answer_ok,
    flaw=flaw,
    harmless=harmless,
)
