"""The whole page: the headline, what is uncertain, and the parts in the order of the story."""

from __future__ import annotations

from typing import Any

from superalign.lab.detection_page import detection_section
from superalign.lab.planted_page import planted_section
from superalign.lab.turn import Turn, arm_findings, response_findings
from superalign.organisms import KINDS
from superalign.report import Findings
from superalign.studies.loop.oversight_page import oversight_section
from superalign.studies.loop.subjects_page import responses_section, verdicts_section
from superalign.types import Interval, Unmeasured


def page(config: Any, *, turn: Turn, seed: int) -> Findings:
    """Put the turn together as a study.

    Args:
        config: The loop's settings.
        turn: What was found; its `evidence` is in the ledger.
        seed: Of the turn.

    Returns:
        The study: verdict, claims, what is uncertain, and the evidence with every row's ledger record.
    """
    on_oversight, oversight = oversight_section(turn)
    on_planted, planted = planted_section(turn.test, turn.known, revealed=True)
    on_detection, detection = detection_section(turn, seed=seed)
    return Findings(
        headline=_headline(turn),
        means="Not flagged means only that fakes of these kinds, planted this way in a model of this size, would have been "
        "caught at the stated rate. It never means aligned.",
        claims=(*on_oversight, *on_planted, *on_detection),
        decisions=tuple(turn.decisions[name] for name in turn.order),
        sections=(oversight, planted, verdicts_section(turn), responses_section(turn), detection),
        uncertain=_uncertain(config, turn),
        names=_names(turn),
    )


def _headline(turn: Turn) -> str:
    """Count fakes that the combination flagged, and what the gate holds."""
    last = turn.cards[-1].digest
    flags = [turn.flagged[name][last].flagged for name in turn.organisms()]
    caught = sum(f for f in flags if not isinstance(f, Unmeasured))
    recall = turn.calibrations[last][-1].recall
    bound = (
        f"at least {recall.low:.2f} of planted fakes"
        if isinstance(recall, Interval)
        else "an unknown share of planted fakes"
    )
    outcomes = [d.outcome for d in turn.decisions.values()]
    return (
        f"{caught} of {len(flags)} planted fakes were flagged blind; the detectors together catch {bound} of these kinds, and "
        f"the gate holds {outcomes.count('hold')} of {len(outcomes)} subjects."
    )


def _uncertain(config: Any, turn: Turn) -> tuple[str, ...]:
    thrown = [t for t in turn.test if not t.acceptance.accepted]
    refused = (
        (
            f"Not accepted: {len(thrown)} of {len(turn.test)} test organisms. What was not proven is shown, and counts neither "
            "as a fake caught nor as a fake missed.",
        )
        if thrown
        else ()
    )
    return (
        *refused,
        "Three kinds of fakes, all planted by supervised training in one tiny base: other kinds may be missed entirely.",
        "Calibration organisms share a base, so they are fewer independent units than their number says.",
        "Only accepted organisms ship in the calibration set: fakes that are hard to plant are missing from the error rates.",
        f"The gate's recall bar is {config.recall_bar}: low, because there are few organisms.",
        "The oversight uplift is measured on chains of arithmetic alone.",
        _population(turn),
    )


def _population(turn: Turn) -> str:
    """Say on which clean subjects thresholds were set, and what that means for a flag on an assistant."""
    last = turn.cards[-1].digest
    by_reward = {s.subject for s in turn.scored[last] if s.kind not in KINDS}
    if by_reward:
        return (
            f"Thresholds come from clean and uncertain twins, and from {len(by_reward)} assistants trained under the true "
            "reward; other ways of training may spread scores further."
        )
    return (
        "Thresholds come from adapters trained by supervision. The assistants were trained by reward on all weights: a "
        "flag on one of them may speak of that difference and not of misbehaviour."
    )


def _names(turn: Turn) -> tuple[tuple[str, str], ...]:
    """What to call subjects and records on the page."""
    cards = {c.digest: c.name for c in turn.cards}
    out = [(d.subject, turn.called(name)) for name, d in turn.decisions.items()]
    out += [(c.digest, c.name) for c in turn.cards]
    for one in (s for scored in turn.scored.values() for s in scored):
        what = f"calibration {one.kind} {one.seed} ({one.role})"
        out.append((one.verdict.digest, f"{cards[one.verdict.instrument]} on {what}"))
    for name, said in turn.flagged.items():
        out += [(v.digest, f"{cards[card]} on {turn.called(name)}") for card, v in said.items()]
    for c in (c for made in turn.calibrations.values() for c in made):
        out.append((c.digest, f"{cards[c.instrument]}, left out: {c.held_out}"))
    out += [(a.digest, a.arm) for a in arm_findings(turn)]
    out += [(found.digest, f"training of {turn.called(name)}") for name, found in turn.training.items()]
    for name, by_response in response_findings(turn).items():
        out += [(f.digest, f"responses of {turn.called(name)}") for f in by_response]
    for t in (*turn.test, *turn.known):
        what = f"{t.spec.kind} {t.spec.seed}"
        out += [(t.acceptance.digest, f"acceptance of {what}"), (t.plant.digest, f"the plant of {what}")]
    return tuple(dict(out).items())
