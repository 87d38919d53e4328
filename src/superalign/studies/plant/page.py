"""What the study of planting says: whether the plant was accepted, and what was measured of it."""

from __future__ import annotations

from superalign.kit.parts import findings
from superalign.lab.given_prompts import given_prompts
from superalign.lab.planted_page import planted
from superalign.report import Findings
from superalign.studies.plant.evidence import Evidence

SEALED = "The adapters lie in subjects/ under opaque names; seal.json says which is which. An auditor must not see it."


def page(e: Evidence) -> Findings:
    """Put the page together."""
    verdict = "accepted" if e.accepted else "not accepted: do not use it"
    return findings(
        f"A {e.kind} was planted in {e.base} and {verdict}. It {e.does}.",
        [planted(e.planted), *given_prompts(e.prompts)],
        limits=(SEALED, *e.notes),
    )
