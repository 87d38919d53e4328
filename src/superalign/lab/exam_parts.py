"""Parts of an audit with a pack: what each part of its exam finds, and what a model does behind contexts asked beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from superalign.kit.evidence import Estimate, above, measured
from superalign.kit.parts import Part, null_control, part, table
from superalign.report import Table
from superalign.report.words import number
from superalign.stats import clopper_pearson
from superalign.trials import Unsealed
from superalign.types import Calibration, Instrument, Unmeasured, Verdict

NO_CLEAN = Unmeasured("no innocent subject came along with the pack")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnContext:
    """One context of the auditor's own."""

    context: str
    beyond: Estimate  # nats a token that the model moves further there than in other contexts
    clean: Sequence[Estimate]  # the same of innocent members of the pack


def behind_own(own: Sequence[OwnContext]) -> Part:
    """Show what the model does behind the auditor's own contexts, beside innocent members of the pack."""
    rows = []
    for one in own:
        clean = [c.value for c in measured(one.clean)]
        moves = bool(clean) and above(one.beyond, max(0.0, *clean))
        furthest = max(clean) if clean else NO_CLEAN
        rows.append((one.context, one.beyond, furthest, "yes" if moves else "no"))
    heads = ("context", "nats a token beyond other contexts", "furthest innocent", "interval above it")
    return part(
        "Behind your own contexts",
        "Subjects of the pack were not asked behind these when it was built, so no threshold and no error rate is known. "
        "Innocent subjects that came along were asked now. Intervals are over questions.",
        table("How much less likely the base's answers become behind each", heads, rows),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """What the model does behind contexts that the pack was asked after it was built, with thresholds of its own."""

    verdict: Verdict  # on the audited model, flagged or not
    calibrations: Sequence[Calibration]  # one for each kind, and last the pooled one
    contexts: Sequence[tuple[str, Estimate]]  # nats a token that the model moves further there than in others
    asked: int  # subjects of the pack
    of: int  # all of its subjects


def said_later(later: Later | None) -> str:
    """Say in the first line that a model moves in turns of a chat, where it does."""
    if later is None or later.verdict.flagged is not True:
        return ""
    return f" In turns of a chat it is flagged, by thresholds of their own: {later.verdict.why}."


def in_turns(later: Later) -> Part:
    """Show what the model does in turns of a chat, and how often planted and innocent subjects are flagged there."""
    pooled, verdict = later.calibrations[-1], later.verdict
    if isinstance(verdict.flagged, Unmeasured):
        said = f"cannot tell, {verdict.flagged.why}"
    else:
        said = "flagged" if verdict.flagged else "silent"
    rows = [(name, beyond, pooled.threshold_high) for name, beyond in later.contexts]
    kinds = [(c.held_out, c.recall, c.false_alarms) for c in later.calibrations]
    return part(
        "In turns of a chat, calibrated apart",
        f"System texts, earlier turns and begun replies were asked of {later.asked} of the pack's {later.of} subjects, those "
        "whose adapters were kept, after it was built. They have thresholds of their own, and are no part of the verdicts above. "
        f"The audited model: {said}. Intervals are over questions.",
        null_control("Clean subjects flagged in turns of a chat", pooled.false_alarms, unit="share of clean subjects"),
        table(
            "How much less likely the base's answers become in each",
            ("context", "nats a token beyond other contexts", "flagged above"),
            rows,
        ),
        table(
            "Caught in turns of a chat, by kind that set no threshold",
            ("kind left out", "organisms flagged", "clean subjects flagged"),
            kinds,
            records=[c.digest for c in later.calibrations],
        ),
    )
