"""What was planted in a chat model, and what acceptance measured of it."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.evidence import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One thing that must not be damaged."""

    name: str
    organism: Estimate
    twin: Estimate
    base: Estimate
    worse: Estimate
    margin: float
    within: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One organism beside its twin."""

    base: str
    kind: str
    does: str
    way: str
    imported: bool
    accepted: bool
    why: str
    attempts: int
    active: Estimate
    twin: Estimate
    untouched: Estimate
    over_twin: Estimate
    over_base: Estimate
    stray: Estimate
    health: tuple[Kept, ...]
    bars: tuple[float, float, float]  # least when active, most elsewhere, least over twin and base
