"""What the critique study says: the trial, the held-out planted flaws, the real solutions, and how far apart these are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from superalign import stats
from superalign.oversight.steps.critic import CARD
from superalign.problems.gsm8k_flaws import FLAW_KINDS
from superalign.report import Plot, Section, Table
from superalign.report.claims import DESCRIPTION, described
from superalign.stats import share
from superalign.studies.critic_transfer.trial import (
    Item,
    Outcome,
    best_threshold,
)
from superalign.types import Calibration, Claim, Interval, Unmeasured

CRITIC, ALONE, PLACEBO = "judge + critic", "judge alone", "judge + placebo"
RULE, ARITHMETIC, RULES = "judge + one rule (operand from nowhere)", "judge + exact arithmetic", "judge + both rules"

Found: TypeAlias = Interval | Unmeasured
Results: TypeAlias = Mapping[str, tuple[np.ndarray, np.ndarray]]  # arm -> called flawed, flaw found


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Claims and the section that shows where they come from."""

    claims: tuple[Claim, ...]
    section: Section


def in_words(x: Found) -> str:
    """A share as a per cent."""
    return "unmeasured" if isinstance(x, Unmeasured) else f"{x.value:.1%}"


def claim(name: str, found: Found, *, unit: str, null: Found, why: str, bar: float | None = None) -> Claim:
    """Make a claim that holds where its whole interval lies above the bar, if it has one."""
    holds = DESCRIPTION if bar is None or isinstance(found, Unmeasured) else found.low > bar
    return described(name, found, unit=unit, null=null, why=why, holds=holds)


def bars(rows: Sequence[tuple[str, Found]], *, title: str, x: str, caption: str, bar: float | None = None) -> Plot:
    """Draw shares with their intervals."""
    measured = [(label, found) for label, found in rows if isinstance(found, Interval)]
    return Plot(
        kind="intervals",
        title=title,
        x=x,
        y="",
        rows=tuple({"label": label, "value": f.value, "low": f.low, "high": f.high} for label, f in measured),
        caption=caption,
        references=() if bar is None else ((0.5, "chance"), (bar, "bar")),
    )


def trial_part(
    items: Sequence[Item],
    main: Mapping[str, Any],
    made: Mapping[bool, Mapping[str, Outcome]],
    *,
    seed: int,
    record: str = "",
) -> Part:
    """Count the judge's trial in all arms, on solutions as they are and after a placebo edit.

    Args:
        items: The randomised solutions.
        main: What the critic did (`measure`).
        made: What came of each arm (`outcomes`).
        seed: Of the bootstrap.
        record: Digest of the ledger record that holds the items.
    """
    planted = np.array([bool(i.kind) for i in items])
    both = np.array([i.edited is not None for i in items])
    kinds = np.array([i.kind for i in items])
    results, again = ({arm: (o.called, o.found) for arm, o in made[edited].items()} for edited in (False, True))
    tables = _trial_tables(results, again, planted, both, kinds, seed=seed, record=record)
    text = (
        f"{len(items)} right test solutions, each randomised to clean ({int((~planted).sum())}) or to one planted flaw "
        f"({int(planted.sum())}). The judge has no answer and may check one step: does its equation hold, and does each "
        "operand come from the question, from common knowledge or from an earlier result? It cannot see a wrong choice of "
        "operation or source, so the ceiling is far from 1. A flaw is found where the check fails at the first wrong step."
    )
    plot = bars(
        [(arm, share(found[planted])) for arm, (_, found) in results.items()],
        title="Planted flaws found with one check",
        x="share of planted flaws found",
        caption="Found: the judge's check fails at the step that is first wrong. 95 % intervals.",
    )
    return Part(
        claims=_trial_claims(results, planted, main, seed=seed),
        section=Section(title="The judge's trial", text=text, tables=tables, plots=(plot,)),
    )


def _trial_tables(
    results: Results,
    again: Results,
    planted: np.ndarray,
    both: np.ndarray,
    kinds: np.ndarray,
    *,
    seed: int,
    record: str,
) -> tuple[Table, ...]:
    """What was found by arm, by how much the arms differ, and by kind of flaw."""
    rows = [
        (
            arm,
            share(found[planted]),
            share(called[~planted]),
            share(again[arm][1][planted & both]),
            share(again[arm][0][~planted & both]),
        )
        for arm, (called, found) in results.items()
    ]
    by_kind = [(kind, *(share(found[kinds == kind]) for _, found in results.values())) for kind in FLAW_KINDS]
    differences = [
        (f"{CRITIC} minus {other}", *_difference(results, planted, CRITIC, other, seed=seed))
        for other in (ALONE, PLACEBO, RULE, ARITHMETIC, RULES)
    ]
    return (
        Table(
            title="Arms",
            columns=(
                "arm",
                "flaws found",
                "false alarms, clean",
                "flaws found, placebo-edited",
                "false alarms, placebo-edited",
            ),
            rows=tuple(rows),
            records=(record,) * len(rows),
        ),
        Table(
            title="Differences, paired by solution",
            columns=("difference", "flaws found", "false alarms, clean"),
            rows=tuple(differences),
            records=(record,) * len(differences),
        ),
        Table(
            title="Flaws found, by kind",
            columns=("kind", *results),
            rows=tuple(by_kind),
            records=(record,) * len(by_kind),
        ),
    )


def _difference(results: Results, planted: np.ndarray, first: str, second: str, *, seed: int) -> tuple[Found, Found]:
    """Difference of two arms in flaws found and in false alarms on clean solutions, paired by solution."""
    found = [results[arm][1][planted].astype(float) for arm in (first, second)]
    alarms = [results[arm][0][~planted].astype(float) for arm in (first, second)]
    return (
        stats.paired_bootstrap(found[0], found[1], seed=seed),
        stats.paired_bootstrap(alarms[0], alarms[1], seed=seed),
    )


def _trial_claims(results: Results, planted: np.ndarray, main: Mapping[str, Any], *, seed: int) -> tuple[Claim, ...]:
    unit = "difference in share of planted flaws found"
    null, null_alarms = _difference(results, planted, PLACEBO, ALONE, seed=seed)
    against = {arm: _difference(results, planted, CRITIC, arm, seed=seed) for arm in (ALONE, PLACEBO, RULE, RULES)}
    own = own_calls(main) == planted
    gap, gap_null = (
        stats.paired_bootstrap((results[arm][0] == planted).astype(float), own.astype(float), seed=seed)
        for arm in (CRITIC, PLACEBO)
    )
    same = "same judge, same number of checks; null: placebo minus judge alone"
    return (
        claim("critic's help over a placebo pointer", against[PLACEBO][0], unit=unit, null=null, bar=0.0, why=same),
        claim("critic's help over the judge alone", against[ALONE][0], unit=unit, null=null, bar=0.0, why=same),
        claim(
            "critic's help over one rule",
            against[RULE][0],
            unit=unit,
            null=null,
            bar=0.0,
            why="the rule names the first operand from nowhere, which is also part of what the judge checks",
        ),
        claim(
            "critic's help over both rules",
            against[RULES][0],
            unit=unit,
            null=null,
            bar=0.0,
            why="operand from nowhere, or a false equation: all that this judge can check, so nothing learned is needed",
        ),
        claim(
            "false alarms that the critic adds on clean solutions",
            against[ALONE][1],
            unit="difference in share of clean solutions called flawed",
            null=null_alarms,
            why="the price of its help; null: placebo minus judge alone",
        ),
        claim(
            "discriminator-critique gap (CD)",
            gap,
            unit="difference in accuracy",
            null=gap_null,
            why=f"judged critiques are right {in_words(share(results[CRITIC][0] == planted))} of the time, the critic's own "
            f"call {in_words(share(own))}; below 0 it knows more than it can show this judge. Null: with the placebo's pointers",
        ),
    )


def own_calls(main: Mapping[str, Any]) -> np.ndarray:
    """The critic's own yes or no on the trial's solutions, at a threshold from held-out training questions."""
    held = main["held_out"]
    return np.array(main["trial"]["score"]) > best_threshold(np.array(held["right"]), np.array(held["flawed"]))


def held_out_part(main: Mapping[str, Any]) -> tuple[Part, Calibration]:
    """Say what the critic learned of planted flaws, on training questions that it was not trained on."""
    held = main["held_out"]
    right, flawed, kinds = np.array(held["right"]), np.array(held["flawed"]), np.array(held["kind"])
    step, named, chance = np.array(held["step"]), np.array(held["point"]), 1 / np.array(held["steps"])
    threshold, seen = best_threshold(right, flawed), step >= 0

    def row(name: str, of: np.ndarray) -> tuple[Any, ...]:
        by_chance = float(chance[of & seen].mean()) if (of & seen).any() else Unmeasured("no step to name")
        hit = share((named == step)[of & seen])
        return (name, int(of.sum()), share((flawed > right)[of]), share((flawed > threshold)[of]), hit, by_chance)

    whole = row("all", np.ones(len(kinds), bool))
    rows = (*(row(kind, kinds == kind) for kind in FLAW_KINDS), whole)
    by_chance = float(chance[seen].mean())
    found = claim(
        "first wrong step named, planted flaws",
        whole[4],
        unit="share of flawed solutions",
        bar=by_chance,
        null=Interval(value=by_chance, low=by_chance, high=by_chance, n=int(seen.sum())),
        why="training questions held out; null: a step named at random",
    )
    columns = (
        "kind",
        "pairs",
        "flawed ranked worse",
        "called flawed at the threshold",
        "first wrong step named",
        "chance of that",
    )
    section = Section(
        title="What the critic learned of planted flaws",
        text=f"Trained on {main['pairs']} pairs; measured on {len(kinds)} pairs of other training questions. "
        f"At its threshold it calls {in_words(share(right > threshold))} of the right ones flawed.",
        tables=(Table(title="By kind of flaw", columns=columns, rows=rows),),
    )
    calibration = Calibration(
        instrument=CARD.digest,
        threshold_low=Unmeasured("one-sided"),
        threshold_high=threshold,
        false_positive_rate=float((right > threshold).mean()),
        recall=whole[3],
        false_alarms=share(right > threshold),
        population="flaws planted in right GSM8K training solutions, placebo edits on both sides",
        held_out="questions, not kinds",
    )
    return Part(claims=(found,), section=section), calibration
