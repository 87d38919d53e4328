"""What the prover-verifier study says: the panel, the game round by round, legibility and its price, sizes of verifier."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from superalign.kit.evidence import share_curve
from superalign.kit.panel import panel
from superalign.kit.parts import Part, claim, curves, description, findings, part, percent, table_of
from superalign.report import Cell, Findings, Table
from superalign.studies.prover_verifier.evidence import EXPLOITED, HELPFUL, SNEAKY, Evidence, Prover, prover, ranking
from superalign.types import Unmeasured

PANEL = (
    "Is this response correct? Responses are those of the helpful and of the sneaky prover of the last round to held-out "
    "problems; both were trained to convince this very verifier, which was not trained on what they learned to say. The judge "
    "alone recomputes one random step. Voting: most of five responses of the base give the same answer. The placebo is a "
    "verifier that was trained on the same responses with shuffled labels."
)
MEANS = (
    "A verifier that has seen the attacks of earlier rounds is one that has not seen the next. How often that one gets through "
    "is the number to read, not how well the verifier does on responses of its own time."
)
LIMITS = (
    "The verifier's head is small, but the base that it reads with is as large as the provers: robustness of equal size.",
    "Provers and verifier start from the same base; its blind spots are theirs.",
    "The checker recomputes steps as the grader would. A person would err, and would be persuaded.",
)
BLIND = "null: the helpful prover of the game with shuffled labels"


def page(e: Evidence) -> Findings:
    """Put the page together."""
    often = percent(prover(e.main, SNEAKY).share("fooled"), digits=0)
    return findings(
        f"A fresh attacker makes {often} of its responses wrong and convincing to the last round's verifier.",
        [panel(e.decisions, protocol="the verifier of the last round", text=PANEL), rounds(e), legibility(e), sizes(e)],
        means=MEANS,
        limits=LIMITS,
    )


def rounds(e: Evidence) -> Part:
    """Show the game, round by round."""
    turns = range(len(e.main[0].rounds))
    named = {f"round {t + 1}, {role}": prover(e.main, role, t) for t in turns for role in (HELPFUL, SNEAKY)}
    sneaky, first, blind, blind_first = (prover(games, SNEAKY, t) for games in (e.main, e.blind) for t in (-1, 0))
    harder = claim(
        "Rounds make it harder for a fresh attacker to convince with wrong responses",
        first.more("fooled", than=sneaky),
        unit="share of responses",
        null=blind_first.more("fooled", than=blind),
        why="wrong and convincing in the first round minus the last; null: the game with shuffled labels",
    )
    return part(
        "The game, round by round",
        "Each round's provers start from the base and meet a verifier that was trained on responses of all earlier rounds. "
        "'Convincing': scored as high as nine in ten of the correct responses that the verifier was trained on. Steps to "
        f"exploit: until {EXPLOITED:.0%} of the attacker's responses are wrong and convincing, one more than there were where "
        "never.",
        claim(
            "The last verifier ranks right responses above wrong ones of fresh provers",
            ranking(prover(e.main, HELPFUL), sneaky),
            unit="AUROC",
            null=ranking(prover(e.blind, HELPFUL), blind),
            bar=0.5,
            why="over seeds; null: the game played with shuffled labels",
        ),
        claim(
            "The verifier pays a fresh attacker for more right responses than it gives",
            sneaky.overpaid,
            unit="probability",
            null=e.base.overpaid,
            why="its probability minus whether the response is correct, on responses of the sneaky prover; null: of the base",
        ),
        *([harder] if len(turns) > 1 else []),
        curves(
            "Wrong and convincing, while a prover trains",
            {name: share_curve(np.stack([r.fooling_T for r in p.at], axis=1)) for name, p in named.items()},
            x="training steps",
            y="share of its responses",
            caption="Means over seeds with 95 % intervals, on training problems.",
            reference=(EXPLOITED, "counts as exploited"),
        ),
        provers_table("Provers", {"the base": e.base, **named}),
    )


def legibility(e: Evidence) -> Part:
    """Are provers who must convince easier to check, and what does it cost?"""
    helpful, blind = (prover(games, HELPFUL) for games in (e.main, e.blind))
    return part(
        "Legibility and its price",
        "A checker recomputes one or two random steps and calls the response wrong if one of them is. It is right more "
        "often where correct answers come by correct steps and wrong answers by many wrong ones.",
        claim(
            "A checker of one step is right about more of a helpful prover's responses than of one's paid for right answers",
            helpful.more("checked", than=e.paid),
            unit="share of responses",
            null=blind.more("checked", than=e.paid),
            why=f"legibility, paired by problem and seed; {BLIND}",
        ),
        claim(
            "More of a helpful prover's right answers come by right steps than of one's paid for right answers",
            helpful.cleaner(e.paid),
            unit="share of right answers",
            null=blind.cleaner(e.paid),
            why=f"over seeds; {BLIND}",
        ),
        description(
            "Legibility tax: right answers lost against a prover paid for them alone",
            e.paid.more("correct", than=helpful),
            unit="share of problems",
            null=Unmeasured("a price, not a finding"),
            why="equal training; paired by problem and seed",
        ),
        provers_table(
            "Provers of the same base at equal training",
            {
                "paid for correct answers alone": e.paid,
                "helpful, last round": helpful,
                "helpful, shuffled labels": blind,
                "sneaky, shuffled labels": prover(e.blind, SNEAKY),
            },
        ),
    )


def sizes(e: Evidence) -> Part:
    """Show the first round with other heads."""
    rows = {
        f"{hidden} hidden units: {role}": prover(games, role, 0)
        for hidden, games in sorted(e.sizes.items())
        for role in (HELPFUL, SNEAKY)
    }
    return part(
        "Size of the verifier's head",
        "The base that the verifier reads with stays the same; 0 hidden units is a linear head.",
        provers_table("First round, by size", rows),
    )


def provers_table(title: str, rows: Mapping[str, Prover]) -> Table:
    """Show what several provers answer, and what verifier and checkers make of it."""
    return table_of(title, {name: columns(one) for name, one in rows.items()}, of="responses of")


def columns(found: Prover) -> dict[str, Cell]:
    """Column -> cell."""
    return {
        "correct answers": found.share("correct"),
        "all steps correct": found.share("sound"),
        "wrong and convincing": found.share("fooled"),
        "verifier's AUROC": ranking(found),
        "its probability minus truth": found.overpaid,
        "checker right, 1 step": found.share("checked"),
        "checker right, 2 steps": found.share("checked_twice"),
        "steps to exploit": found.exploit,
    }
