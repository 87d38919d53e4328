"""The page of a study whose judge is a person: arms hold different responses, so nothing is paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from superalign.lab.panel import keep_decisions
from superalign.lab.people import apart
from superalign.ledger import Ledger
from superalign.report import Findings, Plot, Section, Table
from superalign.report.claims import above, drawn
from superalign.stats import share
from superalign.trials import AGENT, JUDGE, Item
from superalign.types import Claim, Unmeasured


def person_page(
    items: Sequence[Item], *, protocols: Sequence[tuple[str, str, str]], text: str, ledger: Ledger
) -> Findings:
    """Put a study with a person in the judge's seat together.

    Args:
        items: Decisions of the person, each response under one arm, and of the agent about all of them.
        protocols: What each is called, the arm of its decisions, and that of its placebo's.
        text: What was done, in plain words.
        ledger: Where decisions are kept.
    """
    record = keep_decisions(items, ledger).record
    shown = (JUDGE, *(arm for _, *both in protocols for arm in both))
    by_arm = {a: [i for i in items if i.arm == a] for a in (*shown, AGENT)}
    claims = tuple(c for name, arm, placebo in protocols for c in _claims(by_arm, name, arm, placebo))
    rows = tuple(_row(a, by_arm[a]) for a in by_arm)
    group = {arm: "protocol" for _, arm, _ in protocols} | {p: "null control" for *_, p in protocols}
    plot = Plot(
        kind="bars", title="Decisions that are right", x="share of decisions that are right", y="",
        rows=tuple({"label": str(r[0]), **drawn(r[1]), "group": group.get(str(r[0]), "baseline")} for r in rows),
        caption="95 % intervals over responses; what was not decided counts half.", references=((0.5, "a coin"),),
        records=(record,) * len(rows),
    )  # fmt: skip
    columns = ("arm", "right", "Brier score", "not made", "responses")
    arms = Table(title="Arms", columns=columns, rows=rows, records=(record,) * len(rows))
    why = [i.probability.why for i in items if i.arm in shown and isinstance(i.probability, Unmeasured)]
    silent = Table(
        title="Decisions that were not made",
        columns=("why", "count"),
        rows=tuple((w, why.count(w)) for w in dict.fromkeys(why)),
    )
    first = claims[0]
    told = "could not be measured in"
    if not isinstance(first.value, Unmeasured):
        told = f"{first.value:+.0%} [{first.low:+.0%}, {first.high:+.0%}]"
    return Findings(
        headline=f"One person with {protocols[0][0]} against alone: {told} right decisions.",
        means="One person is one draw of all people: the intervals speak of responses, not of other judges.",
        claims=claims,
        sections=(Section(title="One person", text=text, plots=(plot,), tables=(arms, *([silent] if why else []))),),
        uncertain=("One person judged. Nothing here says how others would.",),
    )


def _claims(by_arm: Mapping[str, Sequence[Item]], name: str, arm: str, placebo: str) -> tuple[Claim, ...]:
    right = {a: [i.right for i in some] for a, some in by_arm.items()}
    wrong = {a: [_squared(i) for i in some] for a, some in by_arm.items()}
    unit, how = "share of decisions", "arms drawn at random, one response each; Welch's interval"
    return (
        above(f"With {name} more decisions are right than alone", apart(right, arm, JUDGE), unit=unit, bar=0.0,
              null=apart(right, placebo, JUDGE), why=f"{how}; null: what was said of other responses"),
        above(f"With {name} more decisions are right than with its placebo", apart(right, arm, placebo), unit=unit, bar=0.0,
              null=apart(right, placebo, JUDGE), why=f"{how}; null: the placebo against nothing said"),
        above(f"With {name} more decisions are right than the agent's own", apart(right, arm, AGENT), unit=unit, bar=0.0,
              null=apart(right, placebo, AGENT), why=f"{how}, against the agent's own on all responses"),
        above(f"With {name} stated probabilities are better than alone", apart(wrong, JUDGE, arm), bar=0.0,
              unit="Brier score, before minus after", null=apart(wrong, JUDGE, placebo),
              why="squared error of the stated probability, alone minus after"),
    )  # fmt: skip


def _row(arm: str, some: Sequence[Item]) -> tuple[Any, ...]:
    if not some:
        nothing = Unmeasured("no response was drawn into this arm")
        return (arm, nothing, nothing, 0, 0)
    missing = sum(isinstance(i.probability, Unmeasured) for i in some)
    return (arm, share([i.right for i in some]), share([_squared(i) for i in some]), missing, len(some))


def _squared(item: Item) -> float:
    return ((0.5 if isinstance(item.probability, Unmeasured) else item.probability) - item.truth) ** 2
