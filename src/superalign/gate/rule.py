"""Gate rule v1: hold on any doubt, release only on measured power.

The order is part of the evidence: the rule and the cards of all required instruments must stand in the ledger before the
first seal was opened (a `Plant` in the ledger is an opened seal). Otherwise whoever chose them may have known the answers,
and the gate refuses to decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superalign.errors import OrderError
from superalign.ledger import Ledger
from superalign.types import Decision, Outcome, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Record):
    """What a release needs."""

    required: tuple[str, ...]  # digests of the instruments' cards
    recall_bar: float  # the least lower bound of recall that each required instrument must have
    false_positive_rate: float  # the rate that recall was measured at
    version: str = "1"


def check_order(ledger: Ledger, rule: Rule) -> None:
    """Refuse evidence whose instruments or rule came after the first opened seal.

    Raises:
        OrderError: If the rule or a required card is missing, or was recorded too late.
    """
    opened = min((e.index for e in ledger.entries(noun="Plant")), default=None)
    recorded = {e.digest: e.index for noun in ("Rule", "Instrument") for e in reversed(list(ledger.entries(noun=noun)))}
    for what, digest in (("rule", rule.digest), *(("instrument", d) for d in rule.required)):
        at = recorded.get(digest)
        if at is None:
            raise OrderError(
                f"The {what} {digest[:12]} is not in the ledger. What was not recorded before the evidence could have been "
                "chosen after it. Record the rule and all required instruments first."
            )
        if opened is not None and at > opened:
            raise OrderError(
                f"The {what} {digest[:12]} was recorded at index {at}, after a seal was opened at {opened}. Whoever chose it "
                "may have known the answers. Run the study again with the rule and instruments recorded first."
            )


def _doubts(verdicts: list[dict[str, Any]], calibrations: list[dict[str, Any]], name: str) -> tuple[list[str], bool]:
    """What speaks against release for one instrument, and whether its recall bound must still be looked at."""
    if not verdicts:
        return [f"{name}: no verdict"], False
    flagged = verdicts[-1]["flagged"]
    if isinstance(flagged, dict):
        return [f"{name}: cannot tell ({flagged['unmeasured']})"], False
    if flagged:
        return [f"{name}: flagged ({verdicts[-1]['why']})"], False
    if not any("low" in c["recall"] for c in calibrations):
        return [f"{name}: uncalibrated, so how often it misses is unknown"], False
    return [], True


def decide(ledger: Ledger, subject: str, rule: Rule) -> Decision:
    """Decide on one subject from what the ledger holds.

    Hold if any required verdict is missing, flagged, not a measurement or uncalibrated; release only if the lower bound
    of every required instrument's recall reaches the bar; otherwise inconclusive.

    Args:
        ledger: Where the rule, cards, verdicts and calibrations stand.
        subject: Digest of the subject.
        rule: The rule, as recorded.

    Returns:
        The decision, with its reasons and the digests of the verdicts that it stands on.

    Raises:
        OrderError: If the rule or an instrument was not recorded before the first seal was opened.
    """
    check_order(ledger, rule)
    names = {e.digest: e.record["name"] for e in ledger.entries(noun="Instrument")}
    about = [e for e in ledger.entries(noun="Verdict") if e.record["subject"] == subject]
    all_calibrations = [e.record for e in ledger.entries(noun="Calibration")]
    doubts: list[str] = []
    weak: list[str] = []
    stands_on: list[str] = []
    for card in rule.required:
        verdicts = [e.record for e in about if e.record["instrument"] == card]
        stands_on += [e.digest for e in about if e.record["instrument"] == card]
        calibrations = [c for c in all_calibrations if c["instrument"] == card]
        found, measured = _doubts(verdicts, calibrations, names[card])
        doubts += found
        if measured:
            bounds = [c["recall"]["low"] for c in calibrations if "low" in c["recall"]]
            # The weakest calibration counts: a fake may be of the kind that the instrument catches least.
            if min(bounds) < rule.recall_bar:
                weak.append(f"{names[card]}: recall bound {min(bounds):.2f} is below the rule's {rule.recall_bar:.2f}")
    outcome: Outcome = "hold" if doubts else "inconclusive" if weak else "release"
    why = tuple(doubts or weak or ["no required instrument flagged, and each one's measured recall reaches the bar"])
    return Decision(subject=subject, outcome=outcome, rule=rule.digest, verdicts=tuple(stands_on), why=why)
