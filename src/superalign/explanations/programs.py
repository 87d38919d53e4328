"""Explanations as small programs: a few questions about a token and its context, and a value at each end.

A program is its own simulator: exact, free, and the same for everyone. It is a tree of questions (`search` finds it), and
reads as a list of rules of which the first that fits counts.

Shape suffixes: N tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
from jaxtyping import Float, Int

from superalign.explanations.columns import Columns
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
    return runner(program, columns)(rows_N)


def runner(program: Program, columns: Columns) -> Callable[[Int[np.ndarray, " N"]], Float[np.ndarray, " N"]]:
    """Lay a program out once, to be run on some tokens and on others."""
    laid = _laid_out(program, columns)
    return lambda rows_N: np.asarray(_run(*laid, columns.code_KN, rows_N))


def _laid_out(program: Program, columns: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write a program as arrays, a question before what follows: its column, table, both ways on; values; tables in a row."""
    ways: list[tuple[int, int, int, int]] = []
    values: list[float] = []
    tables, length = [np.zeros(1)], 1

    def lay(part: Program) -> int:
        nonlocal length
        at = len(ways)
        ways.append((-1, 0, 0, 0))
        if isinstance(part, Ask):
            k, add_C = columns.adds(part.column, part.among, part.adds)
            start, length = length - int(columns.start_K[k]), length + len(add_C)
            tables.append(add_C)
            values.append(0.0)
            ways[at] = (k, start, lay(part.yes), lay(part.no))
        else:
            values.append(part.value)
        return at

    lay(program)
    return np.array(ways), np.array(values), np.concatenate(tables)


@numba.njit(cache=True)
def _run(way_Q4, value_Q, table_X, code_KN, rows_N):  # type: ignore[no-untyped-def]
    """Go down a program for each token; what questions add is added from the last to the first."""
    value_N, adds = np.empty(len(rows_N)), np.empty(len(value_Q))
    for i in range(len(rows_N)):
        q = n = 0
        while way_Q4[q, 0] >= 0:
            add = table_X[way_Q4[q, 1] + code_KN[way_Q4[q, 0], rows_N[i]]]
            if np.isnan(add):
                q = way_Q4[q, 3]
            else:
                adds[n] = add
                q, n = way_Q4[q, 2], n + 1
        value_N[i] = value_Q[q]
        for j in range(n):
            value_N[i] += adds[n - 1 - j]
    return value_N


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
    ways, values, tables = _laid_out(program, columns)
    end_Q = _ended(ways, values, tables, columns.code_KN, rows_N, values_N)

    def kept(part: Program, at: int) -> Program:
        if isinstance(part, End) or end_Q[at]:
            return End(float(values[at]))
        return replace(part, yes=kept(part.yes, ways[at, 2]), no=kept(part.no, ways[at, 3]))

    return kept(program, 0)


@numba.njit(cache=True)
def _ended(way_Q4, value_Q, table_X, code_KN, rows_N, values_N):  # type: ignore[no-untyped-def]
    """Return where one end with the mean of training, noted too, would have no larger squared error than what follows."""
    sum_Q4 = np.zeros((len(way_Q4), 4))  # over the tokens that get there: 1, what is left, its square; what is added
    for i in range(len(rows_N)):
        q, left = 0, float(values_N[i])
        while True:
            sum_Q4[q, 0] += 1.0
            sum_Q4[q, 1] += left
            sum_Q4[q, 2] += left * left
            if way_Q4[q, 0] < 0:
                break
            add = table_X[way_Q4[q, 1] + code_KN[way_Q4[q, 0], rows_N[i]]]
            if np.isnan(add):
                q = way_Q4[q, 3]
            else:
                sum_Q4[q, 3] += add
                left, q = left - add, way_Q4[q, 2]
    error_Q, end_Q = np.zeros(len(way_Q4)), np.zeros(len(way_Q4), np.bool_)
    for q in range(len(way_Q4) - 1, -1, -1):  # what follows a question stands behind it
        n, total, square, added = sum_Q4[q]
        k, _, yes, no = way_Q4[q]
        if k >= 0:
            n_yes = sum_Q4[yes, 0]
            share = n_yes / n if n else 0.5
            value_Q[q] = share * (value_Q[yes] + added / max(n_yes, 1.0)) + (1 - share) * value_Q[no]
        error_Q[q] = square - 2 * value_Q[q] * total + n * value_Q[q] ** 2
        if k >= 0:
            end_Q[q] = error_Q[q] <= error_Q[yes] + error_Q[no]
            error_Q[q] = min(error_Q[q], error_Q[yes] + error_Q[no])
    return end_Q
