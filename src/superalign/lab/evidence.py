"""Shapes of evidence: what stands in a study's `Evidence`, between the jobs that measured it and the page that shows it."""

from __future__ import annotations

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
