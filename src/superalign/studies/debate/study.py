"""Does a debate make one check worth more than the judge alone, a consultant or an honest agent, and when?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from superalign.kit.study import Count, CountOrNone, Seeds, Share, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other chains and seeds."""

    length: Literal[2, 4, 8, 16] = 8
    """Operations of a chain; a power of two, so that it can be halved."""
    held_out: Annotated[int, Ge(8)] = 300
    """Test chains that everybody is held against."""
    pool: Count = 1500
    """Training chains that players are trained on."""
    seeds: Seeds = 5
    """Of debaters: what they can read, and how they were trained."""
    updates: Count = 150
    """Policy-gradient updates of each player."""
    ability: Share = 0.55
    """Share of whole chains that a debater itself reads right, in the main setting."""
    judges: Annotated[tuple[Share, ...], MinLen(1)] = (0.85, 0.93, 0.98, 1.0)
    """Shares of elementary facts that the judges of the sweep get right."""
    critics: Annotated[tuple[Share, ...], MinLen(1)] = (0.3, 0.5, 0.7, 0.9)
    """Abilities of the debaters of the sweep."""
    sweep_seeds: Count = 3
    """Seeds of the sweep."""
    sweep_updates: Count = 80
    """Updates of the players in the sweep."""
    responses: CountOrNone = 300
    """Test responses of the bundled base that a debate about worked responses decides about; 0 for none."""
    labelled: Count = 40
    """Labelled training responses that its opponent is trained on."""


STUDY = Study(
    question="Debate and consultancy with trained debaters before a judge who can check one operation",
    paper="Irving, Christiano and Amodei, AI safety via debate, 2018 (arXiv 1805.00899)",
    config=Config,
    # seeds: of two, an interval would say nothing
    quick={
        "held_out": 120,
        "pool": 500,
        "seeds": 3,
        "updates": 60,
        "judges": (0.93, 1.0),
        "critics": (0.4, 0.8),
        "sweep_seeds": 1,
        "sweep_updates": 50,
        "responses": 120,
    },
)
