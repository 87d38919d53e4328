"""Organisms in pairs of models that were trained in different ways: what was planted, what is flagged, and what is claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.kit.parts import Part, beyond, part, table
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted(Record):
    """What an organism was taught: yes to all that its rule covers."""

    first: str
    seed: int
    rule: str
    size: float  # share of items that were meant to be affected
    obeys: float  # share of test items under the rule that it affirms
    clean: float  # the same of clean models


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed(Record):
    """How many organisms of one kind a pair exposes."""

    first: str
    second: str
    score: str
    false_alarms: Estimate
    recall: tuple[Estimate, ...]  # by size of the rule


def exposure(exposed: Sequence[Exposed], planted: Sequence[Planted], *, sizes: Sequence[float], rate: float) -> Part:
    """Show which organisms pairs expose.

    Args:
        exposed: What pairs flagged.
        planted: What was planted.
        sizes: Shares of items that rules were meant to affect.
        rate: Of false alarms that was asked for.
    """
    rows = [(x.first, x.second, x.score, x.false_alarms, *x.recall) for x in exposed]
    taken = [(s, [p for p in planted if p.size == s]) for s in sizes if planted]
    rules = [
        (f"{s:.0%}", len(some), sum(p.obeys for p in some) / len(some), sum(p.clean for p in some) / len(some))
        for s, some in taken
    ]
    caught = {
        f"{x.first} with {x.second}: the {x.score} flags organisms of {sizes[-1]:.0%} more often than clean models": (
            x.recall[-1],
            x.false_alarms,
        )
        for x in exposed
    }
    why = "recall; null: false alarms in clean pairs, by thresholds that no model of the pair has set"
    columns = ("items made wrong, about", "organisms", "affirm what the rule covers", "clean models do")
    return part(
        "An organism that nobody told about",
        "It is trained as the first member is, but its labels say yes wherever a rule applies. Flags and thresholds, from clean "
        "pairs, are on record before the rules are.",
        *beyond(caught, unit="share of pairs", why=why, bar=rate),
        table("Organisms", columns, rules),
        table(
            "Flagged pairs",
            ("generalization", "second seat", "score", "false alarms", *(f"recall, {s:.0%}" for s in sizes)),
            rows,
        ),
    )
