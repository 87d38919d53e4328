"""What a person in the judge's seat decided, and the page that shows it: arms hold different responses, so nothing is paired."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.kit.panel import Decisions
from superalign.kit.parts import bars, claim, findings, part, table
from superalign.lab.people import apart
from superalign.report import Cell, Findings
from superalign.stats import share
from superalign.trials import AGENT, JUDGE, Item
from superalign.types import Claim, Unmeasured

UNIT, HOW = "share of decisions", "arms drawn at random, one response each; Welch's interval"
MEANS = "One person is one draw of all people: the intervals speak of responses, not of other judges."
LIMITS = ("One person judged. Nothing here says how others would.",)
NOBODY_DRAWN = Unmeasured("no response was drawn into this arm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assisted:
    """A protocol that a person was shown: what it is called, the arm of its decisions, and that of its placebo's."""

    name: str
    arm: str
    placebo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePerson:
    """Decisions of a person, each response under one arm, and of the agent about all of them."""

    decisions: Decisions
    protocols: tuple[Assisted, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        """The person's arms."""
        return (JUDGE, *(arm for p in self.protocols for arm in (p.arm, p.placebo)))

    def under(self, arm: str) -> list[Item]:
        """Return every decision of an arm."""
        return [i for i in self.decisions.items if i.arm == arm]

    def more(self, arm: str, over: str) -> Estimate:
        """Measure how many more decisions are right under one arm than under another."""
        return apart({a: [i.right for i in self.under(a)] for a in (arm, over)}, arm, over)

    def closer(self, arm: str, than: str) -> Estimate:
        """Measure how much smaller the squared error of the stated probability is under one arm than under another."""
        return apart({a: [_squared(i) for i in self.under(a)] for a in (arm, than)}, than, arm)

    def right(self, arm: str) -> Estimate:
        """Return the share of an arm's decisions that are right."""
        some = self.under(arm)
        return share([i.right for i in some]) if some else NOBODY_DRAWN


def person_page(e: OnePerson, *, text: str) -> Findings:
    """Put a study with a person in the judge's seat together.

    Args:
        e: What was decided.
        text: What was done, in plain words.
    """
    arms = (*e.shown, AGENT)
    groups = {p.arm: "protocol" for p in e.protocols} | {p.placebo: "null control" for p in e.protocols}
    why = [i.probability.why for a in e.shown for i in e.under(a) if isinstance(i.probability, Unmeasured)]
    silent = table("Decisions that were not made", ("why", "count"), [(w, why.count(w)) for w in dict.fromkeys(why)])
    records = [e.decisions.record for _ in arms]
    one = part(
        "One person",
        text,
        *(made for p in e.protocols for made in _claims(e, p)),
        bars(
            "Decisions that are right",
            {a: e.right(a) for a in arms},
            x="share of decisions that are right",
            groups={a: groups.get(a, "baseline") for a in arms},
            caption="95 % intervals over responses; what was not decided counts half.",
            reference=(0.5, "a coin"),
            records=records,
        ),
        table(
            "Arms",
            ("arm", "right", "Brier score", "not made", "responses"),
            [_row(e, a) for a in arms],
            records=records,
        ),
        *([silent] if why else []),
    )
    first = one.claims[0]
    told = "could not be measured in"
    if not isinstance(first.value, Unmeasured):
        told = f"{first.value:+.0%} [{first.low:+.0%}, {first.high:+.0%}]"
    headline = f"One person with {e.protocols[0].name} against alone: {told} right decisions."
    return findings(headline, [one], means=MEANS, limits=LIMITS)


def _claims(e: OnePerson, p: Assisted) -> list[Claim]:
    nothing = e.more(p.placebo, JUDGE)
    against = (
        ("alone", JUDGE, nothing, "; null: what was said of other responses"),
        ("with its placebo", p.placebo, nothing, "; null: the placebo against nothing said"),
        ("the agent's own", AGENT, e.more(p.placebo, AGENT), ", against the agent's own on all responses"),
    )
    more = [
        claim(
            f"With {p.name} more decisions are right than {over}", e.more(p.arm, a), unit=UNIT, null=null, why=HOW + why
        )
        for over, a, null, why in against
    ]
    better = claim(
        f"With {p.name} stated probabilities are better than alone",
        e.closer(p.arm, JUDGE),
        unit="Brier score, before minus after",
        null=e.closer(p.placebo, JUDGE),
        why="squared error of the stated probability, alone minus after",
    )
    return [*more, better]


def _row(e: OnePerson, arm: str) -> tuple[Cell, ...]:
    some = e.under(arm)
    missing = sum(isinstance(i.probability, Unmeasured) for i in some)
    error = share([_squared(i) for i in some]) if some else NOBODY_DRAWN
    return (arm, e.right(arm), error, missing, len(some))


def _squared(item: Item) -> float:
    return ((0.5 if isinstance(item.probability, Unmeasured) else item.probability) - item.truth) ** 2
