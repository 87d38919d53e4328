"""What the digits study says: the panel, the paper's comparison, and one transcript under two scores.

Shape suffixes: P images, S judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superalign.lab.panel_page import panel_part
from superalign.ledger import Ledger
from superalign.oversight.pixels.debate import verdict
from superalign.problems import digits
from superalign.report import Findings, Plot, Section
from superalign.report.claims import above, drawn
from superalign.stats import difference, share
from superalign.studies.pixel_debate import sections
from superalign.studies.pixel_debate.play import CLAIM, LIGHT, NINE, NINE_FIRST, UNNAMED, layout
from superalign.studies.pixel_debate.read import (
    Played,
    Told,
    alone,
    both_orders,
    light_images,
    mean_of,
    panel_items,
    told,
)
from superalign.studies.pixel_debate.sections import Part, table
from superalign.types import Claim, Record

PAPER = {4: (0.482, 0.852), 6: (0.594, 0.889)}  # Irving et al., 2018, abstract: the judge alone, and after debate
UNCERTAIN = (
    "The debaters know the judge's weights, and that is all that their strength is: nothing was learned from play.",
    "One of the two labels is right, except in the section on two lies. A judge who must prefer one of two is asked less than "
    "one who names a label, and debate was measured to make the second worse.",
    "Settings of the judge and of the search were chosen on training images.",
    "The panel holds the placebo against each arm too. The placebo is a judge on random pixels, which beats the agent's word "
    "and a vote on fewer pixels each; so the claims over these two are printed as failing however much debate adds.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsEvidence(Record):
    """Where all pixels shown in all debates lie, and the judges' weights."""

    moves: str
    judges: tuple[str, ...]


def page(config: Any, played: Played, *, ledger: Ledger, record: str) -> Findings:
    """Put the study together.

    Args:
        config: Of the study.
        played: All moves, and the judges.
        ledger: Where the panel's decisions are kept.
        record: Digest of the record that holds the moves.
    """
    tree = f"tree {config.simulations[-1]}"
    claims, panel = panel_part(
        panel_items(played, tree=tree),
        protocol="debate",
        ledger=ledger,
        text=f"One claim about each of {config.images} test images, half of them true; whoever makes it shows the first pixel. "
        "The rival claims the right label if the claim is a lie, and a random wrong one if it is not. "
        f"{config.pixels} pixels are shown, both sides play perfectly, and the judge says which of the two labels it prefers."
        "\n\nThe judge alone is told the same two labels and sees as many random pixels; in voting it gives one vote on each "
        "two of these; the placebo's debaters show random pixels. One debater that shows all pixels stands for consultancy.",
        note=f"{config.judges} judges; the claims are the same for all.",
    )
    parts = [
        _shape(config, played, tree, record),
        _scoring(played, record),
        sections.search(config, played, record),
        sections.last_word(played, record),
        sections.judges(played, record),
        sections.two_lies(played, record),
        sections.score_difference(played, record),
    ]
    few = f"{config.judges} judges of one kind and size, on one data set of 8 x 8 pixels. Intervals are over images and judges."
    return Findings(
        headline=_headline(claims, parts[0].claims[0]),
        means="It says how far search for and against the truth moves a small judge of pixels. It does not say that debate "
        "works where the judge could not check what is shown, or where neither of two claims is right.",
        claims=(*claims, *(c for p in parts for c in p.claims)),
        sections=(panel, *(p.section for p in parts), _example(played, record)),
        uncertain=(few, *UNCERTAIN),
    )


def _headline(panel: Sequence[Claim], shape: Claim) -> str:
    over = next(c for c in panel if "judge alone" in c.name)
    if not isinstance(over.value, float) or not isinstance(shape.value, float):
        return "Whether debate helps a judge of a few pixels could not be measured."
    return (
        f"Told two labels, a judge of a few pixels decides {over.value:+.1%} more often rightly after a debate than on random "
        f"pixels; the right label beats all nine lies on {shape.value:+.1%} more images than it is the judge's own first."
    )


def _shape(config: Any, played: Played, tree: str, record: str) -> Part:
    """The paper's comparison: all nine lies, against the judge's first of ten."""
    rows = [row for k in (2, 4, 6) for row in _shape_rows(config, played, k, tree)]
    k = played.pixels
    base, again = alone(played, k), alone(played, k, draw=1)
    best, chance, unnamed = (
        both_orders(played, k, d, kinds) for d, kinds in (("exact", NINE), ("random", NINE), ("exact", UNNAMED))
    )
    claims = (
        above(
            f"The right label beats all nine lies in debate more often than it is the judge's first on {k} random pixels",
            difference(mean_of(best, "beats_all_PS") - base.beats_all_PS), unit="share of images",
            null=difference(mean_of(chance, "beats_all_PS") - base.beats_all_PS), bar=0.0,
            why="the paper's comparison, mean of both orders; null: debaters who show random pixels",
        ),
        above(
            "Against one lie, pairwise with pairwise, debate beats random pixels",
            difference(mean_of(best, "beats_PS") - base.beats_PS), unit="share of lies beaten",
            null=difference(mean_of(chance, "beats_PS") - base.beats_PS), bar=0.0,
            why="mean over nine lies and both orders; null: debaters who show random pixels",
        ),
        above(
            "A liar who must name its lie first wins less often than one who names it last",
            difference(mean_of(best, "beats_all_PS") - mean_of(unnamed, "beats_all_PS")), unit="share of images",
            null=difference(base.beats_all_PS - again.beats_all_PS), bar=0.0,
            why="perfect play: all nine lies named first, minus one game in which the lie is named last; null: two draws of "
            "random pixels, where it makes no difference when the lie is named",
        ),
    )  # fmt: skip
    text = (
        "The paper's measure: the nine lies are played as nine debates about one image, and the image is won if the right label "
        "beats all nine. It holds that against the judge's own first label of ten on random pixels. The paper used 28 x 28 "
        "digits, a convolutional judge and 10,000 rollouts a move; compare the shape, not the numbers."
    )
    columns = (
        "pixels",
        "how",
        "all nine beaten, honest first",
        "all nine beaten, liar first",
        "lies beaten",
        "paper",
        "images",
    )
    title = "All nine lies, and lie by lie (both orders)"
    section = Section(
        title="The paper's comparison",
        text=text,
        plots=(_shape_plot(rows, record),),
        tables=(table(title, columns, rows, record),),
    )
    return Part(section=section, claims=claims)


def _shape_rows(config: Any, played: Played, k: int, tree: str) -> list[tuple[Any, ...]]:
    """One number of pixels: the judge alone, and debates by strength."""
    base = alone(played, k)
    paper = PAPER.get(k, ("not run", "not run"))
    first = share(base.beats_all_PS)
    rows: list[tuple[Any, ...]] = [
        (k, "judge alone, random pixels", first, first, share(base.beats_PS), paper[0], len(base.beats_PS))
    ]
    light = LIGHT if k > 4 else 0
    perfect = f"perfect, at most {LIGHT} non-blank pixels" if light else "perfect"
    names = [("exact", perfect, light), (tree, tree, 0), ("greedy", "greedy", 0), ("random", "random", 0)]
    for name, called, most in names:
        if not played.has(k, name, NINE_FIRST):
            continue
        both = both_orders(played, k, name, NINE, light=most)
        shares = [share(t.beats_all_PS) for t in both]
        reached = paper[1] if name in ("exact", tree) else ""
        rows.append((k, f"debate, {called}", *shares, share(mean_of(both, "beats_PS")), reached, len(both[0].beats_PS)))
    if light and played.has(k, "exact", NINE_FIRST):
        rows += _same_images(played, k)
    for name, called in (("exact", "perfect"), ("greedy", "greedy"), ("random", "random")):
        if played.has(k, name, UNNAMED[0]):
            both = both_orders(played, k, name, UNNAMED)
            shares = [share(t.beats_all_PS) for t in both]
            rows.append((k, f"lie named last, {called}", *shares, "", "", len(both[0].beats_PS)))
    return rows


def _same_images(played: Played, k: int) -> list[tuple[Any, ...]]:
    """What perfect play over many pixels is held against: the same few light images."""
    n = len(told(played, k, "exact", NINE_FIRST, light=LIGHT).beats_PS)
    same = light_images(LIGHT)[:n]
    same = same[same < played.images]
    both = both_orders(played, k, "greedy", NINE)
    shares = [share(t.beats_all_PS[same]) for t in both]
    base = alone(played, k)
    own = share(base.beats_all_PS[same])
    return [
        (k, "debate, greedy, the same light images", *shares, share(mean_of(both, "beats_PS")[same]), "", len(same)),
        (k, "judge alone, the same light images", own, own, share(base.beats_PS[same]), "", len(same)),
    ]


def _shape_plot(rows: Sequence[tuple[Any, ...]], record: str) -> Plot:
    drawn_rows: list[dict[str, Any]] = []
    for k, how, first, _, _, paper, _ in rows:
        if k < 4 or "named last" in how or "the same" in how:
            continue
        name = how.removeprefix("debate, ").split(",")[0]
        drawn_rows.append({"label": f"{k} pixels: {name}", **drawn(first), "group": "here"})
        if isinstance(paper, float) and "tree" not in how:
            label = "judge alone, paper" if "alone" in how else "debate, paper"
            drawn_rows.append({"label": f"{k} pixels: {label}", "value": paper, "group": "Irving et al., 2018"})
    return Plot(
        kind="intervals",
        title="Images on which the right label beats every lie",
        x="share of images, honest side first",
        y="",
        rows=tuple(drawn_rows),
        caption="The judge alone sees one set of pixels for all lies: there it is the share of images that it names rightly "
        "out of ten. Perfect play over six pixels: light images only.",
        records=(record,),
    )


def _scoring(played: Played, record: str) -> Part:
    """The same transcripts, scored by pairs and out of ten."""
    k = played.pixels
    base, again = alone(played, k), alone(played, k, draw=1)
    arms: dict[str, Sequence[Told]] = {"random pixels, no debaters": [base]}
    arms |= {f"debate, {name}": both_orders(played, k, name, NINE) for name in ("random", "greedy", "exact")}
    rows = [
        (name, *(share(mean_of(t, of)) for of in ("beats_PS", "ten_PS", "paid_PS")), len(base.ten_PS))
        for name, t in arms.items()
    ]
    falls = above(
        "After a debate the judge names the label out of ten less often than after random pixels",
        difference(base.ten_PS - mean_of(arms["debate, exact"], "ten_PS")), unit="share of decisions",
        null=difference(base.ten_PS - again.ten_PS), bar=0.0,
        why="the same perfect debates as above, scored out of ten; null: another draw of random pixels",
    )  # fmt: skip
    bars = [
        {"label": f"{name}: of {how}", **drawn(share(mean_of(t, of))), "group": f"of {how} labels"}
        for name, t in arms.items()
        for how, of in (("two", "beats_PS"), ("ten", "ten_PS"))
    ]
    plot = Plot(
        kind="bars",
        title="One transcript, two scores",
        x="share of decisions that are right",
        y="",
        rows=tuple(bars),
        caption="What debate gains, it gains for the question that was debated.",
        records=(record,),
    )
    columns = (
        "pixels shown by",
        "right of two labels",
        "right of ten labels",
        "probability of the right one of two",
        "images",
    )
    section = Section(
        title="The gain lies in the question",
        text="The pixels of the same debates, judged by the two labels at issue and by the judge's first label of all ten.",
        plots=(plot,),
        tables=(table("By score", columns, rows, record),),
    )
    return Part(section=section, claims=(falls,))


def _example(played: Played, record: str) -> Section:
    """The first test image and the debate about it, as a picture in a table."""
    k, side = played.pixels, digits.SIDE
    debate = layout(CLAIM, np.arange(played.images), seed=played.seed, pixels=k).rows(slice(0, 1))
    moves = played.moves[0, k, "exact", "exact", CLAIM][0].tolist()
    logits = verdict(played.judges[0], debate.ink_GX, np.array([moves]))[0]
    one, two = int(debate.first_G[0]), int(debate.second_G[0])
    ink = np.round(debate.ink_GX[0] * 16).astype(int)
    who = {x: f"{t + 1}, {'first' if debate.turns[t] > 0 else 'second'}" for t, x in enumerate(moves)}
    cells = [(f"{ink[x]} ({who[x]})" if x in who else str(ink[x] or "·")) for x in range(side**2)]
    label = int(digits.images("test", n=1).label_P[0])
    return Section(
        title="One debate",
        text=f"The first test image shows a {label}. The first debater claims {one}, the second {two}; the judge sees only the "
        f"{k} pixels with a number and a name beside them, and prefers {one if logits[one] > logits[two] else two}.",
        tables=(
            table(
                "Ink of each pixel, 1 to 16",
                tuple(f"column {x + 1}" for x in range(side)),
                [tuple(cells[side * y : side * (y + 1)]) for y in range(side)],
                record,
            ),
        ),
    )
