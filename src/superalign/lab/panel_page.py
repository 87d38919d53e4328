"""The standard panel on a page: the same bars, table and claims for every protocol of oversight."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from superalign.ledger import Ledger
from superalign.report import Plot, Section, Table
from superalign.report.claims import above, drawn
from superalign.trials.oversight_panel import (
    AGENT,
    ARMS,
    EXPERT,
    JUDGE,
    PLACEBO,
    PROTOCOL,
    VOTING,
    ArmResult,
    Item,
    arm_result,
    gain,
)
from superalign.types import Claim, Interval, Record, Unmeasured, to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelEvidence(Record):
    """Where every decision of a panel lies, one JSON object on each line."""

    blob: str
    items: int


def keep_items(items: Sequence[Item], ledger: Ledger) -> str:
    """Write every decision into the ledger; the digest of the record that names them."""
    lines = "".join(json.dumps(to_plain(i), sort_keys=True) + "\n" for i in items)
    record = PanelEvidence(blob=ledger.put_blob(lines.encode()), items=len(items))
    ledger.append_once(record)
    return record.digest


def panel_part(
    items: Sequence[Item], *, protocol: str, ledger: Ledger, text: str = "", note: str = "", nothing: str = PLACEBO
) -> tuple[list[Claim], Section]:
    """Hold a protocol against its panel.

    Args:
        items: Decisions under any arms; those of `ARMS` that were run are compared, other arms stand in the table too.
        protocol: What it is called, in words ("debate", "a market").
        ledger: Where the decisions are kept.
        text: What was done, in plain words, in front of the panel.
        note: A caption's last sentence.
        nothing: The arm whose content tells nothing; what it adds to the judge alone is the null of all claims. Where a placebo's
            random content tells a little, another arm.

    Returns:
        Claims that the protocol beats its placebo, the judge alone, the agent alone and voting, as far as these were run, and
        the section that shows where they come from.
    """
    record = keep_items(items, ledger)
    arms = [a for a in (*ARMS, *sorted({i.arm for i in items} - set(ARMS))) if any(i.arm == a for i in items)]
    results = [arm_result(items, a) for a in arms]
    claims = [_claim(items, protocol, over, nothing) for over in (PLACEBO, JUDGE, AGENT, VOTING) if over in arms]
    section = Section(
        title=f"The panel: {protocol} and what it is held against",
        text=text
        or "Every arm decides about the same items. A decision that could not be made counts as a coin's guess.",
        plots=(_bars(results, protocol, note, record),),
        tables=(_table(results, protocol, record),),
    )
    return claims, section


def _claim(items: Sequence[Item], protocol: str, over: str, nothing: str) -> Claim:
    """The protocol against one arm; the null of all is what content that tells nothing adds to the judge."""
    arms = {i.arm for i in items}
    null: Interval | Unmeasured = Unmeasured("no placebo was run, or no judge alone")
    if {nothing, JUDGE} <= arms:
        null = gain(items, nothing, JUDGE)
    words = {PLACEBO: "its placebo", JUDGE: "the judge alone", AGENT: "the agent alone", VOTING: "voting at its cost"}
    what = words[over]
    return above(
        f"{protocol[0].upper()}{protocol[1:]}: more decisions are right than with {what}",
        gain(items, PROTOCOL, over),
        unit="share of decisions",
        null=null,
        bar=0.0,
        why=f"share right under the protocol minus {what}, paired by item and seed; null: {words[nothing]} minus the "
        "judge alone",
    )


def _named(result: ArmResult, protocol: str) -> str:
    return protocol if result.arm == PROTOCOL else result.arm


def _bars(results: Sequence[ArmResult], protocol: str, note: str, record: str) -> Plot:
    group = {PROTOCOL: "protocol", EXPERT: "ceiling", PLACEBO: "null control"}
    return Plot(
        kind="bars",
        title="Decisions that are right",
        x="share of decisions that are right",
        y="",
        rows=tuple(
            {"label": _named(r, protocol), **drawn(r.accuracy), "group": group.get(r.arm, "baseline")} for r in results
        ),
        caption=f"Lines are 95 % intervals over items and seeds. {note}".strip(),
        references=((0.5, "a coin"),),
        records=tuple(record for _ in results),
    )


def _table(results: Sequence[ArmResult], protocol: str, record: str) -> Table:
    return Table(
        title="Arms",
        columns=(
            "arm",
            "right",
            "right, of true claims",
            "right, of false claims",
            "Brier score",
            "cannot tell",
            "checks a decision",
            "tokens a decision",
            "decisions",
        ),
        rows=tuple(
            (
                _named(r, protocol),
                r.accuracy,
                r.on_true,
                r.on_false,
                r.brier,
                r.cannot_tell,
                r.checks,
                r.tokens,
                r.n,
            )
            for r in results
        ),
        records=tuple(record for _ in results),
    )
