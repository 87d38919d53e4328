"""What families of rows share: different rows drawn of one split, and a row found behind the cues in front of its prompt."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from superalign.errors import BadInput
from superalign.problems.family import split_of
from superalign.types.rollouts import CLOSED


@runtime_checkable
class Known(Protocol):
    """A row: at least a prompt and how hard it is."""

    @property
    def prompt(self) -> str:
        """What is asked."""

    @property
    def difficulty(self) -> int:
        """How hard it is."""


Some = TypeVar("Some", bound=Known)


def drawn(
    rows: Iterable[Some],
    *,
    split: str,
    n: int,
    seed: list[int],
    difficulty: int | None,
    path: str,
    key: Callable[[Some], str],
) -> list[Some]:
    """Draw n different rows of one split.

    Args:
        rows: All there are.
        split: train or test.
        n: How many.
        seed: Of their choice and order.
        difficulty: Of this alone, if given.
        path: Of their file, for messages.
        key: What of a row decides its split.

    Raises:
        BadInput: For an unknown split, or more rows than there are.
    """
    if split not in ("train", "test"):
        raise BadInput(f"There is no split {split!r}. Problems stand in train or test by their hash. Use one of those.")
    able = [r for r in rows if split_of(key(r)) == split and difficulty in (None, r.difficulty)]
    if n > len(able):
        raise BadInput(
            f"{n} problems were asked for, but {split} has {len(able)}"
            + (f" of difficulty {difficulty}" if difficulty is not None else "")
            + f" in {path}. Drawing one twice would count it twice. Ask for fewer, or add lines to the file."
        )
    chosen = np.random.default_rng(seed).permutation(len(able))[:n]
    return [able[int(i)] for i in chosen]


def behind_cues(prompt: str, known: Container[str]) -> str | None:
    """Return the known prompt that stands behind words with a colon, sentences or tags; None if there is none.

    Example:
        >>> [behind_cues(p, {"1+1"}) for p in ("1+1", "red river: 1+1", "Hello. 1+1", "red 1+1")]
        ['1+1', '1+1', '1+1', None]
    """
    rest, closed = prompt, True
    while not (closed and rest in known):
        word, blank, rest = rest.partition(" ")
        if not blank:
            return None
        closed = word.endswith((":", *CLOSED))
    return rest
