"""What a page says of an audit that stops early, or that could have stopped early."""

from __future__ import annotations

from superalign.report.words import interval, number
from superalign.trials.in_order import Early
from superalign.trials.stopping import Savings
from superalign.types import Interval, Unmeasured


def in_words(early: Early) -> str:
    """Say in which order the model was asked, where that stopped and what it saved."""
    order = ", ".join(c.name for c in early.order)
    text = f"Asked in the registered order, the cheapest first ({order}). "
    if not early.unasked:
        return text + f"All were needed: {early.ended.why}, and {number(early.ended.cost_tokens)} tokens were spent."
    saved = early.saved
    cost = (
        f"would have spent about {number(round(saved.value))} more ({number(round(saved.low))} to {number(round(saved.high))}, "
        f"as on {saved.n} subjects whose truth is known)"
        if isinstance(saved, Interval)
        else "would have spent more"
    )
    left = ", ".join(c.name for c in early.unasked)
    return (
        f"{text}It was settled after {len(early.asked)} of {len(early.order)}: {early.ended.why}. "
        f"{number(early.ended.cost_tokens)} tokens were spent; {left} {cost}. What they would have said is not known; without "
        "stop_early all are asked."
    )


def could_have(saved: Savings | Unmeasured) -> str:
    """Say what stopping early would have spent on the subjects whose truth is known."""
    if isinstance(saved, Unmeasured) or isinstance(saved.share, Unmeasured):
        return "Whether an audit could have stopped early cannot be told."
    flagged = f", {interval(saved.flagged)} on those that it flags" if isinstance(saved.flagged, Interval) else ""
    return (
        "An audit that stops as soon as nothing to come can change the outcome (stop_early), cheap detectors first, would have "
        f"spent {interval(saved.share)} of the tokens on these subjects{flagged}, and said something else of "
        f"{len(saved.changed)} of {saved.share.n}."
    )
