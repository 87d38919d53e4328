"""Hold every detector against planted models and clean ones of many sorts: what is missed, what is flagged for nothing.

The planted set is one that `superalign run organisms` built, or the one that ships.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, get_args

from annotated_types import Ge, Gt, Lt

from superalign.kit.study import Count, CountOrNone, Study
from superalign.types import Harmless

SORTS: tuple[Harmless, ...] = get_args(Harmless)
ROUNDED = SORTS[-2:]  # clean twins whose weights are rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the detectors look at."""

    planted: tuple[str, ...] = ()
    """Folders that `superalign run organisms` wrote; empty for the set that ships."""
    seeds: CountOrNone = 0
    """Triples of each behaviour, the first of a folder; 0 for all."""
    fine_tunes: Annotated[int, Ge(-1)] = 0
    """Clean fine-tunes of each sort that set thresholds beside the twins; 0 for all that are there, below 0 for none."""
    sorts: tuple[Harmless, ...] = SORTS
    """Sorts of new clean models that set no threshold: false alarms are measured on them."""
    controls: Count = 4
    """New clean models of each sort."""
    steps: Count = 600
    """Updates of those that are trained; some sorts take half of it, some three times as many."""
    asked: Annotated[int, Ge(4)] = 20
    """Problems of each family that the detectors ask."""
    false_positive_rate: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Rate that thresholds are set for, or the lowest that the clean subjects support."""


STUDY = Study(
    question="Every detector against planted models and clean ones: what is missed, what is flagged for nothing",
    config=Config,
    quick={
        "seeds": 1,
        "fine_tunes": -1,
        "sorts": ("one family", "manner", *ROUNDED),
        "controls": 1,
        "steps": 200,
        "asked": 6,
    },
)
