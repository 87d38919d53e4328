"""What holds the detectors of a study against each other: how well each does, what it adds and costs, who is asked at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from superalign.detectors.replies import LOST
from superalign.kit.parts import table
from superalign.lab.detection_page import sides_of
from superalign.report import Cell, Table
from superalign.report.words import interval, number
from superalign.trials import Contribution, Scored
from superalign.trials.calibration import model_auroc
from superalign.trials.in_order import Early
from superalign.trials.stopping import Savings
from superalign.types import Calibration, Instrument, Interval, Unmeasured, Verdict

ADDS = (
    "p: how often shuffled labels give so high a recall; Holm: the same, corrected for the number of detectors. What one adds is "
    "the recall of all together, minus theirs without it. Cost is tokens written and read for one verdict."
)
REPLIES = (
    "A request without a reply is the provider's doing, an unusable reply the model's: empty or cut off where whole answers are "
    f"read, half of a character, or longer than the base reads. Both are left out and counted. Where more than {LOST:.0%} of the "
    "requests got no reply, where most replies are unusable, or where what is missing goes together with a cue or a family, the "
    "detector cannot tell."
)
COUNTED = ("asked", "answered", "failed", "unusable")


def how_well(
    cards: Sequence[Instrument],
    scored: Mapping[str, Sequence[Scored]],
    calibrations: Mapping[str, Sequence[Calibration]],
    strict: Mapping[str, Sequence[Calibration]],
    added: Sequence[Contribution],
) -> Table:
    """AUROC, its null, and recall at two rates of false alarms, detector by detector."""
    rows = []
    for card, one in zip(cards, added, strict=True):
        loose, tight = calibrations[card.digest][-1], strict[card.digest][-1]
        area = model_auroc(scored[card.digest], sides=sides_of(card))
        rows.append((card.name, area, one.null_auroc, loose.recall, loose.false_alarms, tight.recall))
    at = [max((c[d.digest][-1].false_positive_rate for d in cards), default=0.0) for c in (calibrations, strict)]
    columns = ("detector", "AUROC", "labels shuffled", f"recall at {number(at[0])}", "false alarms there")
    return Table(
        title="How well each tells organisms from twins",
        columns=(*columns, f"recall at {number(at[1])}, the lowest"),
        rows=tuple(rows),
        records=tuple(calibrations[c.digest][-1].digest for c in cards),
    )


def what_each_adds(
    added: Sequence[Contribution], adds: Mapping[str, Interval | Unmeasured], records: Sequence[str]
) -> Table:
    """Say whether a detector sees anything, what it adds to others and what it costs.

    Args:
        added: One for each detector.
        adds: Detector -> what it adds to those of an audit; what is missing is not one of them.
        records: One digest for each detector.
    """
    none = Unmeasured("not one of the audit's")
    return Table(
        title="What each adds, and costs",
        columns=("detector", "p", "p by Holm", "adds to the audit's", "organisms only it caught", "tokens"),
        rows=tuple(
            (c.name, c.p_value, c.adjusted, adds.get(c.instrument, none), len(c.unique), round(c.cost_tokens))
            for c in added
        ),
        records=tuple(records),
    )


def requests(
    cards: Sequence[Instrument], flagged: Mapping[str, Verdict], scored: Mapping[str, Sequence[Scored]]
) -> Table:
    """Asked, answered, failed and unusable, of the audited model and of the subjects that the rates come from.

    Args:
        cards: Of the detectors.
        flagged: Card -> verdict on the audited model.
        scored: Card -> verdicts on the calibration subjects.
    """
    rows: list[tuple[Cell, ...]] = []
    records = []
    for card in cards:
        known = [s.verdict for s in scored[card.digest]]
        mine = flagged[card.digest]
        for who, verdicts in (("the audited model", [mine]), (f"{len(known)} subjects whose truth is known", known)):
            counts = (sum(getattr(v.replies, name) for v in verdicts) for name in COUNTED)
            blind = sum(isinstance(v.score, Unmeasured) for v in verdicts)
            rows.append((card.name, who, *counts, blind))
            records.append(mine.digest if verdicts is not known else "")
    columns = (
        "detector",
        "asked was",
        "requests",
        "answered",
        "without a reply",
        "unusable",
        "subjects without a score",
    )
    return table("Requests behind each rate", columns, rows, records=records)


def in_words(early: Early) -> str:
    """Say in which order the model was asked, where that stopped and what it saved."""
    order = ", ".join(c.name for c in early.order)
    text = f"Asked in the registered order, the cheapest first ({order}). "
    if not early.unasked:
        return text + f"All were needed: {early.ended.why}, and {number(early.ended.cost_tokens)} tokens were spent."
    saved = early.saved
    cost = (
        f"would have spent about {number(round(saved.value))} more ({number(round(saved.low))} to {number(round(saved.high))}, "
        f"as on {saved.n} subjects whose truth is known)"
        if isinstance(saved, Interval)
        else "would have spent more"
    )
    left = ", ".join(c.name for c in early.unasked)
    return (
        f"{text}It was settled after {len(early.asked)} of {len(early.order)}: {early.ended.why}. "
        f"{number(early.ended.cost_tokens)} tokens were spent; {left} {cost}. What they would have said is not known; without "
        "stop_early all are asked."
    )


def could_have(saved: Savings | Unmeasured) -> str:
    """Say what stopping early would have spent on the subjects whose truth is known."""
    if isinstance(saved, Unmeasured) or isinstance(saved.share, Unmeasured):
        return "Whether an audit could have stopped early cannot be told."
    flagged = f", {interval(saved.flagged)} on those that it flags" if isinstance(saved.flagged, Interval) else ""
    return (
        "An audit that stops as soon as nothing to come can change the outcome (stop_early), cheap detectors first, would have "
        f"spent {interval(saved.share)} of the tokens on these subjects{flagged}, and said something else of "
        f"{len(saved.changed)} of {saved.share.n}."
    )
