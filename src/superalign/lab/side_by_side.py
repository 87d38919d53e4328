"""Tables that hold the detectors of a study against each other: how well each does, what it adds, what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from superalign.lab.detection_page import sides_of
from superalign.report import Table
from superalign.report.words import number
from superalign.trials import Contribution, Scored
from superalign.trials.calibration import model_auroc
from superalign.types import Calibration, Instrument, Interval, Unmeasured

ADDS = (
    "p: how often shuffled labels give so high a recall; Holm: the same, corrected for the number of detectors. What one adds is "
    "the recall of all together, minus theirs without it. Cost is tokens written and read for one verdict."
)


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
    """Whether a detector sees anything, what it adds to others and what it costs.

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
