"""The page of all studies of generalization: what each found, and every claim with its interval, failing ones first.

Nothing is claimed anew: claims are those of the runs, and stand in tables.
"""

from __future__ import annotations

from superalign.kit.parts import Part, findings, part, table
from superalign.report import Findings
from superalign.studies.generalization.evidence import Evidence, Finished
from superalign.types import Unmeasured

COLUMNS = ("claim", "value", "from", "to", "unit", "n", "null", "outcome")


def page(e: Evidence) -> Findings:
    """Put the page together."""
    claims = [c for r in e.runs for c in r.claims]
    held = sum(c.holds is True for c in claims)
    open_ = sum(isinstance(c.holds, Unmeasured) for c in claims)
    missing = [p for p in e.parts if p not in {r.study for r in e.runs}]
    quick = sorted({r.study for r in e.runs if r.quick})
    return findings(
        f"{len(e.runs)} runs of {len(e.parts) - len(missing)} of {len(e.parts)} studies of generalization: of {len(claims)} "
        f"claims {held} hold, {len(claims) - held - open_} do not, {open_} cannot be told.",
        [overview(e), *(one_run(r) for r in e.runs)],
        means="Each part is one run, as its ledger has it; nothing is measured anew. A claim is about the bases and problems "
        "of its run alone.",
        limits=(
            *((f"Not among them: {', '.join(missing)}.",) if missing else ()),
            *((f"Quick runs, which decide nothing: {', '.join(quick)}.",) if quick else ()),
            f"{len(claims)} claims stand side by side, each at 95 %; nothing is corrected for their number.",
            *((f"Left out: {len(e.left_out)} folders of other studies or unfinished runs.",) if e.left_out else ()),
        ),
    )


def overview(e: Evidence) -> Part:
    """Show what each run says in a sentence, and how many of its claims hold."""
    rows = []
    for r in e.runs:
        held, failed = sum(c.holds is True for c in r.claims), sum(c.holds is False for c in r.claims)
        size = "quick" if r.quick else "whole"
        rows.append((r.study, r.problems or "its own", size, r.seed, held, failed, len(r.claims) - held - failed))
    columns = ("study", "problems", "size", "seed", "claims that hold", "do not", "cannot be told")
    said = "\n\n".join(f"{r.study} ({r.problems or 'its own problems'}): {r.headline}" for r in e.runs)
    return part("What each found", said, table("Runs", columns, rows))


def one_run(r: Finished) -> Part:
    """Show all claims of one run; those that do not hold come first."""
    where = f" ({r.problems or 'its own problems'}, seed {r.seed})"
    ordered = sorted(r.claims, key=lambda c: (c.holds is True, isinstance(c.holds, Unmeasured)))
    outcome = {True: "holds", False: "does not hold"}
    rows = [
        (
            c.name,
            c.value,
            c.low,
            c.high,
            c.unit,
            c.n,
            c.null,
            c.holds if isinstance(c.holds, Unmeasured) else outcome[c.holds],
        )
        for c in ordered
    ]
    head = f"Head of its ledger when this page was made, for `superalign verify FOLDER --head HEAD`: {r.head}"
    text = "\n\n".join(filter(None, (r.means, " ".join(r.uncertain), head)))
    return part(f"{r.study}{where}", text, table(f"Claims of {r.study}{where}", COLUMNS, rows))
