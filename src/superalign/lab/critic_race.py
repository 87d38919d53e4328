"""A race: planters are trained to be missed, critics are retrained on what they missed; what came out, and its part of a page.

Shape suffixes: P test items, S seeds. A nit-pick is a highlighted step that is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array, curve_of
from superalign.kit.parts import Part, claim, claims, curves, part, table
from superalign.report import Cell, Table
from superalign.stats import difference, mean_interval, mean_over, share
from superalign.types import Claim

OURS, CONTROL = "planter's flaws", "flaws by hand"  # what a critic is retrained on
CAUGHT = "share of flaws that the critic highlights"
RACE = (
    "A planter rewrites one symbol of one step of a right solution; the rest is worked on from there. It earns 1 if execution "
    "shows a flaw and the critic highlights no wrong step, and something for variety. Each round a planter is trained from "
    "nothing against the critic and measured on test problems; then the critic is retrained on all flaws so far, either the "
    "planters' or as many by hand. Critics are set anew each round to {:g} nit-picks a solution, on training problems. Edits "
    "that change no value are no flaws: {:.0%} of an untrained planter's, {:.0%} of those by hand. They are drawn again, and "
    "earn nothing."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What a planter's edits look like."""

    slots: dict[str, float]  # symbol -> share of edits that change it
    first_half: float  # share of edits
    different: float
    none: float  # share of first draws that are no flaws


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A critic of the race, and a planter that was trained against it."""

    arm: str
    round: int
    caught: dict[str, Array]  # whose flaws -> whether the critic highlights each
    nitpicks_P: Array
    looks: Looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """All rounds of both arms at one seed."""

    rounds: tuple[Round, ...]
    untrained: Looks

    @property
    def last(self) -> int:
        """The last round."""
        return max(r.round for r in self.rounds)


def rounds_of(e: Sequence[Race], arm: str, k: int) -> list[Round]:
    """Collect one round, over seeds."""
    return [r for race in e for r in race.rounds if (r.arm, r.round) == (arm, k)]


def caught_PS(e: Sequence[Race], arm: str, k: int, whose: str) -> np.ndarray:
    """Collect whether the critic of a round highlights each flaw."""
    return np.array([r.caught[whose] for r in rounds_of(e, arm, k)], float).T


def raced(e: Sequence[Race], *, nitpicks: float, no_flaws: float) -> Part:
    """Show how planters fare against critics that were retrained on their predecessors' flaws, or on flaws by hand.

    Args:
        e: One race for each seed.
        nitpicks: A solution, at which critics are set.
        no_flaws: Share of edits by hand that are no flaws.
    """
    last = e[0].last
    lines = {
        "fresh planter, retrained on planters' flaws": (OURS, "fresh"),
        "fresh planter, retrained on flaws by hand": (CONTROL, "fresh"),
        "untrained planter": (OURS, "untrained"),
        "flaws by hand": (OURS, "hand"),
    }
    none = float(np.mean([r.untrained.none for r in e]))
    return part(
        "A planter that is trained to be missed",
        RACE.format(nitpicks, none, no_flaws),
        *_claims(e),
        curves(
            "Share of flaws that the critic highlights, round by round",
            {
                name: curve_of(range(last + 1), [caught_PS(e, arm, k, whose) for k in range(last + 1)], share)
                for name, (arm, whose) in lines.items()
            },
            x="rounds of retraining",
            y=CAUGHT,
            caption="Each round trains a planter anew, then retrains the critic. Bands: 95 % over problems and seeds.",
        ),
        _rounds(e),
        _looks(e),
    )


def _claims(e: Sequence[Race]) -> list[Claim]:
    """Claim that planters learn to be missed, and what retraining on their flaws is worth."""

    def hits(arm: str, k: int, whose: str) -> np.ndarray:
        return caught_PS(e, arm, k, whose)

    last, two = e[0].last, "null: two planters, trained apart against the same first critic"
    first, end, other = hits(OURS, 0, "fresh"), hits(OURS, last, "fresh"), hits(CONTROL, last, "fresh")
    start, other_start = hits(OURS, 0, "untrained"), hits(CONTROL, 0, "fresh")
    closed, other_closed = hits(OURS, 1, "before") - first, hits(CONTROL, 1, "before") - other_start
    sharp = hits(OURS, 0, "sharp")
    by_hand = hits(OURS, last, "hand") - hits(CONTROL, last, "hand")
    gains = {
        "Retraining on a planter's flaws closes the hole more than retraining on as many by hand": mean_over(
            closed - other_closed, span=(-2.0, 2.0)
        ),
        f"After {last} rounds a fresh planter is caught more often than at first": difference(end - first),
        f"After {last} rounds a fresh planter is caught more often than after retraining on flaws by hand": difference(
            end - other
        ),
        "Retraining on planters' flaws finds more flaws by hand than retraining on as many flaws by hand": difference(
            by_hand
        ),
    }
    return [
        claim(
            "A trained planter's flaws are missed more than an untrained planter's",
            difference(start - first),
            null=difference(start - hits(OURS, 0, "blind")),
            unit=CAUGHT,
            why="flaws in the same test problems, untrained minus trained; null: untrained minus a planter trained on what the "
            "critic says of other edits",
        ),
        *claims(
            {name: (gain, difference(first - other_start)) for name, gain in gains.items()},
            unit=CAUGHT,
            why="flaws in the same test problems, as many to retrain on in both arms; the hole: the first planter's flaws, "
            f"retrained critic minus first critic, in one arm minus the other; {two}",
        ),
        claim(
            f"After {last} rounds a fresh planter that need not vary is caught more often than at first",
            difference(hits(OURS, last, "sharp") - sharp),
            null=difference(sharp - hits(CONTROL, 0, "sharp")),
            unit=CAUGHT,
            why=f"a planter that earns almost nothing for variety; {two}",
        ),
    ]


def _rounds(e: Sequence[Race]) -> Table:
    """List both arms, round by round."""
    whose = {
        "hand": "flaws by hand",
        "untrained": "untrained planter",
        "before": "planter of the round before",
        "fresh": "fresh planter",
        "sharp": "fresh planter that need not vary",
    }
    rows = []
    for arm in (OURS, CONTROL):
        for k in range(e[0].last + 1):
            some = rounds_of(e, arm, k)
            found = (share(caught_PS(e, arm, k, w)) if w in some[0].caught else "" for w in whose)
            picks = mean_over(np.array([r.nitpicks_P for r in some]).T)
            rows.append((arm, k, *found, picks, mean_interval([r.looks.none for r in some])))
    columns = ("retrained on", "round", *whose.values(), "nit-picks a solution", "edits that are no flaws")
    return table("Share of flaws that the critic highlights", columns, rows)


def _looks(e: Sequence[Race]) -> Table:
    """List which symbols planters change, and where."""
    named = {"untrained": [r.untrained for r in e]}
    named |= {f"trained, round {k}": [r.looks for r in rounds_of(e, OURS, k)] for k in (0, e[0].last)}
    slots = list(e[0].untrained.slots)
    rows = list[tuple[Cell, ...]]()
    for name, some in named.items():
        shares = [float(np.mean([x.slots[slot] for x in some])) for slot in slots]
        half, different = (float(np.mean([getattr(x, what) for x in some])) for what in ("first_half", "different"))
        rows.append((name, *shares, half, different))
    columns = ("planter", *(f"changes the {s}" for s in slots), "in the first half", "different edits")
    return table("What planters' flaws look like", columns, rows)
