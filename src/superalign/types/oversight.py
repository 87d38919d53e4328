"""Who gives a signal, and what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from superalign.types.base import Record, Unmeasured
from superalign.types.rollouts import Problem, Rollouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument(Record):
    """The card of an overseer, detector, monitor or approver: what it is, what it catches and what it misses."""

    name: str
    version: str
    catches: str
    misses: str
    settings: tuple[tuple[str, str | int | float | bool], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal(Record):
    """An overseer's values for R rollouts, in their order, with what it said and what it cost."""

    overseer: str
    values: tuple[float | Unmeasured, ...]
    said: tuple[str, ...] = ()
    checks: int = 0  # units of the judge's limited attention
    tokens: int = 0  # read and written by assistants


@runtime_checkable
class Overseer(Protocol):
    """A limited source of signal."""

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Return one value per rollout, in order; `Unmeasured` where it cannot tell."""
