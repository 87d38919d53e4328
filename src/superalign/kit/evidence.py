"""Shapes of evidence: what stands in a study's `Evidence`, between the jobs that measured it and the page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeAlias, TypeVar

import numpy as np
import pydantic

from superalign.stats import difference, mean_over, share
from superalign.types import Interval, Unmeasured


def _plain(values: np.ndarray) -> object:
    return np.asarray(values).tolist()


# An array in a record that a job returns: it is kept as JSON, each number as it was. A name ends in its dimensions.
Array: TypeAlias = Annotated[np.ndarray, pydantic.PlainValidator(np.asarray), pydantic.PlainSerializer(_plain)]
Estimate: TypeAlias = Interval | Unmeasured
Measured = TypeVar("Measured")


@dataclass(frozen=True, slots=True)
class OverSeeds(Generic[Measured]):
    """One arm at all of its seeds: for each a record of the same problems, with arrays (P,) whose names end in _P."""

    at: tuple[Measured, ...]

    def values_PS(self, what: str) -> np.ndarray:
        """Return one value per problem and seed: the record's array of that name."""
        return np.stack([np.asarray(getattr(record, f"{what}_P"), float) for record in self.at], axis=1)

    def share(self, what: str) -> Estimate:
        """Average a value between 0 and 1 over problems and seeds."""
        return share(self.values_PS(what))

    def more(self, what: str, *, than: OverSeeds[Measured]) -> Estimate:
        """Measure how much more than another arm, paired by problem and seed."""
        return difference(self.values_PS(what) - than.values_PS(what))


def above(found: Estimate, bar: float = 0.0) -> bool:
    """Say whether the whole interval of an estimate lies above a bar; nothing does that was not measured.

    Example:
        >>> above(Interval(value=0.5, low=0.25, high=0.75, n=9)), above(Unmeasured("one seed"))
        (True, False)
    """
    return isinstance(found, Interval) and found.low > bar


def middle(found: Estimate, otherwise: float) -> float:
    """Return the middle of an estimate; something else where there is none, such as what is ranked last."""
    return found.value if isinstance(found, Interval) else otherwise


def measured(found: Iterable[Estimate]) -> list[Interval]:
    """Leave out what was not measured."""
    return [x for x in found if isinstance(x, Interval)]


def negative(found: Estimate) -> Estimate:
    """Turn a difference round, such as a rise into a fall.

    Example:
        >>> negative(Interval(value=0.5, low=0.25, high=0.75, n=9))
        Interval(value=-0.5, low=-0.75, high=-0.25, n=9)
    """
    if isinstance(found, Unmeasured):
        return found
    return Interval(value=-found.value, low=-found.high, high=-found.low, n=found.n)


@dataclass(frozen=True, slots=True)
class Curve:
    """Estimates along an axis; a float is a value without an interval, such as one that nothing varied around."""

    x: tuple[float, ...]
    y: tuple[Estimate | float, ...]


def along(records: Sequence[object], x: str, y: str) -> Curve:
    """Draw one attribute of some records over another.

    Example:
        >>> along([Interval(value=0.5, low=0.25, high=0.75, n=9)], "n", "low")
        Curve(x=(9.0,), y=(0.25,))
    """
    return Curve(tuple(float(getattr(r, x)) for r in records), tuple(getattr(r, y) for r in records))


def lines(records: Iterable[Measured], x: str, y: str, *, name: Callable[[Measured], str]) -> dict[str, Curve]:
    """Draw one attribute of some records over another, in a curve for each name that records have; see `along`.

    Example:
        >>> some = [Interval(value=0.5, low=0.25, high=0.75, n=n) for n in (4, 9)]
        >>> lines(some, "n", "low", name=lambda i: "few" if i.n < 5 else "many")["many"]
        Curve(x=(9.0,), y=(0.25,))
    """
    named: dict[str, list[Measured]] = {}
    for record in records:
        named.setdefault(name(record), []).append(record)
    return {line: along(some, x, y) for line, some in named.items()}


def or_mean(found: Estimate, values: np.ndarray) -> Estimate | float:
    """Return an estimate, or the plain mean of its values where it has no interval, as where nothing varied.

    Example:
        >>> or_mean(Unmeasured("one seed"), np.array([2.0]))
        2.0
    """
    return float(np.mean(values)) if isinstance(found, Unmeasured) else found


def curve_of(x: Iterable[float], values: Iterable[np.ndarray], estimate: Callable[[np.ndarray], Estimate]) -> Curve:
    """Estimate each point of a curve from its values; a plain mean where nothing varied.

    Example:
        >>> curve_of([1.0], [np.array([2.0])], lambda values: Unmeasured("one seed"))
        Curve(x=(1.0,), y=(2.0,))
    """
    return Curve(tuple(map(float, x)), tuple(or_mean(estimate(v), v) for v in values))


def share_curve(y_TS: np.ndarray, x: Sequence[float] | None = None) -> Curve:
    """Average a curve of values between 0 and 1 over seeds.

    Args:
        y_TS: For each point one value per seed, (T, S).
        x: Where each point lies, (T,); 0, 1, 2 and so on if it is not given.

    Example:
        >>> curve = share_curve(np.array([[0.25, 0.5], [0.0, 1.0]]))
        >>> curve.x, curve.y[1].value
        ((0.0, 1.0), 0.5)
    """
    places = range(len(y_TS)) if x is None else x
    return Curve(tuple(map(float, places)), tuple(mean_over(y_S, span=(0.0, 1.0)) for y_S in y_TS))
