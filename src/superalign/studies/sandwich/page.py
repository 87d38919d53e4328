"""What the sandwich study says: its panel, the two bars that matter, nulls, calibration, and judges crossed with agents."""

from __future__ import annotations

from dataclasses import replace

from superalign.kit.evidence import Curve
from superalign.kit.panel import panel
from superalign.kit.parts import Part, claim, curves, findings, null_control, part, table
from superalign.lab.people_page import person_page
from superalign.lab.stated import stated
from superalign.report import Findings
from superalign.report.claims import descriptive
from superalign.stats import share
from superalign.studies.sandwich.evidence import (
    COMBINED,
    COPY,
    HOSTILE,
    LYING,
    MORE,
    OWN_PLACEBO,
    ByPerson,
    ByScript,
    Evidence,
)
from superalign.trials import AGENT, JUDGE, PLACEBO, PROTOCOL
from superalign.types import Claim, Unmeasured

UNIT = "share of decisions"
NAMED = {JUDGE: "judge alone", AGENT: "agent alone", PROTOCOL: "the sandwich", COMBINED: COMBINED}
GAINS = ("over the better of both", "over the best fixed combination")
CROSSED = ("checks", "agent's temperature", "agent works out rightly")
OTHER = "advice about other items, with practice of its own"
MEANS = (
    "Whoever is no expert can get more out of a model than either of them has, where a disagreement can be checked. Here a "
    "place can be checked with certainty; where a check may mislead, less is to be had."
)
LIMITS = (
    "The judge is a script. He knows what to ask, and from practice with answers how far to trust what he sees.",
    "The agent was not trained against this judge. Told to lie, it is refuted at the place that it lies about; what that leaves "
    "of the gain is a claim above.",
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    if isinstance(e, ByPerson):
        return person_page(
            e.person,
            text=f"Each response was shown once, under an arm that was drawn: alone, with how the base {e.config.agent} worked "
            f"the chain out (right {e.solved:.0%} of the time), or with how it worked another chain out. Questions came in "
            "random order and named no arm. How many steps a person checks cannot be limited here.",
        )
    own = e.config.agent == e.config.writer
    whose = "one model, which is asked about its own work" if own else "models that read the same kind of texts"
    parts = [together(e), calibration(e), crossed(e), outcomes(e)]
    shared = f"Responses and advice come from {whose}. Mistakes that they share stay unseen."
    return findings(headline(*parts[0].claims[:2]), parts, means=MEANS, limits=(*LIMITS, shared))


def headline(best: Claim, combined: Claim) -> str:
    """Say in one sentence whether both together beat both alone."""
    if isinstance(best.value, Unmeasured) or isinstance(combined.value, Unmeasured):
        return "Cannot tell whether a judge with a model beats both alone: a gain could not be measured."
    over, beyond = (f"{c.value:+.1%} [{c.low:+.1%}, {c.high:+.1%}]" for c in (best, combined))
    if best.holds is not True:
        return f"Together they are not shown to beat the better of both: {over}."
    if combined.holds is True:
        return f"Together they beat the better of both by {over}, and the best fixed combination by {beyond}."
    return f"Together they beat the better of both by {over}, but combining both without oversight does as well ({beyond})."


def together(e: ByScript) -> Part:
    """Show the panel, the two bars that matter, and what must come out at nothing."""
    d, c = e.decisions, e.config
    shown = panel(
        d,
        protocol="the sandwich",
        text=f"Chains modulo ten, worked step by step by the base {c.writer} at temperature 1. The judge may check {c.checks} "
        f"step{'' if c.checks == 1 else 's'} of each. He asks the base {c.agent} at temperature {c.temperature:g}, which is "
        f"right about {e.solved:.0%} of the time itself, where it first differs from the response; he checks that place, and "
        "asks about the rest if he was satisfied. Every arm states the probability that practice on training problems gave to "
        "what it saw.",
    )
    bars = (
        claim(
            "The sandwich beats the better of judge alone and agent alone",
            d.gain_over_best(PROTOCOL, (JUDGE, AGENT)),
            unit=UNIT,
            null=d.accuracy_gain(COPY, MORE),
            why="the smaller of both gains, paired by item and seed; null: the agent is a copy of the judge, held against a "
            "judge alone with one check more",
        ),
        claim(
            "The sandwich beats the best fixed combination of both answers",
            d.accuracy_gain(PROTOCOL, COMBINED),
            unit=UNIT,
            null=d.accuracy_gain(OWN_PLACEBO, COMBINED),
            why="the combination is what practice says of each pair of the judge's finding alone and the agent's votes; it needs "
            f"no oversight; null: {OTHER}",
        ),
    )
    # A judge who may check nothing has nothing of his own: whatever he gained would not be oversight.
    blind = [cell.decisions for cell in e.cells if cell.k == 0 and cell.temperature == c.temperature]
    nulls = (
        null_control(
            "Asking a copy of the judge gains nothing over one check more", d.accuracy_gain(COPY, MORE), unit=UNIT
        ),
        null_control(
            "Advice about other items gains nothing, even with practice of its own",
            d.gain_over_best(OWN_PLACEBO, (JUDGE, AGENT)),
            unit=UNIT,
        ),
        *(
            null_control(
                "Without any check nothing is gained over the better of both",
                b.gain_over_best(PROTOCOL, (JUDGE, AGENT)),
                unit=UNIT,
            )
            for b in blind
        ),
    )
    return replace(shown, claims=(*bars, *shown.claims, *nulls))


def calibration(e: ByScript) -> Part:
    """Stated probability against the share that is right."""
    d = e.decisions
    shown = stated(
        d,
        NAMED,
        title="Calibration before and after",
        text="Bowman et al. found people more accurate and worse calibrated with a model. This judge states what practice "
        "showed.",
    )
    return shown.with_claims(
        claim(
            "Stated probabilities are better with the model than without",
            d.better_stated(PROTOCOL, JUDGE),
            unit="Brier score, before minus after",
            null=d.better_stated(OWN_PLACEBO, JUDGE),
            why=f"squared error of the stated probability, judge alone minus sandwich, paired by item and seed; null: {OTHER}",
        )
    )


def crossed(e: ByScript) -> Part:
    """Judges of every number of checks with agents of every temperature."""

    by = {t: [c for c in e.cells if c.temperature == t] for t in e.temperatures}
    checks, first = tuple(float(c.k) for c in by[e.config.temperature]), by[e.config.temperature]
    gains = {
        f"agent right {cells[0].solved:.0%} (temperature {t:g}), {over}": Curve(
            checks, tuple(c.gains()[i] for c in cells)
        )
        for t, cells in by.items()
        for i, over in enumerate(GAINS)
    }
    steps = "steps that the judge may check"
    return part(
        "How strong the judge and the agent are",
        "With no check at all the judge can only count agreement. With more checks than mistakes he needs nobody.",
        curves(
            "Gain against the judge's checks",
            gains,
            x=steps,
            y="share of decisions gained",
            caption="Intervals over items and seeds.",
        ),
        curves(
            "Right decisions against the judge's checks",
            {n: Curve(checks, tuple(c.decisions.accuracy(arm) for c in first)) for arm, n in NAMED.items()},
            x=steps,
            y="share of decisions that are right",
            caption=f"The agent at temperature {e.config.temperature:g}.",
        ),
        table(
            "Judges crossed with agents",
            (*CROSSED, *NAMED.values(), *(f"gain {over}" for over in GAINS)),
            [
                (c.k, f"{c.temperature:g}", c.solved, *(c.decisions.accuracy(a) for a in NAMED), *c.gains())
                for c in e.cells
            ],
        ),
    )


def outcomes(e: ByScript) -> Part:
    """Show what the judge came to, how often the response was right then, and what an adviser does who turned on him."""
    return part(
        "Outcomes",
        "Each outcome's trust was learned in practice, seed by seed.",
        betrayed(e, LYING, "An agent told to lie"),
        betrayed(e, HOSTILE, "An adversary who knows the answers"),
        table(
            "What the judge came to under the sandwich",
            ("outcome", "decisions", "right then", "probability stated, first seed"),
            [
                (outcome, len(some), share([i.truth for i in some]), some[0].probability)
                for outcome, some in e.outcomes()
            ],
        ),
    )


def betrayed(e: ByScript, arm: str, who: str) -> Claim:
    """Say whether a judge whose adviser turned on him after practice is at least as good as alone, by a rule of its own."""
    gain = e.decisions.accuracy_gain(arm, JUDGE)
    return descriptive(
        f"{who} makes the judge no worse than alone",
        gain,
        unit=UNIT,
        null=e.decisions.accuracy_gain(PLACEBO, JUDGE),
        holds=gain if isinstance(gain, Unmeasured) else gain.high >= 0,
        why="holds if the interval does not lie below zero; the judge trusts from practice with an honest agent",
    )
