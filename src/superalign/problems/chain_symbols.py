"""Worked chains as tables of symbols, which a critic that writes reads: no answer is in them.

Shape suffixes: S steps or units, K symbols of one.
"""

from __future__ import annotations

import numpy as np

from superalign.problems import arithmetic
from superalign.problems.family import core, parse
from superalign.types import Problem

BLANK = 13  # a symbol that is neither digit nor operator
SYMBOLS = 14  # ten digits, three operators, blank
PLACES = 7  # value before, operator and operand asked, the four written


def symbol(letter: str) -> int:
    """Return a letter's number.

    Example:
        >>> [symbol(c) for c in ("7", "-", "=", "")]
        [7, 11, 13, 13]
    """
    if letter and letter in arithmetic.OPERATORS:
        return 10 + arithmetic.OPERATORS.index(letter)
    return int(letter) if len(letter) == 1 and letter in "0123456789" else BLANK


def read(problem: Problem, text: str) -> np.ndarray:
    """Say what a response shows of each step: the value stated before it, the operation asked there, and what is written, (S, K).

    Example:
        >>> asked = Problem(prompt="5+3*2", family="arithmetic", difficulty=2, split="train")
        >>> read(asked, "5+3=8;8*2=7;#7").tolist()
        [[5, 10, 3, 5, 10, 3, 8], [8, 12, 2, 8, 12, 2, 7]]
    """
    prompt, steps = core(problem.prompt), parse(text).steps
    rows = []
    for i, step in enumerate(steps):
        before = prompt[0] if i == 0 else steps[i - 1][-1:]
        letters = (
            before,
            prompt[1 + 2 * i : 2 + 2 * i],
            prompt[2 + 2 * i : 3 + 2 * i],
            step[:1],
            step[1:2],
            step[2:3],
            step[4:5],
        )
        rows.append([symbol(c) for c in letters])
    return np.array(rows, np.int64).reshape(len(rows), PLACES)


def read_units(problem: Problem, text: str) -> np.ndarray:
    """The same with a last row for the answer, beside the value that the last step states: all that a judge can check, (S, K).

    Example:
        >>> asked = Problem(prompt="5+3*2", family="arithmetic", difficulty=2, split="train")
        >>> read_units(asked, "5+3=8;8*2=6;#7")[-1].tolist()
        [6, 13, 13, 13, 13, 13, 7]
        >>> len(read_units(asked, ""))
        0
    """
    if not text:
        return np.zeros((0, PLACES), np.int64)
    parsed = parse(text)
    last = parsed.steps[-1][-1:] if parsed.steps else ""
    answer = [symbol(last), *[BLANK] * (PLACES - 2), symbol(parsed.answer or "")]
    return np.concatenate([read(problem, text), np.array([answer], np.int64)])
