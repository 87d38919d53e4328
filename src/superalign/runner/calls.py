"""What an artefact is called with, and what was seen of its run: neither holds an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from superalign.types import Record

Arrays: TypeAlias = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call of an artefact."""

    public: Arrays
    inputs: Arrays
    seed: int
    shape: tuple[int, ...]  # of the scores that must come back


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace(Record):
    """What the runner saw. Probe inputs are the same for every submission to a question."""

    ended: str  # "finished", or how else
    seconds: float
    events: tuple[tuple[str, str], ...] = ()  # audit events of Python while it ran, with their first argument
    left: tuple[str, ...] = ()  # files that it left
    changed: tuple[str, ...] = ()  # what was not afterwards as before: functions of numpy, limits, the clock
    probe: tuple[float, ...] = ()  # scores on the probe inputs
    permuted: tuple[float, ...] = ()  # the same, after imperfect labels were permuted; none where there are none
    redrawn: tuple[float, ...] = ()  # scores on equivalents of the probe inputs, drawn anew; none where there are none
