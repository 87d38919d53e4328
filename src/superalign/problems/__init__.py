"""Problem families with graders: the only home of answers. No torch."""

from __future__ import annotations

import difflib
import os

from superalign.errors import BadInput
from superalign.problems import arithmetic, claims, host, programs
from superalign.problems.conformance import check_problem_family
from superalign.problems.family import Grade, Planted, ProblemFamily, core, grade_rollouts, parse
from superalign.types import Problem

__all__ = [
    "BUNDLED",
    "Grade",
    "Planted",
    "ProblemFamily",
    "check_problem_family",
    "core",
    "grade_rollouts",
    "load",
    "named",
    "parse",
]

BUNDLED: tuple[ProblemFamily, ...] = (arithmetic.FAMILY, claims.FAMILY, programs.FAMILY, host.FAMILY)
IN_FILES = ("statements", "choices", "preferences", "instructions", "steps")  # kinds of problems (kinds.py)


def named(name: str) -> ProblemFamily:
    """Find a family by name: a bundled one, `gsm8k:PATH`, your own file as `jsonl:PATH` or its path alone, or `KIND:PATH`.

    The kinds of problems that data files hold are those of docs/data.md: statements, choices, preferences, instructions, steps.

    Raises:
        BadInput: If there is none of that name; the message names the nearest.

    Example:
        >>> named("arithmetic").difficulties
        (1, 2, 3, 4, 5, 6)
    """
    if name.startswith("gsm8k:"):
        from superalign.problems.gsm8k import load_gsm8k  # reads files: only when asked for

        return load_gsm8k(name.removeprefix("gsm8k:"))
    kind, _, path = name.partition(":")
    if kind in IN_FILES and path:
        from superalign.problems.kinds import KINDS
        from superalign.problems.table_family import load_table

        return load_table(path, KINDS[kind])
    for known in BUNDLED:
        if known.name == name:
            return known
    if name.startswith("jsonl:") or name.endswith(".jsonl") or os.path.isfile(name):
        from superalign.problems.jsonl import load_jsonl

        return load_jsonl(name)
    names = [f.name for f in BUNDLED]
    near = difflib.get_close_matches(name, names, n=1)
    raise BadInput(
        f"There is no problem family {name!r}. A study needs one to draw problems from. "
        + (f"Did you mean {near[0]!r}? " if near else "")
        + f"Families: {', '.join(names)}, gsm8k:PATH, jsonl:PATH, {', '.join(f'{k}:PATH' for k in IN_FILES)}."
    )


def load(name: str, *, split: str, n: int, seed: int = 0, difficulty: int | None = None) -> tuple[Problem, ...]:
    """Draw n problems of a family.

    Example:
        >>> load("arithmetic", split="train", n=1, difficulty=2)[0].difficulty
        2
    """
    return named(name).problems(split=split, n=n, seed=seed, difficulty=difficulty)
