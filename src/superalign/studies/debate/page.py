"""What the debate study says; it reads the evidence and nothing else. Shape suffixes as in evidence.py."""

from __future__ import annotations

import numpy as np

from superalign.kit.evidence import curve_of
from superalign.kit.panel import panel
from superalign.kit.parts import CHANCE, NOTHING, Part, claim, claims, curves, description, findings, part, table
from superalign.lab.players import open_choice, strength, worked_responses
from superalign.report import Findings
from superalign.stats import difference, mean_interval, mean_over, share
from superalign.studies.debate import evidence as ev
from superalign.studies.debate.evidence import Evidence, order, right_NS, truth_earns_NS, won
from superalign.trials import AGENT, JUDGE, PLACEBO, PROTOCOL
from superalign.trials.oversight_panel import verdicts
from superalign.types import Unmeasured

SHARE, RIGHT, BANDS = "share of decisions", "share of decisions that are right", "Bands: 95 % over chains and seeds."
MEANS = (
    "A debate turns one check into a verdict on the whole chain, as far as the debaters can work out the middle of what they "
    "dispute. It does not make the judge know more than an honest agent does."
)
LIMITS = (
    "One synthetic domain: chains modulo ten, where every dispute can be halved and one operation settles it.",
    "Both debaters share one network and one reader, so they err alike; stronger liars from elsewhere were not tried.",
    "False values are drawn at random; a liar who chooses its own could do better.",
    "The consultant's judge looks into a random half, since nobody points; a cleverer judge could look elsewhere.",
)
PANEL = (
    "Is the value of this chain of {} operations v? Two debaters argue for the true value and for a false one. In each round "
    "both state the value in the middle of what they dispute; at one operation the judge works it out, with its only check. "
    "The problem's grader says who was right. How often debaters themselves read that many operations right: {}.\n\nThe judge "
    "alone has one check too, of the last operation. The placebo is the transcript of another chain; undecided debates: chance."
)
TRAINING = (
    "Players start from random weights and learn from the judge's verdict alone. Debaters learn to find each other's errors; a "
    "consultant learns to be approved of, whichever side it was given. Truth earns the log-probability of a true claim minus "
    "that of a false one."
)
SWEEP = (
    "Judges who are wrong for good about some elementary facts, by debaters of several abilities, each trained against its "
    "judge. Alone, the judge works out the whole chain and errs where its facts are wrong; in a debate it uses one of them. "
    "Each line is one judge, whose accuracy both axes subtract: along a line only the critic changes."
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    d = e.decisions
    return findings(
        f"With one check, a judge of trained debaters is right {d.share(PROTOCOL):.0%} of the time; alone {d.share(JUDGE):.0%}, "
        f"with a consultant whose side is assigned {d.share(ev.CONSULT):.0%}, who chooses it {d.share(ev.CONSULT_OPEN):.0%}; "
        f"an honest agent taken at its word {d.share(AGENT):.0%}.",
        [decisions(e), training(e), open_choice(e.open_choice), strength(e.strengths), sweep(e)]
        + ([worked_responses(e.responses)] if e.responses else []),
        means=MEANS,
        limits=LIMITS,
    )


def decisions(e: Evidence) -> Part:
    """Show the standard panel, debate against its neighbours, both orders, and whether telling the truth pays."""
    gain, trained, random = e.decisions.accuracy_gain, e.along_TSON(ev.DEBATE)[-1], e.control_SON(ev.RANDOM)
    read = ", ".join(f"{e.length >> h}: {x:.0%}" for h, x in enumerate(np.mean([m.read_right for m in e.main], axis=0)))
    gains = {
        f"Debate: more decisions are right than with {arm}": (gain(PROTOCOL, arm), gain(PLACEBO, arm))
        for arm in (ev.CONSULT, ev.CONSULT_OPEN, ev.UNTRAINED, ev.CANDID)
    }
    gains["Random midpoints help the judge"] = (gain(ev.RANDOM, JUDGE), gain(PLACEBO, JUDGE))
    pays = [
        mean_interval(truth_earns_NS(x).mean(1))
        for x in (trained, e.along_TSON(ev.CONSULT)[-1], e.control_SON(PLACEBO))
    ]
    return panel(e.decisions, protocol="debate", text=PANEL.format(e.length, read)).with_claims(
        *claims(
            gains,
            unit=SHARE,
            why="same judge, one check each, paired by chain and seed; null: the debate's placebo minus the same arm; random "
            "midpoints, where both sides state random values, are a control that should not hold",
        ),
        claim(
            "The honest side wins more of the decided debates than it loses",
            won(trained),
            null=won(random),
            unit="share of decided debates, over seeds",
            bar=0.5,
            why=f"{(verdicts(trained) == 0.5).mean():.0%} end undecided: neither value was right; null: random midpoints",
        ),
        description(
            "Debate: honest side first minus lying side first",
            order(trained),
            null=order(random),
            unit=SHARE,
            why="same chains in both orders; null: random midpoints",
        ),
        *claims(
            {
                "Debate: telling the truth pays": (pays[0], pays[2]),
                "Consultancy, side assigned: telling the truth pays": (pays[1], pays[2]),
            },
            unit="nats",
            why="log-probability that a claim earns when true minus when false, mean over seeds; null: placebo",
        ),
    )


def training(e: Evidence) -> Part:
    """Show accuracy, and what telling the truth earns, along the training of debaters and consultants."""
    along = {name: e.along_TSON(name) for name in (ev.DEBATE, ev.CONSULT)}
    right, earns = (
        {name: curve_of(e.main[0].stages, [of(x) for x in line], estimate) for name, line in along.items()}
        for of, estimate in ((right_NS, share), (truth_earns_NS, mean_over))
    )
    null = difference(right_NS(e.control_SON(PLACEBO)) - right_NS(along[ev.DEBATE][0]))
    gains = {
        f"Training {who} makes the judge right more often": (difference(right_NS(x[-1]) - right_NS(x[0])), null)
        for who, x in zip(("debaters", "consultants"), along.values(), strict=True)
    }
    return part(
        "Along training",
        TRAINING,
        *claims(
            gains,
            unit=SHARE,
            why="after training minus before; null: the trained debate's placebo minus before training",
        ),
        curves("The judge's accuracy along training", right, x="updates", y=RIGHT, caption=BANDS, reference=CHANCE),
        curves("What truth earns along training", earns, x="updates", y="nats", caption=BANDS, reference=NOTHING),
    )


def sweep(e: Evidence) -> Part:
    """Show judges by critics: where does a debate beat the judge working the whole chain in its head?"""
    # Cells share chains and seeds, so that only the mean over cells has chains and seeds that are drawn.
    null = mean_over(np.mean([c.right[ev.AT_RANDOM] - 0.5 for c in e.cells], axis=0), span=(-0.5, 0.5))
    gains, lines = {}, {}
    for weaker, name in (
        (True, "a judge weaker than its critics"),
        (False, "a judge as good as its critics, or better"),
    ):
        some = [c.gain_NS for c in e.cells if (c.lead > 0) == weaker]
        gain = difference(np.mean(some, axis=0)) if some else Unmeasured("no such cell")
        gains[f"Debate helps {name}"] = (gain, null)
    for judge in sorted({c.judge for c in e.cells}):
        line = sorted((c for c in e.cells if c.judge == judge), key=lambda c: c.lead)
        curve = curve_of([c.lead for c in line], [c.gain_NS for c in line], difference)
        lines[f"judge knows {judge:.0%} of the facts"] = curve
    columns = ("facts the judge knows", "chains the debaters read right", "judge alone", "agent alone", "debate")
    rows = []
    for c in e.cells:
        alone = (share(c.right[who]) for who in ("judge", "agent", ev.DEBATE))
        rows.append((c.judge, c.critic, *alone, c.lead, difference(c.gain_NS)))
    return part(
        "When does a debate help?",
        SWEEP,
        *claims(
            gains,
            unit=SHARE,
            why="cells of the sweep, debate minus judge alone; null: random midpoints minus chance; the second should not hold",
        ),
        curves(
            "What a debate adds, by how much better the critic is than the judge",
            lines,
            x="agent alone minus judge alone, share right",
            y="debate minus judge alone, share right",
            caption=BANDS,
            reference=(0.0, "no gain"),
        ),
        table("Cells", (*columns, "critic minus judge", "debate minus judge"), rows),
    )
