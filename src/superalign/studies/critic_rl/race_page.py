"""The race of the critics study on a page: fresh planters against a critic, and the critic retrained on their flaws.

Shape suffixes: P items, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from superalign.report import Plot, Section, Table
from superalign.report.claims import above
from superalign.stats import difference, mean_interval, mean_over, share
from superalign.studies.critic_rl.bench import LENGTH, SLOTS
from superalign.types import Claim, Interval, Unmeasured

Told = Mapping[str, Any]
OURS, CONTROL = "planter's flaws", "flaws by hand"
UNIT = "share of flaws that the critic highlights"


def _caught(main: Sequence[Told], arm: str, r: int, of: str) -> np.ndarray:
    """Whether the critic of a round highlights each flaw, (P, S)."""
    return np.array([_row(d, arm, r)[of] for d in main]).T


def _row(told: Told, arm: str, r: int) -> Told:
    (row,) = [x for x in told["race"]["rows"] if x["arm"] == arm and x["round"] == r]
    found: Told = row
    return found


def race_part(main: Sequence[Told], nitpicks: float) -> tuple[list[Claim], Section]:
    """How planters fare against critics that were retrained on their predecessors' flaws, or on flaws by hand."""
    last = max(r["round"] for r in main[0]["race"]["rows"])
    first = {of: _caught(main, OURS, 0, of) for of in ("fresh", "untrained", "blind", "hand", "sharp")}
    chance = difference(first["fresh"] - _caught(main, CONTROL, 0, "fresh"))
    end = {arm: _caught(main, arm, last, "fresh") for arm in (OURS, CONTROL)}
    closed = {a: _caught(main, a, 1, "before") - _caught(main, a, 0, "fresh") for a in (OURS, CONTROL)}
    sharp = {arm: _caught(main, arm, last, "sharp") for arm in (OURS, CONTROL)}
    two = "null: two planters, trained apart against the same first critic"
    claims = [
        above("A trained planter's flaws are missed more than an untrained planter's",
              difference(first["untrained"] - first["fresh"]),
              unit=UNIT, null=difference(first["untrained"] - first["blind"]), bar=0.0,
              why="flaws in the same test problems, untrained minus trained; null: untrained minus a planter trained as "
              "long on what the critic says of other edits"),
        above("Retraining on a planter's flaws closes the hole more than retraining on as many by hand",
              mean_over(closed[OURS] - closed[CONTROL], span=(-2.0, 2.0)), unit=UNIT, null=chance, bar=0.0,
              why=f"first planter's flaws on test problems, retrained critic minus first critic, minus the same for the "
              f"other arm; {two}"),
        above(f"After {last} rounds a fresh planter is caught more often than at first", difference(end[OURS] - first["fresh"]),
              unit=UNIT, null=chance, bar=0.0, why=f"a planter trained anew against each critic; {two}"),
        above(f"After {last} rounds a fresh planter is caught more often than after retraining on flaws by hand",
              difference(end[OURS] - end[CONTROL]), unit=UNIT, null=chance, bar=0.0, why=f"as many flaws in both arms; {two}"),
        above(f"After {last} rounds a fresh planter that need not vary is caught more often than at first",
              difference(sharp[OURS] - first["sharp"]), unit=UNIT,
              null=difference(first["sharp"] - _caught(main, CONTROL, 0, "sharp")), bar=0.0,
              why=f"a planter that earns almost nothing for variety; {two}"),
        above("Retraining on planters' flaws finds more flaws by hand than retraining on as many flaws by hand",
              difference(_caught(main, OURS, last, "hand") - _caught(main, CONTROL, last, "hand")), unit=UNIT, null=chance,
              bar=0.0, why=f"flaws by hand in test solutions, critics of the last round; {two}"),
    ]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for name, arm, of in (
        ("fresh planter, retrained on planters' flaws", OURS, "fresh"),
        ("fresh planter, retrained on flaws by hand", CONTROL, "fresh"),
        ("untrained planter", OURS, "untrained"), ("flaws by hand", OURS, "hand"),
    ):  # fmt: skip
        for r in range(last + 1):
            x = _caught(main, arm, r, of)
            found = share(x)
            row = {"series": name, "x": r, "y": float(x.mean())}
            rows.append(row if isinstance(found, Unmeasured) else row | {"low": found.low, "high": found.high})
    plot = Plot(
        kind="line", title="Share of flaws that the critic highlights, round by round", x="rounds of retraining", y=UNIT,
        rows=tuple(rows), caption="Each round trains a planter anew against the critic, then retrains the critic. Bands: "
        "95 % over problems and seeds.",
    )  # fmt: skip
    none = int(main[0]["equivalent by hand"])
    by_hand = none / (none + len(first["hand"]))
    text = (
        "A planter rewrites one symbol of one step of a right solution; the rest is worked on from there. It earns 1 if "
        "execution shows a flaw and the critic highlights no wrong step, and something for variety. Each round a planter is "
        "trained from nothing against the critic and measured on test problems; then the critic is retrained on all flaws so "
        f"far, either the planters' or as many by hand. Critics are set anew each round to {nitpicks:g} nit-picks a solution, "
        "on training problems. Edits that change no value are no flaws: "
        f"{np.mean([d['race']['base']['none'] for d in main]):.0%} of an untrained planter's, {by_hand:.0%} of those by hand. "
        "They are drawn again, and earn a planter nothing."
    )
    return claims, Section(
        title="A planter that is trained to be missed",
        text=text,
        plots=(plot,),
        tables=(_rounds(main, last), _looks(main, last)),
    )


def _rounds(main: Sequence[Told], last: int) -> Table:
    def cell(arm: str, r: int, of: str) -> Interval | Unmeasured | str:
        return "" if _row(main[0], arm, r)[of] is None else share(_caught(main, arm, r, of))

    return Table(
        title="Share of flaws that the critic highlights",
        columns=("retrained on", "round", "flaws by hand", "untrained planter", "planter of the round before", "fresh planter",
                 "fresh planter that need not vary", "nit-picks a solution", "edits that are no flaws"),
        rows=tuple(
            (
                arm, r, *(cell(arm, r, of) for of in ("hand", "untrained", "before", "fresh", "sharp")),
                mean_over(_caught(main, arm, r, "nitpicks")), mean_interval([_row(d, arm, r)["none"] for d in main]),
            )
            for arm in (OURS, CONTROL)
            for r in range(last + 1)
        ),
    )  # fmt: skip


def _looks(main: Sequence[Told], last: int) -> Table:
    """Which symbols planters change, and where."""
    some = [("untrained", [d["race"]["base"] for d in main])]
    some += [(f"trained, round {r}", [_row(d, OURS, r) for d in main]) for r in (0, last)]
    rows: list[tuple[Any, ...]] = []
    for name, told in some:
        slots, steps = (np.mean([t[k] for t in told], axis=0) for k in ("slots", "steps"))
        half = LENGTH // 2
        rows.append(
            (name, *(float(s) for s in slots), float(steps[:half].sum()), float(np.mean([t["kinds"] for t in told])))
        )
    return Table(
        title="What planters' flaws look like",
        columns=("planter", *(f"changes the {s}" for s in SLOTS), "in the first half", "different edits"),
        rows=tuple(rows),
    )
