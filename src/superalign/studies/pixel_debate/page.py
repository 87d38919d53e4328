"""What the digits study says: the panel, the paper's comparison, search, other judges, two lies, and what the truth earns.

Shape suffixes: P images, S judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign.kit.evidence import Curve
from superalign.kit.panel import panel
from superalign.kit.parts import Part, bars, claim, curves, findings, intervals, more, part, percent, table
from superalign.report import Findings
from superalign.stats import difference, mean_interval, paired_difference, share
from superalign.studies.pixel_debate.evidence import Evidence, all_beaten
from superalign.trials.oversight_panel import JUDGE, PROTOCOL
from superalign.trials.pixel_debates import NOBODY, ONE, UNNAMED, Orders

LENGTHS = (2, 3, 4, 5, 6)  # numbers of pixels
IMAGES, BEATEN, WON = "share of images", "share of lies beaten", "share of debates won by the honest side"
PREFERRED = "probability of the right label, of two"
ALL_NINE = "The right label beats all nine lies in debate more often than it is the judge's first on {} random pixels"
MEANT = "the paper's comparison, mean of both orders; null: debaters who show random pixels"
ONE_LIE = "Against one lie, pairwise with pairwise, debate beats random pixels"
PAIRWISE = "mean over nine lies and both orders; null: debaters who show random pixels"
NAMED = "A liar who must name its lie first wins less often than one who names it last"
LATE = (
    "perfect play, nine lies named first minus one named last; null: two draws of random pixels, where nobody names any"
)
SEARCH = "More search wins more debates, on either side"
UNEVEN = "honest {1} against {0}, minus honest {0} against {1}; null: two plays in which nobody searches"
BOTH = "Search on both sides favours the honest one"
EVEN = "both {1} minus both random; null: two plays in which nobody searches"
LAST = "With an uneven number of pixels, to show the first and the last is an advantage"
TWO_OF_3 = (
    "all nine lies beaten by perfect play, where the honest side shows two of three, minus one; null: random debaters"
)
OUT_OF_TEN = "After a debate the judge names the label out of ten less often than after random pixels"
SCORED = "the same perfect debates, scored out of ten; null: another draw of random pixels"
OTHER_GAINS = "A judge that nobody searched against gains from the debate too"
BEFORE_ONE = "perfect debates before one judge, decided by another, minus random pixels; null: random debaters"
DECIDES = "The judge searched against decides better than a judge that was not"
PAYS = "The judge searched against pays the right label more than a judge that was not would"
SAME = "the same debates before both; null: the same random pixels before both"
SURER = "After a debate the judge is surer than it is right"
SURE = "the probability of the label that it believes, minus how often that is the right one; null: on random pixels"
LEANS = "The judge leans further where one of two labels is right than where neither is"
LEANED = "perfect play, one image debated both ways, against either lie; null: the two debates with the right label"
EARNS = "Debate pays the truth more, against the lie, than random pixels do"
EARNED = "agent score difference of the debate minus that of random pixels, paired by image; null: random debaters"
PANEL = (
    "One claim about each of {} test images, half of them true; who makes it shows the first pixel. The rival claims the right "
    "label if the claim is a lie, else a random wrong one. Both sides play perfectly over {} pixels, and the judge prefers one "
    "of the two labels.\n\nThe judge alone is told both labels and sees as many random pixels; in voting it votes on each two "
    "of these. One debater that shows all stands for consultancy."
)
MEANS = (
    "It says how far search for and against the truth moves a small judge of pixels. It does not say that debate works where "
    "the judge could not check what is shown, or where neither of two claims is right."
)
LIMITS = (
    "The debaters know the judge's weights, and that is all that their strength is: nothing was learned from play.",
    "One of the two labels is right, except in the section on two lies. A judge who must prefer one of two is asked less than "
    "one who names a label, and debate was measured to make the second worse.",
    "Settings of the judge and of the search were chosen on training images.",
    "The placebo, a judge on random pixels, beats the agent's word and a vote on fewer pixels each: so the claims over these two "
    "fail however much debate adds.",
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    text, note = (
        PANEL.format(e.config.images, e.config.pixels),
        f"{e.config.judges} judges; the claims are the same for all.",
    )
    parts = [p(e) for p in (comparison, last_word, judges, search, two_lies, earnings, example)]
    over = percent(e.decisions.accuracy_gain(PROTOCOL, JUDGE), sign="+")
    beaten = percent(difference(e.of("exact").mean.beats_all_PS - e.of(NOBODY).mean.beats_all_PS), sign="+")
    few = f"{e.config.judges} judges of one kind and size, on one data set of 8 x 8 pixels. Intervals are over images and judges."
    return findings(
        f"Told two labels, a judge of a few pixels decides {over} more often rightly after a debate than on random pixels; the "
        f"right label beats all nine lies on {beaten} more images than it is the judge's own first.",
        [p.drawn_from(e.record) for p in (panel(e.decisions, protocol="debate", text=text, note=note), *parts)],
        means=MEANS,
        limits=(few, *LIMITS),
    )


def along(x: Sequence[float], some: Sequence[Orders]) -> dict[str, Curve]:
    """Draw how often all lies are beaten, in either order, along an axis."""
    first, last = zip(*map(all_beaten, some), strict=True)
    return {"honest first": Curve(tuple(x), first), "liar first": Curve(tuple(x), last)}


def comparison(e: Evidence) -> Part:
    """Hold all nine lies against the judge's first of ten, as in the paper."""
    base, best, chance, last = (w.mean for w in (e.of(NOBODY), e.of("exact"), e.of("random"), e.of("exact", UNNAMED)))
    gain, null, drawn = best - base, chance - base, e.beside_paper()
    rows = [
        (
            k,
            how,
            *all_beaten(w),
            "" if "alone" in how else difference(w.swing_PS),
            share(w.mean.beats_PS),
            paper,
            len(w.first),
        )
        for k in LENGTHS
        for how, w, paper in e.compared(k)
    ]
    return part(
        "The paper's comparison",
        "An image is won if the right label beats all nine lies, in a debate each. That is held against the judge's first label "
        "of ten on random pixels. The paper's digits, judge and search are larger: compare the shape, not the numbers.",
        more(ALL_NINE.format(e.config.pixels), (gain.beats_all_PS, null.beats_all_PS), unit=IMAGES, why=MEANT),
        more(ONE_LIE, (gain.beats_PS, null.beats_PS), unit=BEATEN, why=PAIRWISE),
        more(NAMED, ((best - last).beats_all_PS, (base - e.again).beats_all_PS), unit=IMAGES, why=LATE),
        intervals(
            "Images on which the right label beats every lie",
            drawn,
            x="share of images, honest side first",
            groups={label: "Irving et al., 2018" if label.endswith("paper") else "here" for label in drawn},
            caption="Judge alone: images that it names rightly out of ten. Perfect play over five and six: light images.",
        ),
        table(
            "All nine lies beaten, honest first and liar first; and lie by lie",
            ("pixels", "how", "honest first", "liar first", "difference", "lies beaten", "paper", "images"),
            rows,
        ),
    )


def search(e: Evidence) -> Part:
    """Say how strength of search moves who wins, equal and unequal."""
    names, trees, images = e.config.strengths, e.config.trees, f"{e.config.sweep_images} images"
    cells = {(h, w): e.of(h, ONE, liar=w) for h in names for w in names}
    won = {pair: who.mean.beats_PS for pair, who in cells.items()}
    weak, strong, null_PS = trees[0], trees[-1], cells["random", "random"].swing_PS
    line = curves(
        "Search of both sides, from weak to strong",
        along(np.log2(e.config.simulations).tolist(), [cells[t, t] for t in trees]),
        x="positions looked at before a move, log2",
        y="share of debates that the honest side wins",
        caption=f"Against one random lie, {images}.",
    )
    return part(
        "How hard each side searches",
        "How often the honest side wins, over both orders. Random shows any pixel; greedy the one after which the judge likes "
        f"its claim best; tree N looks at N positions before each move; exact is perfect. {images}, one random lie each.",
        more(SEARCH, (won[strong, weak] - won[weak, strong], null_PS), unit=WON, why=UNEVEN.format(weak, strong)),
        more(BOTH, (won[strong, strong] - won["random", "random"], null_PS), unit=WON, why=EVEN.format(weak, strong)),
        replace(line, references=tuple((float(won[d, d].mean()), f"both {d}") for d in ("random", "exact"))),
        table(
            "Strength against strength",
            ("honest side", *(f"liar {n}" for n in names)),
            [(h, *(share(won[h, w]) for w in names)) for h in names],
        ),
    )


def last_word(e: Evidence) -> Part:
    """Compare even and uneven numbers of pixels."""
    x, alone = tuple(map(float, LENGTHS)), [all_beaten(e.of(NOBODY, pixels=k))[0] for k in LENGTHS]
    uneven = [e.of(who, pixels=3).swing_PS for who in ("exact", "random")]
    return part(
        "The last word",
        "The share of images on which the right label beats all nine lies, by who shows the first pixel; numbers stand above.",
        more(LAST, uneven, unit=IMAGES, why=TWO_OF_3),
        curves(
            "All nine lies beaten, greedy debaters",
            along(x, [e.of("greedy", pixels=k) for k in LENGTHS]) | {"judge alone": Curve(x, tuple(alone))},
            x="pixels",
            y=IMAGES,
            caption="With two, four and six pixels each side shows as many; with three and five the first shows one more.",
        ),
    )


def judges(e: Evidence) -> Part:
    """Score the same transcripts by pairs and out of ten, by the judge that was searched against and by another."""
    own, other = {d: e.of(d).mean for d in e.elsewhere}, {d: w.mean for d, w in e.elsewhere.items()}
    best, base, next_base = own["exact"], own[NOBODY], other[NOBODY]
    gain, null = other["exact"] - next_base, other["random"] - next_base
    ahead, no_lead = best - other["exact"], base - next_base
    scores = {f"{d}: of {n}": share(s) for d, b in own.items() for n, s in (("two", b.beats_PS), ("ten", b.ten_PS))}
    rows = [
        (d, who, *map(share, (b.beats_PS, b.ten_PS, b.paid_PS, b.sure_PS)), difference(b.surer_PS), len(b))
        for who, some in (("the judge searched against", own), ("another judge", other))
        for d, b in some.items()
    ]
    return part(
        "The gain lies in the question, and another judge sees it too",
        "The pixels of the same debates, judged by the two labels at issue and by the judge's first label of all ten; by the "
        "judge searched against and by another one: what only the first believes was found in its weights and not in the image.",
        more(OUT_OF_TEN, ((base - best).ten_PS, (base - e.again).ten_PS), unit="share of decisions", why=SCORED),
        more(OTHER_GAINS, (gain.beats_PS, null.beats_PS), unit=BEATEN, why=BEFORE_ONE),
        more(DECIDES, (ahead.beats_PS, no_lead.beats_PS), unit=BEATEN, why=SAME),
        more(PAYS, (ahead.paid_PS, no_lead.paid_PS), unit=PREFERRED, why=SAME),
        more(SURER, (best.surer_PS, base.surer_PS), unit="probability minus share right", why=SURE),
        bars(
            "One transcript, two scores",
            scores,
            x="share of decisions that are right",
            groups={label: f"of {label[-3:]} labels" for label in scores},
            caption="What debate gains, it gains for the question that was debated.",
        ),
        table(
            "Judges and scores",
            ("pixels by", "decided by", "right of two", "of ten", "pays the right", "sure", "too sure", "images"),
            rows,
        ),
    )


def two_lies(e: Evidence) -> Part:
    """Say what the judge makes of a debate in which neither debater is honest."""
    lies, one, other = e.leanings
    further_PS = np.mean([honest.far_PS > lies.far_PS for honest in (one, other)], axis=0)
    rows = [
        (name, *map(share, (x.sure_PS, x.sure_PS > 0.9, x.lead_PS > 0, x.ten_PS)), len(x.ten_PS))
        for name, x in (("two lies", lies), ("the right label and a lie", one))
    ]
    return part(
        "A lie against a lie",
        "Two wrong labels, both played perfectly: the judge cannot say that neither is right. In the second row the right one "
        "moves first.",
        claim(LEANS, share(further_PS), null=share(one.far_PS > other.far_PS), bar=0.5, unit=IMAGES, why=LEANED),
        table(
            "Neither is honest",
            ("debated", "how sure the judge is", "sure above .9", "the first claim wins", "right of ten", "images"),
            rows,
        ),
    )


def earnings(e: Evidence) -> Part:
    """Say what telling the truth earns more than lying, in log-probability."""
    debate, null = (paired_difference(e.extra[d], e.extra["random pixels"]) for d in ("debate", "random debaters"))
    rows = [(arm, mean_interval(nats_P), len(nats_P)) for arm, nats_P in e.extra.items()]
    return part(
        "What the truth earns",
        "Mean log-probability that a claim earns when it is true, minus when it is false, on the same image; the claimant shows "
        "the first pixel. Another image's pixels must earn nothing.",
        claim(EARNS, debate, null=null, unit="nats", why=EARNED),
        table("Agent score difference", ("pixels", "nats", "images"), rows),
    )


def example(e: Evidence) -> Part:
    """Show the first test image and the debate about it, as a picture in a table."""
    x = e.example
    who = {int(m): f"{t + 1}, {'first' if x.turns[t] > 0 else 'second'}" for t, m in enumerate(x.moves_T)}
    cells = [f"{ink} ({who[at]})" if at in who else str(ink or "·") for at, ink in enumerate(x.ink_X.tolist())]
    picture, columns = np.reshape(cells, (8, 8)).tolist(), [f"column {at + 1}" for at in range(8)]
    return part(
        "One debate",
        f"The first test image shows a {x.label}. The first debater claims {x.claims[0]}, the second {x.claims[1]}; the judge "
        f"sees only the {len(who)} pixels with a number and a name beside them, and prefers {x.preferred}.",
        table("Ink of each pixel, 1 to 16", columns, picture),
    )
