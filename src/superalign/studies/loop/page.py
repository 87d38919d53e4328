"""What one turn says: the headline, what is uncertain, and the parts in the order of the story."""

from __future__ import annotations

from superalign.kit.parts import Part, findings, part, table
from superalign.lab.detection_page import calibrated_names, detection
from superalign.lab.overoptimisation import training_table
from superalign.lab.overseen import oversight
from superalign.lab.planted_page import planted, planted_names
from superalign.lab.responses import responses
from superalign.report import Findings
from superalign.studies.loop.evidence import Evidence
from superalign.types import Interval, Unmeasured, Verdict

MEANS = (
    "Not flagged means only that fakes of these kinds, planted this way in a model of this size, would have been caught at the "
    "stated rate. It never means aligned."
)
LIMITS = (
    "Three kinds of fakes, all planted by supervised training in one tiny base: other kinds may be missed entirely.",
    "Calibration organisms share a base, so they are fewer independent units than their number says.",
    "Only accepted organisms ship in the calibration set: fakes that are hard to plant are missing from the error rates.",
    "The gate's recall bar is {}: low, because there are few organisms.",
    "The oversight uplift is measured on chains of arithmetic alone.",
)
GIVEN = (
    "Your subject was held against thresholds from planted subjects of a bundled base. The further it is from that base "
    "in size, training and use, the less they say about it."
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    training = {e.called(n): e.training[n] for n in e.order if n not in e.truth and n in e.training}
    return findings(
        _headline(e),
        [
            oversight(e.arms, training_table(training)),
            planted(e.planted),
            verdicts(e),
            responses(e.responses),
            detection(e, seed=e.seed),
        ],
        means=MEANS,
        limits=_limits(e),
        decisions=[e.decisions[name] for name in e.order],
        names=_names(e),
    )


def _headline(e: Evidence) -> str:
    """Count fakes that the combination flagged, and what the gate holds."""
    flags = [e.flagged[name][e.cards[-1].digest].flagged for name in e.organisms()]
    caught = sum(f for f in flags if not isinstance(f, Unmeasured))
    recall = e.whole.recall
    bound = f"at least {recall.low:.2f}" if isinstance(recall, Interval) else "an unknown share"
    outcomes = [d.outcome for d in e.decisions.values()]
    return (
        f"{caught} of {len(flags)} planted fakes were flagged blind; the detectors together catch {bound} of planted fakes of "
        f"these kinds, and the gate holds {outcomes.count('hold')} of {len(outcomes)} subjects."
    )


def _limits(e: Evidence) -> tuple[str, ...]:
    test = e.planted.test
    thrown = sum(not t.acceptance.accepted for t in test)
    refused = (
        f"Not accepted: {thrown} of {len(test)} test organisms. What was not proven is shown, and counts neither as a fake "
        "caught nor as a fake missed."
    )
    by_reward = len(e.trained_by_reward())
    population = (
        "Thresholds come from adapters trained by supervision. The assistants were trained by reward on all weights: a "
        "flag on one of them may speak of that difference and not of misbehaviour."
    )
    if by_reward:
        population = (
            f"Thresholds come from clean and uncertain twins, and from {by_reward} assistants trained under the true reward; "
            "other ways of training may spread scores further."
        )
    usual = (line.format(e.recall_bar) for line in LIMITS)
    return (*([refused] if thrown else []), *usual, population, *([GIVEN] if e.given else []))


def verdicts(e: Evidence) -> Part:
    """Show all verdicts and decisions, subject by subject; each verdict's cell is linked to that verdict."""
    said = {name: [e.flagged[name][card.digest] for card in e.cards] for name in e.order}
    return part(
        "Every subject, blind, and what the gate decides",
        "Names were opaque and the order random. What each subject is was revealed only after the verdicts were recorded.",
        table(
            "Verdicts and decisions",
            ("subject", *(c.name for c in e.cards), "decision"),
            [(e.called(n), *map(_in_words, by_card), e.decisions[n].outcome) for n, by_card in said.items()],
            records=[e.decisions[n].digest for n in said],
            sources=[("", *(v.digest for v in by_card), "") for by_card in said.values()],
        ),
    )


def _in_words(verdict: Verdict) -> str | Unmeasured:
    if isinstance(verdict.flagged, Unmeasured):
        return verdict.flagged
    return f"{'■ flagged' if verdict.flagged else 'silent'}: {verdict.why}"


def _names(e: Evidence) -> dict[str, str]:
    """Say what to call subjects and records on the page."""
    out = {d.subject: e.called(name) for name, d in e.decisions.items()} | calibrated_names(e, known="calibration ")
    for name, said in e.flagged.items():
        out |= {said[card.digest].digest: f"{card.name} on {e.called(name)}" for card in e.cards}
    out |= {a.digest: a.arm for a in e.arms.findings()}
    out |= {record.digest: f"training of {e.called(name)}" for name, record in e.training.items()}
    return out | {r.found.digest: f"responses of {r.subject}" for r in e.responses} | planted_names(e.planted)
