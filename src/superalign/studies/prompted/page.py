"""What the study of prompted models says: a panel for each protocol, what the order of questions did, and how nobody judges."""

from __future__ import annotations

from superalign.kit.panel import panel
from superalign.kit.parts import Part, bars, claim, findings, part, table
from superalign.lab.people_page import person_page
from superalign.report import Findings
from superalign.report.claims import descriptive
from superalign.studies.prompted.evidence import ByModel, ByPerson, Evidence, Panel
from superalign.trials import AGENT, JUDGE, PLACEBO, PROTOCOL, VOTING
from superalign.trials.oversight_panel import NOBODY
from superalign.types import Claim, Interval, Unmeasured

ALONE = (JUDGE, AGENT, VOTING)
MEANS = "A gain counts only beside its placebo: the same judge after transcripts of other responses."
SAME = (
    "Judge and agent have the same weights. Their agreement is one mind agreeing with itself: what it cannot see, its "
    "arguments do not show, so a gain here says nothing of a judge that is weaker than the agent."
)
UNTRAINED = (
    "Nobody was trained against this judge. How a protocol fares under an agent that learns what convinces it, this study "
    "does not show."
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    if isinstance(e, ByPerson):
        return person_page(
            e.person,
            text=f"Each of {e.responses} responses was shown once, under an arm that was drawn: alone, after a protocol that "
            f"{e.config.agent} played, or after what was said of another response. Questions came in random order and named no "
            "arm.",
        )
    limits = (
        *([SAME] if e.same else []),
        *([f"The budget ended the study after {e.judged} of {e.asked} responses."] if e.judged < e.asked else []),
        *([] if e.logged else ["Transcripts were not written as Inspect logs: inspect-ai is not installed."]),
        UNTRAINED,
        "Planted flaws are not a model's own mistakes."
        if e.config.responses == "planted"
        else "The models' solutions are from 2021.",
    )
    parts = [together(e), *(played(e, name) for name in e.panels), orders(e), silences(e)]
    return findings(headline(e), parts, means=MEANS, limits=limits)


def headline(e: ByModel) -> str:
    """Say in one sentence which protocol helps."""
    if e.nobody:
        accuracy = e.first.decisions.accuracy(JUDGE)
        value = "an unmeasured share" if isinstance(accuracy, Unmeasured) else f"{accuracy.value:.0%}"
        return f"Nobody sits in the judge's seat (random weights): {value} of its decisions are right, which shows the null."
    gains = {n: p.decisions.accuracy_gain(PROTOCOL, JUDGE) for n, p in e.panels.items()}
    known = {n: g for n, g in gains.items() if isinstance(g, Interval)}
    warned, judge = " Judge and agent are the same model." if e.same else "", e.config.judge
    if not known:
        return f"No protocol changed a decision of {judge}.{warned}"
    name, g = max(known.items(), key=lambda pair: pair[1].low)
    placebo = e.panels[name].decisions.accuracy_gain(PROTOCOL, PLACEBO)
    real = g.low > 0 and isinstance(placebo, Interval) and placebo.low > 0
    return (
        f"{name[0].upper()}{name[1:]} {'helps' if real else 'is not shown to help'} {judge}: {g.value:+.0%} [{g.low:+.0%}, "
        f"{g.high:+.0%}] right decisions over the judge alone.{warned}"
    )


def together(e: ByModel) -> Part:
    """Show all protocols in one picture, and a judge with random weights: half of the responses are right, so it is at chance."""
    first = e.first.decisions
    nobody = first.accuracy(NOBODY)
    rows = {arm: (first.accuracy(arm), "baseline") for arm in ALONE} | {NOBODY: (nobody, "null control")}
    for name, its_panel in e.panels.items():
        rows[name] = its_panel.decisions.accuracy(PROTOCOL), "protocol"
        rows[f"{name}, placebo"] = its_panel.decisions.accuracy(PLACEBO), "null control"
    return part(
        "All protocols",
        "Half of the responses are right, so that a judge who always says the same is at a half. Assistants read and wrote "
        f"{e.spent:,} tokens in all.",
        descriptive(
            "A judge with random weights decides at chance",
            nobody,
            unit="share of decisions",
            null=Unmeasured("it is a null itself"),
            holds=nobody if isinstance(nobody, Unmeasured) else not nobody.excludes(0.5),
            why="other weights under every seed; the interval includes a half; no null of its own, it is the null of the judge",
        ),
        bars(
            "Every protocol on the same responses",
            {name: share for name, (share, _) in rows.items()},
            x="share of decisions that are right",
            groups={name: group for name, (_, group) in rows.items()},
            caption="Lines are 95 % intervals over responses and seeds.",
            reference=(0.5, "a coin"),
        ),
    )


def played(e: ByModel, name: str) -> Part:
    """Show one protocol against its panel."""
    c = e.config
    what = {
        "critic": "The agent names the first mistake that it sees, or says that it found none.",
        "debate": f"Two agents argue for right and for wrong; of a round, neither sees the other's turn. Rounds: {c.rounds}.",
        "consultancy": "The agent argues for right or for wrong, as a coin says.",
        "market": f"A market foretells the judge; an adversary tries {c.candidates} arguments in each of up to {c.rounds} "
        "rounds and keeps the one that moves the price most.",
    }[name]
    text = (
        f"{what} Then the judge says whether the response is right. Every arm decides about the same responses; a decision that "
        "could not be made counts as a coin's guess. Beliefs are averaged over both orders of answers and of speakers."
    )
    shown = panel(e.panels[name].decisions, protocol=name, text=text)
    return shown.with_claims(truth_pays(name, e.panels[name])) if name in ("debate", "consultancy") else shown


def truth_pays(name: str, found: Panel) -> Claim:
    """Does telling the truth earn more than lying, from this judge?"""
    return claim(
        f"{name[0].upper()}{name[1:]}: arguing for the truth earns more",
        found.pays(PROTOCOL),
        unit="nats",
        null=found.pays(PLACEBO),
        why="log-probability that the judge gives the side argued for, when it is true minus when it is false; null: the same "
        "after transcripts of other responses",
    )


def arms(e: ByModel, alone: tuple[str, ...]) -> list[tuple[str, Panel, str]]:
    """Arms without a protocol once, then each protocol and its placebo: what to call it, its panel, its arm there."""
    rows = [(a, e.first, a) for a in alone]
    for name, its_panel in e.panels.items():
        rows += [(name, its_panel, PROTOCOL), (f"{name}, placebo", its_panel, PLACEBO)]
    return rows


def orders(e: ByModel) -> Part:
    """Show how often a decision flips with the order in which answers and speakers stand."""
    return part(
        "Order",
        "Each question is asked twice: answers listed as yes or no and as no or yes, and speakers in both orders. Decisions are "
        "made on the average; this is what it had to cancel.",
        table(
            "What the order does",
            ("decision", "flips with the order", "probability in the first order minus the second", "decisions"),
            [(label, *its_panel.flips(arm)) for label, its_panel, arm in arms(e, (JUDGE,))],
        ),
    )


def silences(e: ByModel) -> Part:
    """Show why decisions could not be made, counted."""
    rows = [(label, *row) for label, its_panel, arm in arms(e, ALONE) for row in its_panel.silences(arm)]
    return part(
        "What could not be told",
        "A reply that is neither yes nor no, a model that gave none after every attempt, or a prompt that is too long is no "
        "decision, and never a score." + ("" if rows else " Here every decision could be made."),
        *([table("Decisions that could not be made", ("decision", "why", "count", "of"), rows)] if rows else []),
    )
