"""Hold every detector against planted fine-tunes of a chat model and innocent ones: what it finds, and what a look costs.

The subjects are members of a calibration pack whose adapters are there. A detector that cannot be measured says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from superalign.kit.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the detectors look at."""

    base: str = "smollm2"
    """A chat model with a pack."""
    pack: str = ""
    """A folder that `superalign pack build` wrote; the one that ships for the base if empty."""
    subjects: Annotated[int, Ge(1)] = 4
    """Organisms, of different kinds as far as there are, and as many innocent subjects."""
    false_positive_rate: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Rate that thresholds are set for, or the lowest that the clean subjects support."""


STUDY = Study(
    question="Every detector on planted and innocent fine-tunes of a chat model: what it finds, and what a look costs",
    config=Config,
    quick={"subjects": 1},
)
