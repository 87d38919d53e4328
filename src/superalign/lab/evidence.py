"""Shapes of evidence: what stands in a study's `Evidence`, between the jobs that measured it and the page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np
import pydantic

from superalign.types import Interval, Unmeasured


def _plain(values: np.ndarray) -> object:
    return np.asarray(values).tolist()


# An array in a record that a job returns: it is kept as JSON, each number as it was. A name ends in its dimensions.
Array: TypeAlias = Annotated[np.ndarray, pydantic.PlainValidator(np.asarray), pydantic.PlainSerializer(_plain)]
Estimate: TypeAlias = Interval | Unmeasured


@dataclass(frozen=True, slots=True)
class Curve:
    """Estimates along an axis; a float is a value without an interval, such as one that nothing varied around."""

    x: tuple[float, ...]
    y: tuple[Estimate | float, ...]


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
