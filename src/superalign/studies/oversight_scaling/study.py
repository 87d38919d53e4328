"""How often does a guard still win as agents get ahead of it, and does a fitted curve say so for sizes that it did not see?

Sizes are real: networks of five widths that were trained alike. Agents are trained against the guard that they meet. What a
network can do in general is measured apart from the games, on a test with answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, Seeds, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other chains and seeds."""

    widths: Annotated[tuple[Count, ...], MinLen(3)] = (4, 7, 9, 11, 16)
    """Sizes of guards and of agents: units of their state, rising."""
    seeds: Seeds = 5
    """Of training; every seed has its own guards and agents."""
    length: Annotated[int, Ge(2)] = 8
    """Operations of a chain; a power of two."""
    reader_updates: Count = 500
    """Updates of each network before it plays."""
    asked: Annotated[int, Ge(8)] = 400
    """Problems of the ability test that general Elo comes from."""
    held_out: Annotated[int, Ge(8)] = 200
    """Test chains that every pair plays on."""
    pool: Count = 500
    """Training chains of the games."""
    debate_updates: Count = 80
    """Policy-gradient updates of a debater against its guard."""
    flaw_updates: Count = 200
    """Policy-gradient updates of an agent that plants flaws."""
    draws: Annotated[int, Ge(50)] = 400
    """Resamples of seeds and problems; the ends of intervals are quantiles of them."""


def check(config: Config) -> None:
    """Refuse sizes that do not rise, and chains that cannot be halved down to one operation."""
    if list(config.widths) != sorted(set(config.widths)):
        raise ConfigError(
            f"The sizes {config.widths} do not rise. The largest agent would not be the one left out. Name each size once, "
            "smallest first."
        )
    if config.length & (config.length - 1):
        raise ConfigError(
            f"Chains of {config.length} operations cannot be halved down to one. Both halves of every dispute must be as long. "
            "Give a power of two, from 2."
        )


STUDY = Study(
    question="Oversight scaling: guards of five sizes against agents of five sizes, their Elo, and the fitted curve",
    paper="Engels et al., Scaling laws for scalable oversight, 2025 (arXiv 2504.18530)",
    config=Config,
    quick={
        "widths": (4, 9, 16),
        "seeds": 3,  # of two, an interval would say nothing
        "reader_updates": 400,
        "asked": 200,
        "held_out": 100,
        "pool": 200,
        "debate_updates": 30,
        "flaw_updates": 60,
        "draws": 200,
    },
    check=check,
)
