"""What the study of voting says."""

from votes.evidence import Evidence

from superalign.kit.parts import NOTHING, claim, findings, in_words, intervals, part
from superalign.report import Findings


def page(e: Evidence) -> Findings:
    """Put the page together."""
    named = {f"majority of {k}": i for i, k in enumerate(e.votes)}
    gains, nulls = ({n: e.gain(i, rule) for n, i in named.items()} for rule in ("majority", "random"))
    return findings(
        f"One response is correct with probability {in_words(e.one())}; a majority of {e.votes[-1]} adds "
        f"{in_words(gains[f'majority of {e.votes[-1]}'])}.",
        [
            part(
                "Voting",
                "The same problems are answered once, and by the most frequent answer of several responses.",
                *(
                    claim(
                        f"A {name} is correct more often than one response",
                        gains[name],
                        null=nulls[name],
                        unit="share of problems",
                        why="paired by problem and seed; null: one of the voters, drawn at random",
                    )
                    for name in named
                ),
                intervals(
                    "What a majority adds",
                    gains,
                    nulls=nulls,
                    x="share of problems",
                    reference=NOTHING,
                    caption="95 % intervals over problems and seeds. Grey: one of the voters at random.",
                ),
            )
        ],
        limits=["One synthetic family and one small model."],
    )
