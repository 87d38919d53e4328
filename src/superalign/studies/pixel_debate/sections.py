"""Parts of the digits study's page, and what a part is: search, the last word, other judges, two lies, and what the truth earns.

Shape suffixes: P images, S judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from superalign.oversight.pixels.debate import verdict
from superalign.problems import digits
from superalign.report import Plot, Section, Table
from superalign.report.claims import above
from superalign.stats import difference, paired_difference, share
from superalign.studies.pixel_debate.play import LIES, LIGHT, NINE, NINE_FIRST, ONE, layout, lies_of, strengths_of
from superalign.studies.pixel_debate.read import Played, alone, both_orders, both_ways, earned, mean_of
from superalign.trials.oversight_panel import agent_score_difference
from superalign.types import Claim, Interval, Unmeasured

Found: TypeAlias = Interval | Unmeasured
ORDERS = ("honest first", "liar first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Claims and the section that shows where they come from."""

    section: Section
    claims: tuple[Claim, ...] = ()


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]], record: str) -> Table:
    """A table whose numbers all come from one record."""
    return Table(title=title, columns=columns, rows=tuple(map(tuple, rows)), records=(record,) * len(rows))


def search(config: Any, played: Played, record: str) -> Part:
    """How strength of search moves who wins, equal and unequal."""
    names, k = strengths_of(config.simulations), played.pixels
    cells = {(h, w): both_orders(played, k, h, ONE, lying=w) for h in names for w in names}
    won = {pair: mean_of(both, "beats_PS") for pair, both in cells.items()}
    weak, strong = (f"tree {config.simulations[at]}" for at in (0, -1))
    nobody = cells["random", "random"]
    null = difference(nobody[0].beats_PS - nobody[1].beats_PS)
    claims = (
        above(
            "Whoever searches more wins more, on either side",
            difference(won[strong, weak] - won[weak, strong]), unit="share of debates won by the honest side",
            null=null, bar=0.0,
            why=f"honest {strong} against {weak}, minus honest {weak} against {strong}; null: two plays in which nobody searches",
        ),
        above(
            "Search on both sides favours the honest one",
            difference(won[strong, strong] - won["random", "random"]), unit="share of debates won by the honest side",
            null=null, bar=0.0, why=f"both {strong} minus both random; null: two plays in which nobody searches",
        ),
    )  # fmt: skip
    lines: list[dict[str, Any]] = [
        {"series": order, "x": float(np.log2(s)), "y": found.value, "low": found.low, "high": found.high}
        for s in config.simulations
        for order, one in zip(ORDERS, cells[f"tree {s}", f"tree {s}"], strict=True)
        if isinstance(found := share(one.beats_PS), Interval)
    ]
    plot = Plot(
        kind="line",
        title="Search of both sides, from weak to strong",
        x="positions looked at before a move, log2",
        y="share of debates that the honest side wins",
        rows=tuple(lines),
        references=tuple((float(won[d, d].mean()), f"both {d}") for d in ("random", "exact")),
        caption=f"Against one random lie, {config.sweep_images} images.",
        records=(record,),
    )
    rows = [(h, *(share(won[h, w]) for w in names)) for h in names]
    section = Section(
        title="How hard each side searches",
        text="Rows: how the honest side plays; columns: how the liar does; cells: the share of debates that the honest side "
        "wins, over both orders. Random shows any pixel; greedy the one after which the judge likes its claim best; tree N looks "
        f"at N positions before each move; exact is perfect. {config.sweep_images} images, one random lie each.",
        plots=(plot,),
        tables=(table("Strength against strength", ("honest side", *(f"liar {n}" for n in names)), rows, record),),
    )
    return Part(section=section, claims=claims)


def last_word(played: Played, record: str) -> Part:
    """Even and uneven numbers of pixels."""
    rows: list[tuple[Any, ...]] = []
    lines: list[tuple[str, int, Found]] = []
    for k in (2, 3, 4, 5, 6):
        for name in ("exact", "greedy", "random"):
            if not played.has(k, name, NINE_FIRST):
                continue
            first, last = both_orders(played, k, name, NINE, light=LIGHT if name == "exact" and k > 4 else 0)
            found = [share(t.beats_all_PS) for t in (first, last)]
            swing = difference(first.beats_all_PS - last.beats_all_PS)
            rows.append((k, name, *found, swing, len(first.beats_PS)))
            lines += [(order, k, f) for order, f in zip(ORDERS, found, strict=True) if name == "greedy"]
        lines.append(("judge alone", k, share(alone(played, k).beats_all_PS)))
    swing, null = (
        difference(first.beats_all_PS - last.beats_all_PS)
        for first, last in (both_orders(played, 3, name, NINE) for name in ("exact", "random"))
    )
    claim = above(
        "With an uneven number of pixels, to show the first and the last is an advantage",
        swing, unit="share of images", null=null, bar=0.0,
        why="three pixels, perfect play: all nine lies beaten where the honest side shows two of three, minus where the liar "
        "does; null: random debaters",
    )  # fmt: skip
    plot = Plot(
        kind="line",
        title="All nine lies beaten, greedy debaters",
        x="pixels",
        y="share of images",
        rows=tuple(
            {"series": s, "x": float(k), "y": f.value, "low": f.low, "high": f.high}
            for s, k, f in lines
            if isinstance(f, Interval)
        ),
        caption="With two, four and six pixels each side shows as many; with three and five the first shows one more.",
        records=(record,),
    )
    columns = ("pixels", "debaters", "honest first", "liar first", "difference", "images")
    section = Section(
        title="The last word",
        text="The share of images on which the right label beats all nine lies, by who shows the first pixel. Five and six "
        f"pixels are played perfectly on images of at most {LIGHT} non-blank pixels only.",
        plots=(plot,),
        tables=(table("Even and uneven", columns, rows, record),),
    )
    return Part(section=section, claims=(claim,))


def judges(played: Played, record: str) -> Part:
    """The judge that was searched against, another judge, and how sure each is."""
    k = played.pixels
    told = {
        (name, other): [alone(played, k, other=other)]
        if name == "random pixels"
        else both_orders(played, k, name, NINE, other=other)
        for name in ("random pixels", "random", "greedy", "exact")
        for other in (False, True)
    }
    right, sure, paid = ({who: mean_of(t, of) for who, t in told.items()} for of in ("beats_PS", "sure_PS", "paid_PS"))
    base, best = "random pixels", "exact"
    claims = (
        above(
            "A judge that nobody searched against gains from the debate too",
            difference(right[best, True] - right[base, True]), unit="share of lies beaten",
            null=difference(right["random", True] - right[base, True]), bar=0.0,
            why="perfect debates before one judge, decided by another, minus random pixels; null: random debaters",
        ),
        above(
            "The judge searched against decides better than a judge that was not",
            difference(right[best, False] - right[best, True]), unit="share of lies beaten",
            null=difference(right[base, False] - right[base, True]), bar=0.0,
            why="the same debates before both; null: the same random pixels before both",
        ),
        above(
            "The judge searched against pays the right label more than a judge that was not would",
            difference(paid[best, False] - paid[best, True]), unit="probability of the right label, of two",
            null=difference(paid[base, False] - paid[base, True]), bar=0.0,
            why="the same debates before both; null: the same random pixels before both",
        ),
        above(
            "After a debate the judge is surer than it is right",
            difference(sure[best, False] - right[best, False]), unit="probability minus share right",
            null=difference(sure[base, False] - right[base, False]), bar=0.0,
            why="the probability of the label that it believes, minus how often that is the right one; null: on random pixels",
        ),
    )  # fmt: skip
    rows = [
        (name, "another judge" if other else "the judge searched against", share(right[name, other]),
         share(sure[name, other]), difference(sure[name, other] - right[name, other]), played.images)
        for name, other in told
    ]  # fmt: skip
    columns = ("pixels shown by", "who decides", "lies beaten", "how sure it is", "surer than right", "images")
    section = Section(
        title="The judge searched against, and another",
        text="Debaters search against one judge's weights. Another judge, trained from another seed, reads the same pixels: what "
        "only the first believes was found in its weights and not in the image. Who was right is said by the image's label.",
        tables=(table("Judges", columns, rows, record),),
    )
    return Part(section=section, claims=claims)


def two_lies(played: Played, record: str) -> Part:
    """Neither debater is honest."""
    n = played.images
    gap_PS, knows_PS = _leaning(played, LIES, np.arange(n))
    some = digits.images("test", n=n)
    lies_P2 = lies_of(some.ink_PX, some.label_P, seed=played.seed)
    honest = [
        _leaning(played, NINE_FIRST, 9 * np.arange(n) + lies_P2[:, i] - (lies_P2[:, i] > some.label_P)) for i in (0, 1)
    ]
    claim = above(
        "The judge leans further where one of two labels is right than where neither is",
        share(np.mean([np.abs(one[0]) > np.abs(gap_PS) for one in honest], axis=0)), unit="share of images",
        null=share((np.abs(honest[0][0]) > np.abs(honest[1][0])).astype(float)), bar=0.5,
        why="perfect play, one image debated both ways, against each of the two lies; null: the two debates with the right label",
    )  # fmt: skip
    rows = []
    for name, (gap, knows) in (("two lies", (gap_PS, knows_PS)), ("the right label and a lie", honest[0])):
        sure = 1 / (1 + np.exp(-np.minimum(np.abs(gap), 30)))
        shares = (sure, (sure > 0.9).astype(float), (gap > 0).astype(float), knows)
        rows.append((name, *map(share, shares), n))
    columns = (
        "debated",
        "how sure the judge is",
        "sure above .9",
        "the first claim wins",
        "right of ten labels",
        "images",
    )
    section = Section(
        title="A lie against a lie",
        text="Two wrong labels, drawn for each image, both played perfectly. The judge prefers one of them: it cannot say that "
        "neither is right. In the second row the right label moves first.",
        tables=(table("Neither is honest", columns, rows, record),),
    )
    return Part(section=section, claims=(claim,))


def _leaning(played: Played, kind: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many nats each judge leans to the first claim after some perfect debates, and whether it names the image."""
    label_P = digits.images("test", n=played.images).label_P
    gaps, knows = [], []
    for s, judge in enumerate(played.judges):
        debate = layout(kind, np.arange(played.images), seed=played.seed, pixels=played.pixels).rows(rows)
        logits = verdict(judge, debate.ink_GX, played.moves[s, played.pixels, "exact", "exact", kind][rows])
        at = np.arange(len(rows))
        gaps.append(logits[at, debate.first_G] - logits[at, debate.second_G])
        knows.append(logits.argmax(1) == label_P)
    return np.stack(gaps, 1), np.stack(knows, 1).astype(float)


def score_difference(played: Played, record: str) -> Part:
    """What telling the truth earns more than lying, in log-probability."""
    arms = both_ways(played)
    by_image = {arm: earned(honest) - earned(lying) for arm, (honest, lying) in arms.items()}
    claim = above(
        "Debate pays the truth more, against the lie, than random pixels do",
        paired_difference(by_image["debate"], by_image["random pixels"]), unit="nats",
        null=paired_difference(by_image["random debaters"], by_image["random pixels"]), bar=0.0,
        why="agent score difference of the debate minus that of random pixels, paired by image; null: random debaters",
    )  # fmt: skip
    rows = [(arm, agent_score_difference(*sides), played.images) for arm, sides in arms.items()]
    section = Section(
        title="What the truth earns",
        text="Mean log-probability that a claim earns when it is true, minus when it is false, on the same image; the claimant "
        "shows the first pixel. Another image's pixels must earn nothing.",
        tables=(table("Agent score difference", ("pixels", "nats", "images"), rows, record),),
    )
    return Part(section=section, claims=(claim,))
