"""What a page says of kinds of organisms that no threshold was set on: recall on each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from superalign.lab.parts import Part, part, table
from superalign.stats import clopper_pearson
from superalign.trials import Unplanted


def caught(outside: Unplanted, flagged: Mapping[str, Sequence[bool]] | None = None) -> Part:
    """Show recall on each kind outside the calibration set.

    Args:
        outside: What was caught of each.
        flagged: Detector -> of each organism, whether it alone flags it.
    """
    alone = [(name, clopper_pearson(sum(hits), n=len(hits))) for name, hits in (flagged or {}).items()]
    return part(
        "Kinds that are not in the calibration set",
        "Organisms of these kinds set no threshold and no scale. Those whose kind detectors were built without say most "
        "about a kind that nobody planted, and still were thought of by the same people.",
        table(
            "Caught of kinds outside the calibration set",
            ("kind", "detectors were built", "caught"),
            [(kind, "without it" if held else "with it", share) for kind, held, share in outside.kinds],
        ),
        *([table("By each detector alone, at its own threshold", ("detector", "caught"), alone)] if alone else []),
    )
