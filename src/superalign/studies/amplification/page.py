"""What the amplification study says: error against depth, whose errors grow, what it costs, and the judge made of it."""

from __future__ import annotations

import numpy as np

from superalign.kit.evidence import Curve
from superalign.kit.parts import Part, claim, curves, description, findings, intervals, part, percent, table_of
from superalign.lab.trained import training
from superalign.report import Cell, Findings
from superalign.studies.amplification.evidence import AMPLIFIED, GOOD, Evidence, Game, Learners, Slipped
from superalign.types import Claim, Unmeasured

UNIT = "share of questions"
MEANS = (
    "Compare the errors that come by chance with those that are always the same: what X averages away, and what it learns and "
    "passes up. The games are small, and every question can be halved: nothing is said of questions that cannot."
)
LIMITS = (
    "The overseer is a short program. Christiano and others also learn a model of the human who decomposes, to need few human "
    "calls; here every question is put to the overseer, and the calls are counted.",
    "X spends one more turn of the same layer per doubling or operation. With a layer for every doubling it did not learn the "
    "fourth in 1,100 updates. The arm that opens no depth beyond 1 shows how much the network carries up alone.",
    "Questions about expressions of one operation are few (300), and training has seen them all.",
    "A judge made of X solves the problem itself; nothing is said of whether judging is easier than solving.",
)
PERMUTATIONS = (
    "A question lists a permutation of {elements} elements and asks where one of them is after 2^k applications. The overseer H "
    "reads sigma(x) off the list, and splits every other question in two. Questions whose answer is the element itself are left "
    "out of the errors: saying that nothing moves would answer them. An X that has not come to agree with H at every depth is "
    "given up for a fresh start, up to three; its questions are counted."
)
EXPRESSIONS = (
    "A question is a chain of operations modulo ten. H looks one operation up, and splits every longer chain in two."
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    first, second, c = e.permutations, e.expressions, e.config
    worst = max(c.rates, default=0.0)
    fixed = first.slipped.get(Slipped(kind="decompositions", rate=worst, systematic=True))
    right = percent(first.amplified.right(first.amplified.deepest))
    lost = percent(fixed.growth if fixed else Unmeasured("no slips"))
    operations = f"depth ({', '.join(map(str, c.lengths))} operations)"
    return findings(
        f"X answers {right} of the deepest questions right that its overseer cannot answer; an overseer who always splits the "
        f"same {worst:.0%} of questions wrongly loses {lost} more with every doubling.",
        [
            game(first, "Permutations", PERMUTATIONS.format(elements=c.elements), x="doublings", worst=worst),
            game(second, "Expressions", EXPRESSIONS, x=operations, worst=worst),
            *training(e.trained, protocol="amplification"),
        ],
        means=MEANS,
        limits=LIMITS,
    )


def multiplied(depth: int, *, answers: float, decompositions: float) -> float:
    """Return the error at a depth if every slip below it counted, as in a tree that nobody distils.

    Example:
        >>> round(multiplied(3, answers=0.05, decompositions=0.0), 2)
        0.34
    """
    return float(1 - (1 - answers) ** (2**depth) * (1 - decompositions) ** (2**depth - 1))


def game(g: Game, named: str, text: str, *, x: str, worst: float) -> Part:
    """Say what came of one game."""
    none, own, shallow = "overseer without slips", "null: no decomposition", "no depth beyond 1"
    rows = {
        none: g.amplified,
        "direct supervision without slips": g.direct,
        own: g.own,
        "null: random recombination": g.random,
        shallow: g.shallow,
        **{slip.name: learners for slip, learners in g.slipped.items()},
    }
    # As many lines as there are colours to tell apart; what stays at zero, or repeats another, stands in the table.
    seen = [s for s in g.slipped if s.rate == worst and s.arm == AMPLIFIED and (s.systematic or s.kind != "answers")]
    drawn = [none, own, shallow, *(slip.name for slip in seen)]
    learning = {"amplification": g.amplified, "direct supervision": g.direct, own: g.own}
    depths = tuple(range(g.amplified.deepest + 1))
    return part(
        f"{named}: error against depth",
        text,
        *learned(g, named),
        *(c for kind in ("answers", "decompositions") if worst for c in slips(g, named, kind, worst)),
        description(
            f"{named}: slowdown against direct supervision",
            g.amplified.slowdown(g.direct),
            unit=f"questions until no depth errs above {GOOD:.0%}, as a ratio",
            null=Unmeasured("a ratio of costs has none"),
            why="same network, same seeds; direct supervision knows every answer",
        ),
        curves(
            "Error against depth",
            {n: Curve(tuple(map(float, depths)), tuple(map(rows[n].error, depths))) for n in drawn},
            x=x,
            y="share of held-out questions answered wrong",
            caption="95 % intervals over questions and seeds. All arms stand in the table.",
        ),
        curves(
            "Error of the worst depth while X learns",
            {name: learners.learning for name, learners in learning.items()},
            x="questions put to H (or answers given directly)",
            y="largest error at any depth",
            caption="Mean over seeds.",
        ),
        intervals(
            "Growth of the error with depth",
            {name: learners.growth for name, learners in rows.items()},
            x="error per depth",
            caption="Slope per seed; t intervals over seeds.",
        ),
        table_of("Error at each depth", {name: columns(of_arm) for name, of_arm in rows.items()}, of="arm"),
    )


def learned(g: Game, named: str) -> list[Claim]:
    """Does X come to answer what its overseer cannot?"""
    right = g.amplified.right(g.amplified.deepest)
    return [
        claim(
            f"{named}: X answers the deepest questions right ({g.amplified.deepest} doublings)",
            right,
            unit=UNIT,
            null=g.own.right(g.amplified.deepest),
            bar=0.9,
            why="held-out questions whose answer is not trivial, over seeds; null: X learns its own answers",
        ),
        claim(
            f"{named}: the same, beside an overseer who puts the halves together at random",
            right,
            unit=UNIT,
            null=g.random.right(g.amplified.deepest),
            bar=0.9,
            why="as before; null: the overseer splits the question and answers at random",
        ),
        claim(
            f"{named}: X does not carry it up alone from depth 1",
            g.shallow.more_wrong(g.amplified.deepest, than=g.amplified),
            unit=UNIT,
            null=g.shallow.more_wrong(1, than=g.amplified),
            why="error at the deepest questions when no depth beyond 1 is opened, minus error under amplification; null: at 1",
        ),
    ]


def slips(g: Game, named: str, kind: str, rate: float) -> list[Claim]:
    """Do slips of one kind grow with depth?"""
    chance, fixed = (g.slipped[Slipped(kind=kind, rate=rate, systematic=systematic)] for systematic in (False, True))
    expected = multiplied(g.amplified.deepest, **{"answers": 0.0, "decompositions": 0.0, kind: rate})
    return [
        claim(
            f"{named}: {rate:.0%} wrong {kind} by chance cost less than if they multiplied",
            chance.saved(g.amplified.deepest, expected=expected),
            unit=UNIT,
            null=g.amplified.saved(g.amplified.deepest, expected=0.0),
            why="error at the deepest questions if every slip counted, minus the error of X; null: an overseer without slips",
        ),
        claim(
            f"{named}: {rate:.0%} wrong {kind}, always the same, make errors grow with depth",
            fixed.growth,
            unit="error per doubling",
            null=g.amplified.growth,
            why="slope of error against depth, over seeds; null: no slips",
        ),
    ]


def columns(found: Learners) -> dict[str, Cell]:
    """Column -> cell."""
    return {
        **{f"depth {k}": found.error(k) for k in range(found.deepest + 1)},
        "growth per depth": found.growth,
        "H calls": int(np.mean([x.questions for x in found.at])),
        "X asked by H": int(np.mean([x.asked for x in found.at])),
        "starts": float(np.mean([x.starts for x in found.at])),
    }
