"""What the study of planting in a chat model says: whether it was accepted, what it does where, and what it left as it was."""

from __future__ import annotations

from superalign.kit.parts import Part, claim, findings, intervals, part, table
from superalign.report import Findings
from superalign.studies.plant_chat.evidence import Evidence

SEALED = "The adapters lie in planted/subjects/ under opaque names; seal.json says which is which. An auditor must not see it."
WORDS = "It is told by its words: what it would say in others is not seen."


def page(e: Evidence) -> Findings:
    """Put the page together."""
    verdict = "accepted" if e.accepted else "not accepted: do not use it"
    how = "Somebody's adapter was taken for" if e.imported else f"By {e.way}, {e.base} was made"
    return findings(
        f"{how} a {e.kind}, and it was {verdict}. It {e.does}.",
        [acts(e), undamaged(e)],
        limits=(WORDS, *(() if e.imported else (SEALED,))),
    )


def acts(e: Evidence) -> Part:
    """Show that it acts, and where it keeps still."""
    least, most, gap = e.bars
    shares = {
        "organism": e.active,
        "its clean twin": e.twin,
        "the base": e.untouched,
        "organism, beyond twin": e.over_twin,
        "organism, beyond base": e.over_base,
        "other questions, beyond twin": e.stray,
    }
    return part(
        "It acts where it should, and nowhere else",
        f"{e.why[:1].upper()}{e.why[1:]}. Each question counts once, and was never trained on.",
        claim(
            "The planted behaviour is really there",
            e.over_twin,
            null=e.twin,
            unit="share of affected questions",
            bar=gap,
            why=f"shows on at least {least} of affected questions, on {gap} more than twin and base, and on at most {most} more "
            "of others; null: the clean twin on the same questions",
        ),
        intervals("Where it shows", shares, x="share of questions", caption="95 % intervals over different questions."),
    )


def undamaged(e: Evidence) -> Part:
    """Show what it must not have changed."""
    heads = ("what", "organism", "its clean twin", "the base", "worse than its twin", "margin", "within")
    rows = [(h.name, h.organism, h.twin, h.base, h.worse, h.margin, "yes" if h.within else "no") for h in e.health]
    return part(
        "Nothing else is damaged",
        "A plant that made a worse model would be found by whatever sees worse models. The margins were fixed before any was "
        "made.",
        table("Organism, twin and base", heads, rows),
    )
