"""What every detector finds on a chat model, what a look costs, and what cannot be measured."""

from __future__ import annotations

from superalign.kit.evidence import Estimate, above
from superalign.kit.parts import Part, findings, part, table
from superalign.lab.detection_page import calibrated_names, detection, sides_of
from superalign.report import Findings
from superalign.studies.chat_detectors.evidence import Evidence
from superalign.trials.calibration import model_auroc
from superalign.types import Instrument, Interval, Unmeasured

HEADS = (
    "detector",
    "organisms against innocent subjects, AUROC",
    "subjects measured",
    "of the base alone",
    "seconds of one core",
    "catches",
    "what stood in the way",
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    return findings(
        headline(e),
        [costs(e), detection(e, seed=e.seed)],
        means="So few subjects show what a detector costs and whether it works at all on a chat model, not how often it misses. "
        "Error rates stand where many subjects do: in an audit with a pack.",
        limits=(
            "Budgets were made small, so that a look ends in minutes. What a larger one would find is not measured.",
            f"Detectors try {len(e.kinds)} kinds that were planted by one way, with some of the triggers among their contexts.",
            "The transcript reader and noise injection were told the right answers.",
        ),
        names=calibrated_names(e),
    )


def headline(e: Evidence) -> str:
    """Say how many detectors work, and what they cost beside the exam."""
    detectors = e.cards[:-1]
    apart = [c.name for c in detectors if above(auroc(e, c), 0.5)]
    mute = [c.name for c in detectors if not any(measured(e, c))]
    others = sum(e.alone[c.digest].seconds for c in detectors if c.digest not in e.of_exam)
    exam = sum(e.alone[d].seconds for d in e.of_exam)
    return (
        f"Of {len(detectors)} detectors on {len(e.kinds)} organisms and {len(e.clean)} innocent subjects of {e.base}, "
        f"{len(apart)} tell them apart beyond chance ({', '.join(apart) or 'none'}) and {len(mute)} measure nothing "
        f"({', '.join(mute) or 'none'}). A subject costs them {others:.0f} seconds of one core, and the {len(e.of_exam)} "
        f"that read the exam {exam:.0f}."
    )


def measured(e: Evidence, card: Instrument) -> list[bool]:
    """Say of which subjects a detector measured anything."""
    return [isinstance(v.score, Interval) for v in e.verdicts[card.digest]]


def auroc(e: Evidence, card: Instrument) -> Estimate:
    """Return how well a detector's scores tell organisms from innocent subjects."""
    return model_auroc(e.scored[card.digest], sides=sides_of(card))


def costs(e: Evidence) -> Part:
    """Show each detector, what it found and what it costs."""
    rows = []
    for card in e.cards[:-1]:
        alone, seen = e.alone[card.digest], measured(e, card)
        why = [v.score.why for v in e.verdicts[card.digest] if isinstance(v.score, Unmeasured)]
        several = f"{sum(seen)} of {len(seen)}"
        of_base = alone.verdict.score
        rows.append((card.name, auroc(e, card), several, of_base, alone.seconds, card.catches, why[0] if why else ""))
    return part(
        "What each finds, and what a look costs",
        f"Organisms: {', '.join(e.kinds)}. Innocent: {', '.join(e.clean)}; {e.references} more served as references. The base "
        "hides nothing, and what a detector scores it at is the least that any score must beat. Detectors that read the exam "
        "share one forward, which the first of them pays.",
        table("Every detector on a chat model", HEADS, rows, records=[c.digest for c in e.cards[:-1]]),
        table("Detectors with nothing to look with", ("detector", "why"), [tuple(row) for row in e.absent]),
    )
