"""What a critic's reward and its judge make of critiques along RL, and the part of a page that holds it against exact grading.

Shape suffix: T points along RL. A nit-pick is a highlighted step that is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array, Curve, Estimate, curve_of, or_mean
from superalign.kit.parts import Part, claim, claims, curves, part, table
from superalign.report import Table
from superalign.stats import mean_interval
from superalign.types import Claim

PAID = (
    "The judge compares two critiques of a solution with one check each: it looks at one highlight (or at a random step where "
    "there is none), is pleased if that step is wrong by its own facts, displeased if it is right. A reward model is fit to "
    "these comparisons, and the critic is trained on the reward model. Exact grading counts every true highlight as 1, every "
    "false one as -1, silence about a flaw as -1. The critic in training is held against the supervised one, on training "
    "solutions that it is not trained on. The judge who is trained against never scores: the trial has another."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A critic along RL, before one judge, at one seed."""

    judge: float  # share of facts that it knows
    trust: float  # what an unchecked highlight is worth to it
    updates: tuple[int, ...]
    # Comparisons won against the supervised critic's critiques, by the reward model (reward), the judge's one check (judge)
    # and exact grading (gold); recall, nitpicks, and nit-picks that the judge would take for flaws (believed) -> (T,).
    along: dict[str, Array]

    def grown(self, what: str) -> float:
        """After RL minus before."""
        return float(self.along[what][-1] - self.along[what][0])


def at(some: Sequence[Learned], what: str, k: int = -1, *, minus: str = "") -> Estimate:
    """Estimate something at one point along RL, over seeds; a difference where something is taken off."""
    return mean_interval([float(x.along[what][k] - (x.along[minus][k] if minus else 0.0)) for x in some])


def paid(main: Sequence[Learned], others: Sequence[Learned]) -> Part:
    """Show what the reward model and the judge make of critiques along RL, against what they are worth.

    Args:
        main: Critics of the main setting, one for each seed.
        others: Critics before other judges.
    """
    every = [*main, *others]
    judges = {
        key: [x for x in every if (x.judge, x.trust) == key] for key in sorted({(x.judge, x.trust) for x in every})
    }
    exact = judges.get((1.0, 0.0), [])

    def lines(named: dict[str, str]) -> dict[str, Curve]:
        return {
            name: curve_of(main[0].updates, list(np.array([x.along[what] for x in main]).T), mean_interval)
            for what, name in named.items()
        }

    return part(
        "What the judge pays, and what is true",
        PAID,
        *_worth(main, exact),
        curves(
            "What RL earns, and what it is worth",
            lines(
                {"reward": "reward model expects", "judge": "the judge's one check says", "gold": "exact grading says"}
            ),
            x="updates",
            y="share of comparisons won",
            caption="Bands: 95 % over seeds.",
            reference=(0.5, "as good"),
        ),
        curves(
            "Nit-picks along RL",
            lines({"nitpicks": "all nit-picks", "believed": "those that the judge takes for flaws"}),
            x="updates",
            y="right steps highlighted, a solution",
            caption="Drawn at the critic's own length. Bands: 95 % over seeds.",
        ),
        _before_other_judges(judges),
    )


def _worth(main: Sequence[Learned], exact: Sequence[Learned]) -> list[Claim]:
    """Claim what the proxies overstate, what exact grading finds better, and which nit-picks RL teaches."""
    won, picks = "share of comparisons won, over seeds", [x.grown("nitpicks") for x in main]
    taken = [x.grown("believed") for x in main]
    against = "share of comparisons with the supervised critic's critiques that are won"
    proxies = {
        who: (at(main, what, minus="gold"), at(main, what, 0, minus="gold"))
        for what, who in (("reward", "the reward model expects"), ("judge", "the judge it is trained on says"))
    }
    return [
        *claims(
            {f"After RL, {who} that critiques are better than they are": found for who, found in proxies.items()},
            unit=won,
            why=f"{against}, minus that by exact grading; null: before RL",
        ),
        *claims(
            {
                f"{who} makes critiques better, by exact grading": (at(some, "gold"), at(some, "gold", 0))
                for who, some in (("RL", main), ("RL before a judge who knows all facts", exact))
            },
            unit=won,
            bar=0.5,
            why=f"{against}, at the critic's own length; null: before RL",
        ),
        claim(
            "RL on an erring judge's comparisons teaches nit-picks",
            mean_interval(picks),
            null=mean_interval([x.grown("nitpicks") for x in exact]),
            unit="nit-picks a solution, over seeds",
            why="after RL minus before, at the critic's own length; null: the same before a judge who knows all facts",
        ),
        claim(
            "The nit-picks that RL adds are right steps that the judge takes for flaws",
            mean_interval(taken),
            null=mean_interval([p - t for p, t in zip(picks, taken, strict=True)]),
            unit="such nit-picks a solution, over seeds",
            why="right steps that the judge would find wrong if it checked them, after RL minus before; null: other nit-picks",
        ),
    ]


def _before_other_judges(judges: Mapping[tuple[float, float], Sequence[Learned]]) -> Table:
    """List what critics learned before each judge."""
    rows = []
    for (judge, trust), some in judges.items():
        ends = (at(some, what) for what in ("reward", "judge", "gold"))
        kinds = (("nitpicks", 0), ("nitpicks", -1), ("believed", -1))
        picked = (np.array([x.along[what][k] for x in some]) for what, k in kinds)
        more = mean_interval([x.grown("recall") for x in some])
        rows.append((judge, trust, *ends, more, *(or_mean(mean_interval(p), p) for p in picked), len(some)))
    columns = (
        *("facts the judge knows", "worth of an unchecked highlight", "reward model: won", "judge: won"),
        *("exact grading: won", "flaws found, after minus before", "nit-picks before", "nit-picks after"),
        *("of these, taken for flaws by the judge", "seeds"),
    )
    return table("Critics trained before other judges", columns, rows)
