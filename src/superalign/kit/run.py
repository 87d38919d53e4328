"""What a study is given to measure with: a map over jobs that keeps what is finished, random streams, a ledger, a log."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pydantic

from superalign import jobs
from superalign.ledger import Ledger
from superalign.stats.streams import stream
from superalign.types import Record

Item = TypeVar("Item")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a study."""

    seed: int
    workers: int
    folder: Path
    ledger: Ledger
    log: Callable[[Any], None]

    def stage(self, text: str) -> None:
        """Say what begins now, on the screen and in the log."""
        self.log({"stage": text})

    def map(
        self, function: Callable[[Item], Out], items: Sequence[Item], *, name: str, progress: str = ""
    ) -> list[Out]:
        """Do every job, over processes; a job that was finished before a kill is not done again.

        Args:
            function: Pure, of a module, with a return type: a frozen record of numbers, words, arrays and records.
            items: Records or plain values. A value is named by them, by the files that they name and by the code.
            name: Of the folder under the run's where finished values are kept.
            progress: What is going on, in a word or two; the name if empty.

        Returns:
            One value per item, in their order.
        """
        memo = memo_of(function, self.folder, name)
        return jobs.run(function, items, workers=self.workers, memo=memo, progress=progress or name)

    def keep(self, *records: Record) -> None:
        """Append records to the ledger, none twice."""
        self.ledger.append_once(*records)

    def stream(self, *names: str | int) -> np.random.Generator:
        """Return the random stream of a name under this run's seed."""
        return stream(self.seed, *names)


def memo_of(function: Callable[..., Out], folder: Path, name: str) -> jobs.Memo[Out]:
    """Say where the values of a function are kept in the folder of a run, and how: as JSON, by its return type."""
    return jobs.Memo(
        folder=folder / "work" / name,
        version="1",
        encode=functools.partial(_to_json, function),  # a worker makes its own codec: one cannot travel
        decode=codec_of(function).validate_json,
    )


def _to_json(function: Callable[..., Any], value: Any) -> bytes:
    return bytes(codec_of(function).dump_json(value))


def codec_of(function: Callable[..., Any]) -> Any:  # a TypeAdapter, which beartype cannot check
    """Return what writes the values of a function as JSON and reads them back, by its return type.

    Example:
        >>> def count() -> tuple[int, ...]: return (1, 2)
        >>> codec_of(count).validate_json(codec_of(count).dump_json(count()))
        (1, 2)
    """
    while isinstance(function, functools.partial):
        function = function.func
    kind = typing.get_type_hints(function, include_extras=True)["return"]
    return pydantic.TypeAdapter(kind)
