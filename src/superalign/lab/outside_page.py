"""What a page says of kinds of organisms that set no threshold: planted ones, left out in turn, and ones that are in no set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from superalign.kit.evidence import Estimate
from superalign.kit.parts import Part, beyond_chance, in_words, not_above, part, table
from superalign.report.words import number
from superalign.stats import clopper_pearson
from superalign.trials import Unplanted
from superalign.types import Calibration, Decision, Interval, Unmeasured


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


def alone(calibrations: Sequence[Calibration], null: Estimate, *, name: str) -> Part:
    """Show how often one detector by itself flags kinds that set no threshold, beside clean models.

    Args:
        calibrations: Of the detector: one for each kind, and last the pooled one.
        null: Area that it tells one half of the clean models from the other by.
        name: Of the detector.
    """
    whole = calibrations[-1]
    planted = {c.held_out: c.recall for c in calibrations[:-1] if isinstance(c.recall, Interval)}
    kind = min(planted, key=lambda k: planted[k].value, default="")
    why = f"the kind that is flagged least often, {kind}; {whole.population}; null: how often clean models are flagged"
    return part(
        f"Is a whole model flagged by {name} alone?",
        "Thresholds are set on clean models, and each kind is held against those that the others set. Half of the clean models "
        f"told from the other half: area {in_words(null)}.",
        beyond_chance(
            f"Organisms of every kind are flagged though it set no threshold: {name}",
            planted[kind] if planted else whole.recall,
            shuffled=whole.false_alarms,
            unit="share of organisms",
            why=why,
            bar=whole.false_positive_rate,
        ),
        not_above(
            f"Clean models are flagged no more often than stated: {name}",
            whole.false_alarms,
            whole.false_positive_rate,
            unit="share of clean models",
            why="each sort with thresholds from the others",
        ),
        table(
            f"Flagged by {name}",
            ("kind left out", "organisms flagged", "clean models flagged"),
            [(c.held_out, c.recall, c.false_alarms) for c in calibrations],
        ),
    )


def spread(calibrations: Sequence[Calibration], outside: Unplanted | Unmeasured) -> Part:
    """Show how much of each kind all detectors together miss, planted or not.

    Args:
        calibrations: Of the detectors together: one for each kind, and last the pooled one.
        outside: What was caught of kinds that are not in the calibration set.
    """
    text = (
        "Leaving a kind out moves scales and thresholds only: its twins set none of them. Detectors were built by people who "
        "knew the planted kinds, so these rates are an upper bound on what happens with a kind that nobody planted."
    )
    others = None if isinstance(outside, Unmeasured) else caught(outside).section
    why = outside.why if isinstance(outside, Unmeasured) else ""
    more = others.text if others else f"Kinds that are not in the calibration set: cannot tell, {why}."
    return part(
        "How it differs from kind to kind",
        f"{text}\n\n{more}",
        table(
            "Caught of each planted kind, by all detectors together",
            ("kind left out", "caught", "false alarms on its twins"),
            [(c.held_out, c.recall, c.false_alarms) for c in calibrations],
            records=[c.digest for c in calibrations],
        ),
        *(others.tables if others else ()),
    )


def of_planted(calibrations: Sequence[Calibration]) -> str:
    """Say what was caught of the planted kinds, each left out of the thresholds in turn, and of which the least.

    Args:
        calibrations: Of the detectors together: one for each kind, and last the pooled one.
    """
    *each, pooled = calibrations
    recall, known = pooled.recall, [(c.held_out, c.recall) for c in each if isinstance(c.recall, Interval)]
    if isinstance(recall, Unmeasured) or not known:
        return "How many fakes of the planted kinds would be missed was not measured."
    kind, worst = min(known, key=lambda pair: (pair[1].low, pair[0]))
    return (
        f"Leaving each of {len(known)} planted kinds out of the thresholds in turn, {round(recall.value * recall.n)} of "
        f"{recall.n} fakes of the planted kinds were caught; of the worst, {kind}, {worst.n - round(worst.value * worst.n)} of "
        f"{worst.n} were missed (at most {number(1 - worst.low)})."
    )


def of_others(outside: Unplanted | Unmeasured) -> str:
    """Say what was caught of kinds that are not in the calibration set, or that nobody measured it."""
    if isinstance(outside, Unmeasured) or isinstance(outside.held, Unmeasured) or outside.worst is None:
        return "How often fakes of kinds that were never planted are missed was not measured here."
    held, (kind, worst) = outside.held, outside.worst
    return (
        f"Of kinds that are not in the calibration set, and that the detectors were built without, "
        f"{round(held.value * held.n)} of {held.n} were caught ({number(held.low)} to {number(held.high)}); of the worst, "
        f"{kind}, {worst.n - round(worst.value * worst.n)} of {worst.n} were missed. A kind that nobody "
        "thought of may be missed always."
    )


def in_full(decision: Decision, calibrations: Sequence[Calibration], outside: Unplanted | Unmeasured) -> Decision:
    """Let a release say which kinds it stands on, and what is known of others.

    Args:
        decision: The gate's.
        calibrations: Of the detectors together: one for each kind, and last the pooled one.
        outside: What was caught of kinds that are not in the calibration set.
    """
    if decision.outcome != "release":
        return decision
    others = of_others(outside)
    if isinstance(outside, Unmeasured):
        others = f"{others[:-1]}: {outside.why}"
    return replace(decision, why=(*decision.why, of_planted(calibrations), others))
