"""Explanations as small programs: a few questions about a token and its context, and a value at each end.

A program is its own simulator: exact, free, and the same for everyone. It is a tree of questions (`program_search` finds it), and
reads as a list of rules of which the first that fits counts.

Shape suffixes: N tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from superalign.interp.text_columns import Columns
from superalign.types import Record

LABELS = 48  # of a set
VALUE_BITS = 6.0


@dataclass(frozen=True, slots=True)
class End(Record):
    """What a program says."""

    value: float


@dataclass(frozen=True, slots=True)
class Ask(Record):
    """A question: is the column's category among these? If so each adds its own value to what follows."""

    column: str
    among: tuple[str, ...]
    adds: tuple[float, ...]
    yes: Ask | End
    no: Ask | End


Program = Ask | End


def simulate(program: Program, columns: Columns, rows_N: Int[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Run a program on some tokens."""
    value_N = np.empty(len(rows_N))
    _run(program, columns, rows_N, np.arange(len(rows_N)), value_N)
    return value_N


def _run(program: Program, columns: Columns, rows: np.ndarray, into: np.ndarray, value_N: np.ndarray) -> None:
    if isinstance(program, End):
        value_N[into] = program.value
        return
    yes, adds = columns.asked(program.column, program.among, program.adds, rows)
    _run(program.yes, columns, rows[yes], into[yes], value_N)
    _run(program.no, columns, rows[~yes], into[~yes], value_N)
    value_N[into[yes]] += adds[yes]


def rules(program: Program) -> tuple[tuple[tuple[tuple[str, tuple[str, ...], tuple[float, ...]], ...], float], ...]:
    """List a program as rules of which the first that fits counts: what must be so, and the value; the last fits always."""
    if isinstance(program, End):
        return (((), program.value),)
    head = (program.column, program.among, program.adds)
    return (*(((head, *clauses), value) for clauses, value in rules(program.yes)), *rules(program.no))


def to_text(program: Program) -> str:
    """Write a program in one line of JSON, which `from_text` reads.

    Example:
        >>> to_text(Ask("token", (" cat",), (0.5,), End(1.0), End(0.0)))
        '["token",{" cat":0.5},1.0,0.0]'
    """

    def plain(part: Program) -> object:
        if isinstance(part, End):
            return float(f"{part.value:.3g}")
        adds = [float(f"{x:.2g}") for x in part.adds]
        return [part.column, dict(zip(part.among, adds, strict=True)), plain(part.yes), plain(part.no)]

    return json.dumps(plain(program), ensure_ascii=False, separators=(",", ":"))


def from_text(text: str) -> Program:
    """Read what `to_text` wrote.

    Example:
        >>> from_text('["token",{" cat":0.5},1.0,0.0]').column
        'token'
    """

    def read(part: object) -> Program:
        if not isinstance(part, list):
            return End(float(str(part)))
        column, among, yes, no = part
        return Ask(str(column), tuple(among), tuple(map(float, among.values())), read(yes), read(no))

    return read(json.loads(text))


def can_run(program: Program, names: Sequence[str]) -> bool:
    """Say whether a program that somebody else wrote asks something, only of known columns, and has finite values.

    Example:
        >>> can_run(from_text('["token",{" cat":0.5},1.0,0.0]'), ["token"]), can_run(End(1.0), ["token"])
        (True, False)
    """
    clauses = [clause for some, _ in rules(program) for clause in some]
    values = [value for _, value in rules(program)] + [x for _, _, adds in clauses for x in adds]
    return bool(clauses) and {name for name, _, _ in clauses} <= set(names) and bool(np.isfinite(values).all())


def in_english(program: Program, *, shown: int = 6, most: int = 99) -> str:
    """Say what a program says: rules in words, of which the first that fits counts; values in standard deviations.

    Args:
        program: What is said.
        shown: Labels of a set that are named.
        most: Rules that are written out.

    Example:
        >>> in_english(Ask("token before", ("the", "a"), (0.5, -0.5), End(2.0), End(-0.1)))
        'token before is "the" (+2.5) or "a" (+1.5); else -0.1'
    """
    *found, (_, rest) = rules(program)
    if not found:
        return "no rule found"
    parts = []
    for clauses, value in found[:most]:
        before = sum(float(np.mean(adds)) for _, _, adds in clauses[:-1]) if clauses else 0.0
        words = [f"{column} is {_either(among, None, 0.0, shown)}" for column, among, _ in clauses[:-1]]
        column, among, adds = clauses[-1]
        parts.append(" and ".join([*words, f"{column} is {_either(among, adds, before + value, shown)}"]))
    more = [f"{len(found) - most} more rules"] if len(found) > most else []
    return "; ".join([*parts, *more, f"else {rest:+.1f}"])


def _either(among: tuple[str, ...], adds: tuple[float, ...] | None, value: float, shown: int) -> str:
    some = [json.dumps(label, ensure_ascii=False) for label in among[:shown]]
    if adds is not None:
        some = [f"{label} ({value + add:+.1f})" for label, add in zip(some, adds, strict=False)]
    if len(among) > shown:
        some.append(f"{len(among) - shown} others")
    return " or ".join(filter(None, [", ".join(some[:-1]), some[-1]]))


def pruned(
    program: Program, columns: Columns, rows_N: Int[np.ndarray, " N"], values_N: Float[np.ndarray, " N"]
) -> Program:
    """Take back questions that do not lower the squared error on validation tokens.

    Args:
        program: As found on training tokens.
        columns: What can be asked.
        rows_N: Validation tokens.
        values_N: The unit's activation at them, less the mean of training.
    """
    return _pruned(program, columns, rows_N, values_N)[0]


def _pruned(program: Program, columns: Columns, rows: np.ndarray, values: np.ndarray) -> tuple[Program, float, float]:
    """Return the program, its squared error here, and the mean that one end instead of it would have in training."""
    if isinstance(program, End):
        return program, float(((values - program.value) ** 2).sum()), program.value
    yes, adds = columns.asked(program.column, program.among, program.adds, rows)
    left = values - adds
    kept = [_pruned(p, columns, rows[w], left[w]) for p, w in ((program.yes, yes), (program.no, ~yes))]
    share = yes.mean() if len(yes) else 0.5
    middle = float(share * (kept[0][2] + (adds[yes].mean() if yes.any() else 0.0)) + (1 - share) * kept[1][2])
    error, without = kept[0][1] + kept[1][1], float(((values - middle) ** 2).sum())
    if without <= error:
        return End(middle), without, middle
    return Ask(program.column, program.among, program.adds, kept[0][0], kept[1][0]), error, middle
