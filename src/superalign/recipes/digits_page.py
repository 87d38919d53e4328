"""What the digits study says: the panel, the paper's comparison, how claims are scored, and what makes debate work or fail.

Shape suffixes: P images, S judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from superalign.ledger import Ledger
from superalign.oversight.pixel_debate import verdict
from superalign.problems import digits
from superalign.recipes.digits_play import (
    CLAIM,
    LIES,
    NINE,
    NINE_FIRST,
    ONE,
    OPEN_FIRST,
    OPEN_LAST,
    layout,
)
from superalign.recipes.digits_read import Played, Told, alone, both_ways, panel_items, told
from superalign.recipes.oversight_panel_page import panel_part
from superalign.report import Plot, Section, Study, Table
from superalign.report.claims import above, drawn, within
from superalign.stats import paired_difference
from superalign.trials.oversight_panel import agent_score_difference, spread_over
from superalign.types import Claim, Interval, Record, Unmeasured

Found: TypeAlias = Interval | Unmeasured
LIGHT = 33  # as in the recipe
PAPER = {4: (0.482, 0.852), 6: (0.594, 0.889)}  # Irving et al., 2018, abstract: alone, and after debate
ORDERS = ("honest first", "liar first")


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsEvidence(Record):
    """Where all pixels shown in all debates lie, and the judges' weights."""

    moves: str
    judges: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Claims and the section that shows where they come from."""

    section: Section
    claims: tuple[Claim, ...] = ()


def page(config: Any, played: Played, *, ledger: Ledger, record: str) -> Study:
    """Put the study together."""
    tree = f"tree {config.simulations[-1]}"
    items = panel_items(played, tree=tree)
    panel, section = panel_part(
        items,
        protocol="debate",
        ledger=ledger,
        text=f"One claim about each of {config.images} test images, half of them true; who claims it shows the first pixel. The "
        f"rival claims the right label if the claim is a lie, and a random wrong one if not. {config.pixels} pixels are shown, "
        "both sides play perfectly, and the judge says which of the two labels it prefers. The judge alone is told the same "
        "two labels and sees as many random pixels; in voting it gives a vote on each two of these; the placebo's debaters show "
        "random pixels. One debater that shows all pixels stands for consultancy.",
        note=f"{config.judges} judges; chance and lies are the same for all.",
    )
    parts = [
        _shape(config, played, tree, record),
        _scoring(played, record),
        _search(config, played, record),
        _last_word(config, played, record),
        _judges(played, record),
        _two_lies(played, record),
        _asd(played, record),
    ]
    example = _example(played, record)
    return Study(
        headline=_headline(panel, parts[0].claims[0]),
        means="It says how far search for and against the truth moves a small judge of pixels. It does not say that debate works "
        "where debaters know things that the judge could not check, or where neither of two claims is right.",
        claims=(*panel, *(c for p in parts for c in p.claims)),
        sections=(section, *(p.section for p in parts), example),
        uncertain=(
            "The debaters know the judge's weights, and that is all that their strength is: nothing was learned from play. "
            "Another judge of the same kind is less moved; see the section on judges.",
            f"{config.judges} judges of one kind and one size, on one data set of 8 x 8 pixels. Intervals are over images and "
            "judges, and with so few judges they are wide.",
            "One of the two labels is always right, except in the section on two lies. A judge who must prefer one of two is "
            "asked less than one who names a label.",
            "Settings of the judge and of the search were chosen on training images; the test images were read once.",
        ),
    )


def _headline(panel: Sequence[Claim], shape: Claim) -> str:
    over = next(c for c in panel if "judge alone" in c.name)
    if not isinstance(over.value, float) or not isinstance(shape.value, float):
        return "Whether debate helps a judge of a few pixels could not be measured."
    return (
        f"Told two labels, a judge of a few pixels is right {over.value:+.0%} of decisions more often after a debate than on random pixels; "
        f"the right label beats all nine lies {shape.value:+.0%} of images more often than it is the judge's own first."
    )


def spread(values_PS: np.ndarray) -> Found:
    """A share over images and judges, cut to what is possible."""
    return within(spread_over(values_PS), 0.0, 1.0)


def _orders(read: Callable[[str], Told], kinds: tuple[str, str] = NINE) -> list[Told]:
    return [read(kind) for kind in kinds]


def _mean(both: Sequence[Told], of: str) -> np.ndarray:
    """The mean over the two orders, by image and judge."""
    return np.mean([getattr(one, of) for one in both], axis=0)


def _shape(config: Any, played: Played, tree: str, record: str) -> Part:
    """The paper's comparison: all nine lies against the judge's first of ten."""
    rows: list[tuple[Any, ...]] = []
    for k in (2, 4, 6):
        base = alone(played, k)
        paper = PAPER.get(k, ("not run", "not run"))
        rows.append(
            (
                f"{k}",
                "judge alone, random pixels",
                *[spread(base.beats_all_PS)] * 2,
                spread(base.beats_PS),
                paper[0],
                len(base.beats_PS),
            )
        )
        names = [("perfect", "exact", 0)] if played.has(k, "exact", NINE_FIRST) else []
        if (0, k, "exact", "exact", NINE_FIRST) in played.moves and k > 4:
            names = [(f"perfect, images of at most {LIGHT} non-blank pixels", "exact", LIGHT)]
        names += [(d, d, 0) for d in (tree, "greedy", "random") if played.has(k, d, NINE_FIRST)]
        for called, name, light in names:
            first, last = _orders(lambda kind: told(played, k, name, kind, light=light))  # noqa: B023
            reached = paper[1] if name in ("exact", tree) else ""
            shares = [spread(t.beats_all_PS) for t in (first, last)]
            rows.append(
                (
                    f"{k}",
                    f"debate, {called}",
                    *shares,
                    spread(_mean((first, last), "beats_PS")),
                    reached,
                    len(first.beats_PS),
                )
            )
    k = played.pixels
    base, again = alone(played, k), alone(played, k, draw=1)
    best, chance = (_orders(lambda kind: told(played, k, d, kind)) for d in ("exact", "random"))  # noqa: B023
    open_ = _orders(lambda kind: told(played, k, "exact", kind), (OPEN_FIRST, OPEN_LAST))
    for called, t in (
        ("lie named last, perfect", open_),
        ("lie named last, greedy", _orders(lambda kind: told(played, k, "greedy", kind), (OPEN_FIRST, OPEN_LAST))),
    ):
        rows.append(
            (
                f"{k}",
                f"debate, {called}",
                *(spread(o.beats_all_PS) for o in t),
                Unmeasured("there is one game"),
                "",
                played.images,
            )
        )
    claims = (
        above(
            f"The right label beats all nine lies in debate more often than it is the judge's first on {k} random pixels",
            spread_over(_mean(best, "beats_all_PS") - base.beats_all_PS), unit="share of images",
            null=spread_over(_mean(chance, "beats_all_PS") - base.beats_all_PS), bar=0.0,
            why="the paper's comparison, mean of both orders; null: debaters who show random pixels",
        ),
        above(
            "Against one lie, pairwise with pairwise, debate beats random pixels",
            spread_over(_mean(best, "beats_PS") - base.beats_PS), unit="share of lies beaten",
            null=spread_over(_mean(chance, "beats_PS") - base.beats_PS), bar=0.0,
            why="mean over nine lies and both orders; null: debaters who show random pixels",
        ),
        above(
            "A liar who must name its lie first wins less often than one who names it last",
            spread_over(_mean(best, "beats_all_PS") - _mean(open_, "beats_all_PS")), unit="share of images",
            null=spread_over(base.beats_all_PS - again.beats_all_PS), bar=0.0,
            why="perfect play; all nine lies named first, minus one game in which the lie is named last; null: two draws of "
            "random pixels, where naming first or last is the same",
        ),
    )  # fmt: skip
    text = (
        "The paper's measure: the nine lies are played as nine debates about the same image, and the image is won if the right "
        "label beats all nine. It holds that against the judge's own first label of ten on random pixels. The paper used 28 x 28 "
        "digits, a convolutional judge and 10,000 rollouts a move; compare the shape, not the numbers."
    )
    columns = (
        "pixels",
        "how",
        "all nine beaten, honest first",
        "all nine beaten, liar first",
        "lies beaten, both orders",
        "Irving et al.",
        "images",
    )
    section = Section(title="The paper's comparison", text=text, plots=(_shape_plot(rows, record),),
                      tables=(Table(title="All nine lies, and lie by lie", columns=columns, rows=tuple(rows), records=(record,) * len(rows)),))  # fmt: skip
    return Part(section=section, claims=claims)


def _shape_plot(rows: Sequence[tuple[Any, ...]], record: str) -> Plot:
    kept = [r for r in rows if isinstance(r[2], Interval) and not str(r[1]).startswith("debate, lie")]
    return Plot(
        kind="intervals",
        title="Images on which the right label beats every lie (honest first)",
        x="share of images",
        y="",
        rows=tuple(
            {"label": f"{r[0]} pixels, {str(r[1]).removeprefix('debate, ').split(',')[0]}", **drawn(r[2])} for r in kept
        ),
        caption="The judge alone sees one set of pixels for all lies: there it is the share of images named rightly out of ten.",
        records=(record,),
    )


def _scoring(played: Played, record: str) -> Part:
    """The same transcripts, scored by pairs and out of ten."""
    k = played.pixels
    base, again = alone(played, k), alone(played, k, draw=1)
    arms: list[tuple[str, list[Told]]] = [("random pixels, no debaters", [base, base])]
    arms += [(f"debate, {d}", _orders(lambda kind: told(played, k, d, kind))) for d in ("random", "greedy", "exact")]  # noqa: B023
    columns = (
        "pixels shown by",
        "of two labels, right",
        "of ten labels, right",
        "probability of the right one, of two",
        "images",
    )
    rows = [
        (name, spread(_mean(t, "beats_PS")), spread(_mean(t, "ten_PS")), spread(_mean(t, "paid_PS")), len(base.ten_PS))
        for name, t in arms
    ]
    falls = above(
        "After a debate the judge names the label out of ten less often than after random pixels",
        spread_over(base.ten_PS - _mean(arms[-1][1], "ten_PS")), unit="share of decisions",
        null=spread_over(base.ten_PS - again.ten_PS), bar=0.0,
        why="the same perfect debates as above, scored out of ten; null: another draw of random pixels",
    )  # fmt: skip
    plot = Plot(
        kind="bars",
        title="One transcript, two scores",
        x="share of decisions that are right",
        y="",
        rows=tuple({"label": f"{name}, of {how}", **drawn(cells[at]), "group": f"of {how}"} for name, *cells in rows for how, at in (("two", 0), ("ten", 1))),
        caption="What debate gains, it gains for the question that was debated. Debaters hide what speaks for a third label least of all.",
        records=(record,),
    )  # fmt: skip
    text = (
        "The pixels of the same debates, judged by the two labels at issue and by the judge's first label of all ten."
    )
    return Part(
        section=Section(title="The gain lies in the question", text=text, plots=(plot,), tables=(_table("By score", columns, rows, record),)),
        claims=(falls,),
    )  # fmt: skip


def _search(config: Any, played: Played, record: str) -> Part:
    """How strength of search moves who wins, equal and unequal."""
    from superalign.recipes.digits import strengths_of

    names = strengths_of(config)
    k = played.pixels
    cells = {(h, w): [told(played, k, h, kind, lying=w) for kind in ONE] for h in names for w in names}
    share = {pair: _mean(both, "beats_PS") for pair, both in cells.items()}
    rows = [(h, *(spread(share[h, w]) for w in names)) for h in names]
    equal = [
        {"series": order, "x": float(np.log2(s)), "y": found.value, "low": found.low, "high": found.high}
        for s in config.simulations
        for order, t in zip(ORDERS, cells[f"tree {s}", f"tree {s}"], strict=True)
        if isinstance(found := spread(t.beats_PS), Interval)
    ]
    weak, strong = (f"tree {config.simulations[at]}" for at in (0, -1))
    references = tuple(
        (float(share[d, d].mean()), f"both {word}") for d, word in (("random", "random"), ("exact", "perfect"))
    )
    plot = Plot(
        kind="line", title="Search of both sides, from weak to strong", x="positions looked at before a move, log2",
        y="debates that the honest side wins, share", rows=tuple(equal), references=references, records=(record,),
        caption=f"Against one random lie, {config.sweep_images} images; lines are both orders.",
    )  # fmt: skip
    claims = (
        above(
            "Whoever searches more wins more, on either side",
            spread_over(share[strong, weak] - share[weak, strong]), unit="share of debates",
            null=spread_over(cells[weak, weak][0].beats_PS - cells[strong, strong][0].beats_PS), bar=0.0,
            why=f"honest {strong} against {weak}, minus honest {weak} against {strong}; null: both weak minus both strong",
        ),
        above(
            "Stronger search on both sides favours the honest one",
            spread_over(share[strong, strong] - share["random", "random"]), unit="share of debates",
            null=Unmeasured("there is no comparison without search but the one it is held against"), bar=0.0,
            why=f"both {strong} minus both random",
        ),
    )  # fmt: skip
    text = (
        "Rows: how the honest side plays; columns: how the liar plays; cells: the share of debates that the honest side wins, over "
        "both orders. Random shows any pixel; greedy the one after which the judge likes its claim best; tree N looks at N positions; exact is perfect."
    )
    table = _table("Strength against strength", ("honest side", *(f"liar {n}" for n in names)), rows, record)
    return Part(
        section=Section(title="How hard each side searches", text=text, plots=(plot,), tables=(table,)), claims=claims
    )


def _last_word(config: Any, played: Played, record: str) -> Part:
    """Even and uneven numbers of pixels."""
    rows: list[tuple[Any, ...]] = []
    lines: list[dict[str, Any]] = []
    for k in (2, 3, 4, 5, 6):
        for name in ("exact", "greedy", "random"):
            if not played.has(k, name, NINE_FIRST):
                continue
            light = LIGHT if name == "exact" and k > 4 else 0
            first, last = _orders(lambda kind: told(played, k, name, kind, light=light))  # noqa: B023
            found = [spread(t.beats_all_PS) for t in (first, last)]
            rows.append((k, name, *found, spread_over(last.beats_all_PS - first.beats_all_PS), len(first.beats_PS)))
            if name == "greedy":
                lines += [{"series": o, "x": float(k), "y": f.value, "low": f.low, "high": f.high} for o, f in zip(ORDERS, found, strict=True) if isinstance(f, Interval)]  # fmt: skip
        base = spread(alone(played, k).beats_all_PS)
        if isinstance(base, Interval):
            lines.append({"series": "judge alone", "x": float(k), "y": base.value, "low": base.low, "high": base.high})
    three = {d: [told(played, 3, d, kind) for kind in NINE] for d in ("exact", "random")}
    # With three pixels the first debater also moves last.
    swing, null = (spread_over(t[0].beats_all_PS - t[1].beats_all_PS) for t in three.values())
    claim = above(
        "With an uneven number of pixels whoever moves first and last wins more",
        swing, unit="share of images", null=null, bar=0.0,
        why="three pixels, perfect play: all nine lies beaten where the honest side moves first and last, minus where the liar "
        "does; null: random debaters",
    )  # fmt: skip
    plot = Plot(
        kind="line", title="All nine lies beaten, greedy debaters", x="pixels", y="share of images", rows=tuple(lines),
        caption="With two, four and six pixels each side shows as many; with three and five the first shows one more.",
        records=(record,),
    )  # fmt: skip
    columns = ("pixels", "debaters", "honest first", "liar first", "liar first minus honest first", "images")
    text = "Who has the last word, and who has more words. Images of at most 33 non-blank pixels where five and six are played perfectly."
    return Part(
        section=Section(
            title="The last word", text=text, plots=(plot,), tables=(_table("Even and uneven", columns, rows, record),)
        ),
        claims=(claim,),
    )


def _judges(played: Played, record: str) -> Part:
    """The judge that was searched against, another judge, and what each is sure of."""
    k = played.pixels
    rows, kept = [], {}
    for name in ("random pixels", "random", "greedy", "exact"):
        for other in (False, True):
            if name == "random pixels":
                both = [alone(played, k, other=other)] * 2
            else:
                both = _orders(lambda kind: told(played, k, name, kind, other=other))  # noqa: B023
            kept[name, other] = both
            sure, right = _mean(both, "sure_PS"), _mean(both, "beats_PS")
            who = "another judge" if other else "the judge searched against"
            rows.append((name, who, spread(right), spread(sure), spread_over(sure - right), len(right)))
    own, other = (_mean(kept["exact", o], "beats_PS") for o in (False, True))
    base, base_other = (_mean(kept["random pixels", o], "beats_PS") for o in (False, True))
    sure = {n: _mean(kept[n, False], "sure_PS") - _mean(kept[n, False], "beats_PS") for n in ("exact", "random pixels")}
    paid = {n: _mean(kept[n, False], "paid_PS") - _mean(kept[n, True], "paid_PS") for n in ("exact", "random pixels")}
    claims = (
        above(
            "A judge that nobody searched against also gains from the debate",
            spread_over(other - base_other), unit="share of lies beaten",
            null=spread_over(_mean(kept["random", True], "beats_PS") - base_other), bar=0.0,
            why="perfect debates before one judge, decided by another, minus random pixels; null: random debaters",
        ),
        above(
            "The judge searched against decides better than a judge that was not",
            spread_over(own - other), unit="share of lies beaten", null=spread_over(base - base_other), bar=0.0,
            why="the same debates; null: the same random pixels",
        ),
        above(
            "What the judge searched against pays the honest side is more than a judge that was not would",
            spread_over(paid["exact"]), unit="probability", null=spread_over(paid["random pixels"]), bar=0.0,
            why="probability of the right label, of two; the same debates; null: the same random pixels",
        ),
        above(
            "After a debate the judge is surer than it is right",
            spread_over(sure["exact"]), unit="probability minus share right", null=spread_over(sure["random pixels"]), bar=0.0,
            why="its probability of the label it believes, minus how often that is the right one; null: on random pixels",
        ),
    )  # fmt: skip
    columns = ("pixels shown by", "who decides", "lies beaten", "how sure it is", "surer than right", "images")
    text = (
        "Debaters search against one judge's weights. The label decides who was right, and another judge, trained from another seed, "
        "reads the same pixels: what only the first believes was found in its weights and not in the image."
    )
    return Part(
        section=Section(
            title="The judge searched against, and another",
            text=text,
            tables=(_table("Judges", columns, rows, record),),
        ),
        claims=claims,
    )


def _two_lies(played: Played, record: str) -> Part:
    """Neither debater is honest."""
    k, n = played.pixels, played.images
    lead, knows, sure_lies = [], [], []
    for s, judge in enumerate(played.judges):
        table = layout(LIES, np.arange(n), seed=played.seed, pixels=k)
        logits = verdict(judge, table.ink_GX, played.moves[s, k, "exact", "exact", LIES])
        row = np.arange(n)
        gap = logits[row, table.first_G] - logits[row, table.second_G]
        lead.append(gap > 0)
        sure_lies.append(np.abs(gap))
        knows.append(logits.argmax(1) == digits.images("test").label_P[:n])
    honest = [_sureness(played, lie) for lie in (0, 1)]
    lies_PS, first_PS, knows_PS = (np.stack(x, 1).astype(float) for x in (sure_lies, lead, knows))
    surer = (honest[0] > lies_PS).astype(float)
    same = (honest[0] > honest[1]).astype(float)
    total = [1 / (1 + np.exp(-np.clip(x, 0, 30))) for x in (lies_PS, honest[0])]
    rows = [
        ("two lies", spread(total[0]), spread((total[0] > 0.9).astype(float)), spread(first_PS), spread(knows_PS), n),
        ("the right label and a lie", spread(total[1]), spread((total[1] > 0.9).astype(float)), "", "", n),
    ]
    claim = above(
        "The judge is surer where one of two labels is right than where neither is",
        spread_over(surer), unit="share of images", null=spread_over(same), bar=0.5,
        why="perfect play, honest first, the same image debated both ways; null: two debates with the right label and another lie",
    )  # fmt: skip
    columns = (
        "debated",
        "how sure the judge is",
        "sure above .9",
        "the first debater wins",
        "the right label is the judge's first of ten",
        "images",
    )
    text = "Two wrong labels, drawn for each image, both played perfectly. The judge prefers one of them: it cannot say that neither is right."
    return Part(
        section=Section(
            title="A lie against a lie", text=text, tables=(_table("Neither is honest", columns, rows, record),)
        ),
        claims=(claim,),
    )


def _sureness(played: Played, lie: int) -> np.ndarray:
    """How many nats the judge leans after the debates between the right label and one drawn lie (P, S)."""
    from superalign.recipes.digits_play import lies_of

    some = digits.images("test", n=played.images)
    lies_P = lies_of(some.ink_PX, some.label_P, seed=played.seed)[:, lie]
    row = 9 * np.arange(len(some)) + lies_P - (lies_P > some.label_P)
    out = []
    for s, judge in enumerate(played.judges):
        table = layout(NINE_FIRST, np.arange(len(some)), seed=played.seed, pixels=played.pixels).rows(row)
        logits = verdict(judge, table.ink_GX, played.moves[s, played.pixels, "exact", "exact", NINE_FIRST][row])
        at = np.arange(len(row))
        out.append(np.abs(logits[at, table.first_G] - logits[at, table.second_G]))
    return np.stack(out, 1)


def _asd(played: Played, record: str) -> Part:
    """What telling the truth earns more than lying, in log-probability."""
    arms = both_ways(played)
    found = {arm: agent_score_difference(honest, lying) for arm, (honest, lying) in arms.items()}
    gained = _asd_gain(arms["debate"], arms["random pixels"])
    claim = above(
        "Debate pays the truth more, against the lie, than random pixels do",
        gained, unit="nats", null=_asd_gain(arms["random debaters"], arms["random pixels"]), bar=0.0,
        why="agent score difference of the debate minus that of random pixels, paired by image; null: random debaters",
    )  # fmt: skip
    rows = [(arm, value) for arm, value in found.items()]
    text = "Mean log-probability that a claim earns when it is true minus when it is false, by image, the claimant first. Another image's pixels must give nothing."
    table = _table("Agent score difference, nats", ("pixels", "ASD"), rows, record)
    return Part(section=Section(title="What the truth earns", text=text, tables=(table,)), claims=(claim,))


def _asd_gain(one: tuple[Any, Any], other: tuple[Any, Any]) -> Found:
    """The difference of two agent score differences, by image."""

    def by_image(sides: tuple[Any, Any]) -> np.ndarray:
        earned = []
        for side in sides:
            logs: dict[str, list[float]] = {}
            for item in side:
                logs.setdefault(item.problem, []).append(float(np.log(max(item.probability, 1e-6))))
            earned.append(np.array([np.mean(logs[p]) for p in sorted(logs)]))
        return earned[0] - earned[1]

    return paired_difference(by_image(one), by_image(other))


def _example(played: Played, record: str) -> Section:
    """One debate to look at: the first test image on which the judge alone was wrong and the debate right, if any."""
    k = played.pixels
    table = layout(CLAIM, np.arange(played.images), seed=played.seed, pixels=k)
    moves = played.moves[0, k, "exact", "exact", CLAIM]
    logits = verdict(played.judges[0], table.ink_GX, moves)
    row = np.arange(played.images)
    gap = logits[row, table.first_G] - logits[row, table.second_G]
    g = 0
    words = [f"{t + 1}: {'first' if sign > 0 else 'second'}" for t, sign in enumerate(table.turns)]
    ink = np.round(table.ink_GX[g] * 16).astype(int)
    cells = [
        tuple((f"{ink[8 * y + x]} ({words[int(np.nonzero(moves[g] == 8 * y + x)[0][0])]})" if 8 * y + x in moves[g] else int(ink[8 * y + x]) or "·") for x in range(8))
        for y in range(8)
    ]  # fmt: skip
    text = (
        f"The first test image shows a {digits.images('test', n=1).label_P[0]}. The first debater claims {table.first_G[g]}, the second "
        f"{table.second_G[g]}; the judge sees only the {k} pixels with a number and a name, and prefers {table.first_G[g] if gap[g] > 0 else table.second_G[g]}."
    )
    picture = Table(
        title="Ink of each pixel, 1 to 16",
        columns=tuple(f"column {x + 1}" for x in range(8)),
        rows=tuple(cells),
        records=(record,) * 8,
    )
    return Section(title="One debate", text=text, tables=(picture,))


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]], record: str) -> Table:
    return Table(title=title, columns=columns, rows=tuple(rows), records=(record,) * len(rows))
