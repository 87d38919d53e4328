"""One item of work: how it is done where it is done, and how its value or its error gets back."""

from __future__ import annotations

import pickle
import platform
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from superalign import inputs
from superalign.errors import BadInput, SuperalignError

# Two OpenMP threads beside another busy process were measured 20 times slower than one.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
Work = Callable[[int, Any], Any]  # the item's number and the item -> its value


@runtime_checkable
class Executor(Protocol):
    """Where work is done."""

    def cores(self) -> int:
        """Return how many items can be worked on at once."""

    def each(self, work: Work, items: Sequence[Any], todo: Sequence[int], *, workers: int) -> Iterator[tuple[int, Any]]:
        """Work on some of the items.

        Args:
            work: A pure function that other processes can find.
            items: All items.
            todo: Numbers of those to work on.
            workers: How many at once.

        Yields:
            The number of an item and its value, in the order in which they come.

        Raises:
            Exception: What the work raised.
            BadInput: If an item was given up because it ends every worker that takes it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What values are kept as made from; a worker that finds something else must not make them."""

    host: str
    code: str
    stamp: str
    named: Mapping[int, Mapping[str, str]]  # item -> file or folder that it names -> digest
    own: Path  # the run's own folder, which all workers write to

    def check(self, i: int) -> None:
        """Refuse to work on an item where its inputs, or our code, are not what they are where the run began.

        Raises:
            BadInput: If anything differs. Inputs are looked at on other machines only.
        """
        here = platform.node()
        if inputs.stamp() != self.stamp and inputs.code() != self.code:
            if here != self.host:
                raise BadInput(
                    f"{here} has other code of superalign, or other versions of its libraries, than {self.host}. Values of both "
                    "would be mixed. Install the same versions on all machines, and give the same command again."
                )
            raise BadInput(
                "The code of superalign changed while this was running. Values of old and new code would be mixed. "
                "Give the same command again: what the old code made is computed anew."
            )
        if here == self.host:
            return
        if not self.own.is_dir():
            raise BadInput(
                f"{here} does not see {self.own}, a folder of {self.host}. What is made there could not come back. Give an --out "
                "that all machines of the cluster see under the same path."
            )
        for text in changed(self.named[i], own=self.own):
            raise BadInput(
                f"{text} is not the same on {here} as on {self.host}. A value would be made from other content than its name "
                "says. Put what is needed where all machines of the cluster see it under the same path."
            )


def changed(before: Mapping[str, str], *, own: Path) -> Iterator[str]:
    """Say which files and folders, outside of the run's own folder, are not what they were."""
    for text, digest in before.items():
        path = inputs.named(text)
        inside = path is not None and path.resolve().is_relative_to(own)
        if not inside and inputs.digests([text], run=own).get(text) != digest:
            yield text


def do(
    function: Callable[[Any], Any], encode: Callable[[Any], bytes] | None, origin: Origin | None, i: int, item: Any
) -> Any:
    """Do one item; an error says on which one."""
    if origin is not None:
        origin.check(i)
    try:
        value = function(item)
        return value if encode is None else encode(value)
    except Exception as error:
        error.add_note(f"This happened {while_on(i, item)}.")
        raise


def answer(work: Work, i: int, item: Any) -> bytes:
    """Do one item in a worker: whether it went well, and the value or the error, as bytes that any process can read."""
    try:
        return pickle.dumps((True, work(i, item)))
    except Exception as error:
        return _portable(error)


def _portable(error: Exception) -> bytes:
    error.add_note(f"In a worker:\n{traceback.format_exc()}")
    try:
        data = pickle.dumps((False, error))
        pickle.loads(data)
    except Exception:  # some exceptions cannot travel
        data = pickle.dumps((False, SuperalignError("\n".join([f"{type(error).__name__}: {error}", *error.__notes__]))))
    return data


def starved(error: BaseException) -> bool:
    """Say whether an error means that memory ran out.

    Example:
        >>> starved(MemoryError()), starved(ValueError("1 is not 2"))
        (True, False)
    """
    words = ("can't allocate memory", "out of memory", "cannot allocate memory")
    return isinstance(error, MemoryError) or any(w in str(error).lower() for w in words)


def while_on(i: int, item: Any) -> str:
    """Name an item in the middle of a sentence.

    Example:
        >>> while_on(3, "x")
        "while working on item 3 ('x')"
    """
    text = repr(item)
    return f"while working on item {i} ({text if len(text) <= 80 else text[:77] + '...'})"
