"""What each part of an exam costs to read, and what its detector catches that those before it do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.kit.parts import table
from superalign.report import Table
from superalign.report.words import number
from superalign.stats import clopper_pearson
from superalign.trials import Unsealed
from superalign.types import Calibration, Instrument, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRead:
    """One part of an exam, and who reads it."""

    part: str
    card: Instrument
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfPart:
    """What reading one part finds."""

    detector: str
    part: str
    tokens: int
    alone: Estimate  # share of organisms that its detector flags
    beyond: int  # of these, which no detector before it flags


def parts_of(
    parts: Sequence[PartRead], unsealed: Unsealed, calibrations: Mapping[str, Sequence[Calibration]]
) -> tuple[OfPart, ...]:
    """Count what each detector catches, with thresholds that the kind did not set, in the order that is given."""
    flagged = unsealed.flagged(calibrations, known=True)
    organisms = [name for name, (_, role, _) in unsealed.truth.items() if role == "organism"]
    caught: set[str] = set()
    out = []
    for p in parts:
        its = {n for n in organisms if flagged[n][p.card.digest].flagged is True}
        alone = clopper_pearson(len(its), n=len(organisms)) if organisms else Unmeasured("there is no organism")
        out.append(OfPart(detector=p.card.name, part=p.part, tokens=p.tokens, alone=alone, beyond=len(its - caught)))
        caught |= its
    return tuple(out)


def parts_table(parts: Sequence[OfPart]) -> Table:
    """Show what each part of an exam finds for its tokens."""
    heads = (
        "part",
        "detector",
        "tokens",
        "catches alone",
        "organisms beyond the parts above",
        "of these for 1,000 tokens",
    )
    rows = [
        (p.part, p.detector, str(p.tokens), p.alone, str(p.beyond), number(1000 * p.beyond / max(1, p.tokens)))
        for p in parts
    ]
    return table("What each part of the exam finds for its tokens", heads, rows)
