"""What was planted, and what acceptance measured of it."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.lab.given_prompts import GivenPrompts
from superalign.lab.planted_page import Planted


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One planted organism beside its twins."""

    base: str
    kind: str
    does: str  # in words
    accepted: bool
    planted: Planted
    prompts: GivenPrompts | None  # where the base was asked prompts of the user's own
    notes: tuple[str, ...]  # about the base
