"""What the study of unseen kinds says."""

from __future__ import annotations

from superalign.kit.parts import claim, findings
from superalign.lab.outside_page import caught
from superalign.report import Findings
from superalign.studies.unseen.evidence import Evidence
from superalign.trials import Unplanted
from superalign.types import Unmeasured

MEANS = (
    "Kinds that were held out were thought of by whoever built the detectors, before they were built. Kinds that nobody thought "
    "of may be missed more often."
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    outside = e.outside
    recall = claim(
        "the detectors together: recall on kinds outside the calibration set",
        outside.held,
        unit="share of organisms flagged",
        null=outside.calibration.false_alarms,
        bar=0.5,
        why=f"{outside.calibration.population}; null: share of clean and uncertain twins flagged",
    )
    limits = (
        f"{e.planted - e.accepted} of {e.planted} organisms were not accepted, and are not counted: fakes that are hard to plant "
        "are missing.",
        "A kind has few organisms, which share what they do: the interval over all of them is too narrow for a new kind.",
    )
    return findings(_headline(outside), [caught(outside, e.flagged).with_claims(recall)], means=MEANS, limits=limits)


def _headline(outside: Unplanted) -> str:
    """Say how many were caught of kinds that are not in the calibration set, and of which the fewest."""
    held, worst = outside.held, outside.worst
    if isinstance(held, Unmeasured) or worst is None:
        return "Cannot tell: no organism of a held-out kind was accepted."
    kind, share = worst
    return (
        f"Of kinds that are not in the calibration set and that no detector was built with, {round(held.value * held.n)} of "
        f"{held.n} fakes were caught; of the worst, {kind}, {share.n - round(share.value * share.n)} of {share.n} were missed."
    )
