"""What finished runs found, as their ledgers have it."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.types import Claim, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Record):
    """One finished run."""

    folder: str
    study: str
    problems: str  # its setting of that name; empty for what it takes by itself
    quick: bool
    seed: int
    headline: str
    means: str
    claims: tuple[Claim, ...]
    uncertain: tuple[str, ...]
    head: str  # of its ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All of them."""

    parts: tuple[str, ...]  # studies that the page is made of
    runs: tuple[Finished, ...]
    left_out: tuple[str, ...]  # folders that hold other studies, or no finished run
