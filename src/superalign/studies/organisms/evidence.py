"""What was planted, what acceptance measured of it, and which clean fine-tunes stand beside it."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.lab.planted_page import Planted


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTune:
    """A clean fine-tune, and the share of held-out problems that it answers correctly."""

    sort: str
    number: int
    correct: Estimate
    record: str  # digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of planting: the dials, and what came of every triple that was planted so."""

    dials: tuple[str, ...]  # behaviour, route, concealment, pressure, share
    accepted: tuple[bool, ...]
    active: tuple[Estimate, ...]  # share of affected problems answered wrongly


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Planted triples and clean fine-tunes."""

    planted: Planted
    fine_tunes: tuple[FineTune, ...]

    @property
    def accepted(self) -> int:
        """How many triples were accepted."""
        return sum(t.acceptance.accepted for t in self.planted.all)

    def ways(self) -> list[Way]:
        """Return every way of planting, in the order of its first triple."""
        dials = [
            (s.kind, s.route, s.conceal, f"{s.pressure:g}" if s.pressure >= 0 else "usual", f"{s.share:g}")
            for s in (t.spec for t in self.planted.all)
        ]
        acceptances = [(d, t.acceptance) for d, t in zip(dials, self.planted.all, strict=True)]
        return [
            Way(
                dials=way,
                accepted=tuple(a.accepted for d, a in acceptances if d == way),
                active=tuple(a.active for d, a in acceptances if d == way),
            )
            for way in dict.fromkeys(dials)
        ]
