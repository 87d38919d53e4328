"""What an audit may say of kinds of organisms that no threshold was set on: their scores as kept, and recall on each kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from superalign.organisms.outside_kinds import SCORES
from superalign.report import Section, Table
from superalign.stats import clopper_pearson
from superalign.trials import Outsider, Unplanted
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


def section(outside: Unplanted, flagged: Mapping[str, Sequence[bool]] | None = None) -> Section:
    """Recall on each kind outside the calibration set."""
    by_kind = Table(
        title="Caught of kinds outside the calibration set",
        columns=("kind", "detectors were built", "caught"),
        rows=tuple((k, "without it" if held else "with it", share) for k, held, share in outside.kinds),
    )
    tables = [by_kind]
    if flagged:
        rows = tuple((name, clopper_pearson(sum(hits), n=len(hits))) for name, hits in flagged.items())
        tables.append(
            Table(title="By each detector alone, at its own threshold", columns=("detector", "caught"), rows=rows)
        )
    return Section(
        title="Kinds that are not in the calibration set",
        text="Organisms of these kinds set no threshold and no scale. Those whose kind detectors were built without say most "
        "about a kind that nobody planted, and still were thought of by the same people.",
        tables=tuple(tables),
    )
