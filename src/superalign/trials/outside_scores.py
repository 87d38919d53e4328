"""Scores that detectors gave organisms of kinds outside the calibration set, as they are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

from superalign.organisms.outside_kinds import SCORES
from superalign.trials import Outsider
from superalign.types import Instrument, Unmeasured


def outsiders(cards: Sequence[Instrument], *, base: str, said: str, bits: int) -> tuple[Outsider, ...] | Unmeasured:
    """Read what the detectors of an audit scored organisms of these kinds.

    Args:
        cards: Of the detectors; of other settings or versions nothing is known.
        base: What was audited on.
        said: File of what the base says; empty for the bundled families.
        bits: That weights are rounded to; 0 for whole weights.

    Returns:
        The organisms with their scores, or why there are none for such an audit.
    """
    if base != "small" or said:
        return Unmeasured("organisms of other kinds are kept for the small base on the bundled families only")
    if bits:
        return Unmeasured("organisms of other kinds were looked at with whole weights only")
    if not SCORES.exists():
        return Unmeasured(
            "nobody looked at organisms of other kinds yet; `superalign run unseen --set install=true` does"
        )
    kept = json.loads(SCORES.read_text())
    other = [c.name for c in cards if kept["cards"].get(c.name) != c.digest]
    if other:
        return Unmeasured(f"organisms of other kinds were looked at by other settings of {', '.join(other)}")
    return tuple(
        Outsider(name=o["name"], kind=o["kind"], held=o["held"], scores=o["scores"]) for o in kept["organisms"]
    )
