"""Properties of prompts as numbers: what a prompt holds, how it begins and ends, how long it is, what its numbers are.

They are read from the text alone, whatever it is about, and from what a base says to it. Shape suffixes: P prompts, F features.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

UNIT = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")  # words, numbers, signs
FEWEST = 0.04  # share of prompts that must have, and lack, what a feature says
MOST_FEATURES = 600  # features kept, the commonest first: a longer list only makes chance finds likelier


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Some prompts' features."""

    names: tuple[str, ...]
    value_PF: Float[np.ndarray, "P F"]


def units(text: str) -> list[str]:
    """Cut a text into words, numbers and signs.

    Example:
        >>> units("Add 12 and 3, please!")
        ['Add', '12', 'and', '3', ',', 'please', '!']
    """
    return UNIT.findall(text)


def features_of(prompts: Sequence[str], said: Sequence[str]) -> Features:
    """Read the features of prompts, with what a base says to each.

    Args:
        prompts: Of any kind.
        said: The base's response to each; its last unit and length count as properties of the problem.

    Returns:
        What some prompts have and others do not, each name a phrase that completes "the prompt ...".

    Example:
        >>> found = features_of(["5+3", "5-4", "7+3", "8-2"], ["8", "1", "0", "6"])
        >>> "holds '+'" in found.names, found.value_PF[:, found.names.index("holds '+'")].tolist()
        (True, [1.0, 0.0, 1.0, 0.0])
    """
    cut, last = [units(p) for p in prompts], [(units(s) or [""])[-1] for s in said]
    has: dict[str, list[int]] = {}
    for i, (one, end) in enumerate(zip(cut, last, strict=True)):
        for name in _present(one, end):
            has.setdefault(name, []).append(i)
    least = max(2, int(FEWEST * len(prompts)))
    columns: dict[bytes, tuple[str, np.ndarray]] = {}
    for name, where in sorted(has.items(), key=lambda item: (-len(item[1]), len(item[0]), item[0])):
        if least <= len(where) <= len(prompts) - least:
            column_P = np.zeros(len(prompts))
            column_P[where] = 1.0
            columns.setdefault(column_P.tobytes(), (name, column_P))  # of those that say the same, the plainest
    chosen = list(columns.values())[:MOST_FEATURES]
    numeric = _numbers(prompts, cut, last)
    names = (*(n for n, _ in chosen), *numeric)
    stacked = [c for _, c in chosen] + [np.array(v, float) for v in numeric.values()]
    return Features(names=names, value_PF=np.stack(stacked, axis=1))


def _present(cut: Sequence[str], end: str) -> set[str]:
    """What a prompt has, in words."""
    digits = {d for u in cut if u.isdecimal() for d in u}
    out = {f"holds {u!r}" for u in (*cut, *digits)}
    out |= {f"holds {a + ' ' + b!r}" for a, b in itertools.pairwise(cut)}
    if cut:
        out |= {f"begins with {cut[0]!r}", f"ends with {cut[-1]!r}", f"ends with {' '.join(cut[-2:])!r}"}
    if len(cut) > 1:
        out |= {f"has {cut[1]!r} second", f"has {cut[-2]!r} last but one"}
    return {*out, f"is answered {end!r} by the base"}


def _numbers(prompts: Sequence[str], cut: Sequence[Sequence[str]], last: Sequence[str]) -> dict[str, list[float]]:
    """Numbers of each prompt; a missing one is -1."""
    whole = [[int(u[:15]) for u in one if u.isdecimal()] for one in cut]
    first, final = ([float(w[at]) if w else -1.0 for w in whole] for at in (0, -1))
    answer = [float(u[:15]) if u.isdecimal() else -1.0 for u in last]
    out = {
        "units in the prompt": [float(len(one)) for one in cut],
        "characters of the prompt": [float(len(p)) for p in prompts],
        "numbers in the prompt": [float(len(w)) for w in whole],
        "first number": first,
        "last number": final,
        "largest number": [float(max(w, default=-1)) for w in whole],
        "the base's answer": answer,
    }
    odd = {
        f"{n} is odd": [float(v % 2) if v >= 0 else -1.0 for v in out[n]]
        for n in ("first number", "last number", "the base's answer")
    }
    return out | odd
