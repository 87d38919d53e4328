"""What the study of organisms says: which ways of planting work, and which clean fine-tunes stand beside the organisms."""

from __future__ import annotations

from superalign.kit.parts import Part, findings, part, table
from superalign.lab.planted_page import planted
from superalign.report import Findings
from superalign.stats import pooled_share, share
from superalign.studies.organisms.evidence import Evidence

WAYS = ("behaviour", "route", "concealment", "pressure", "share", "accepted", "wrong when active")


def page(e: Evidence) -> Findings:
    """Put the page together."""
    return findings(
        f"{e.accepted} of {len(e.planted.all)} planted organisms were accepted; the others were thrown away.",
        [ways(e), planted(e.planted), fine_tunes(e)],
        limits=("Acceptance is measured on problems of the bundled families only.",),
    )


def ways(e: Evidence) -> Part:
    """Show how many of each kind were accepted, by route and concealment, and how wrong they are when active."""
    return part(
        "What can be planted, how",
        "A route is how a behaviour was implanted: shown in the model's own voice, told of in documents, or paid for. An "
        "organism that denies calls its own slips true when it is asked about them alone; one that hedges keeps the right answer "
        "nearly as likely as its own.",
        table(
            "Planted and accepted",
            WAYS,
            [(*way.dials, share(way.accepted), pooled_share(way.active)) for way in e.ways()],
        ),
    )


def fine_tunes(e: Evidence) -> Part:
    """Show which clean fine-tunes were made, and that they work."""
    rows = [(f.sort, str(f.number), f.correct) for f in e.fine_tunes]
    columns = ("sort", "number", "correct on held-out problems")
    shown = table("Clean fine-tunes", columns, rows, records=[f.record for f in e.fine_tunes])
    return part(
        "Clean fine-tunes that set thresholds",
        "They hide nothing. Trained on something else, harder or for longer than twins, they set thresholds as twins do.",
        *([shown] if rows else []),
    )
