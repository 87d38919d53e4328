"""What the amplification study says: error against depth, whose errors grow, what it costs, and the judge made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from superalign.lab.trained import TrainedAgainst, training
from superalign.report import Findings, Plot, Section, Table
from superalign.report.claims import above, described, drawn
from superalign.report.findings import Cell
from superalign.stats import all_equal, difference, mean_interval, ratio_interval, share
from superalign.types import Claim, Interval, Unmeasured

AMPLIFIED, DIRECT = "amplification", "direct supervision"
OWN, RANDOM, SHALLOW = "no decomposition", "random recombination", "no depth beyond 1"
GOOD = 0.05  # error at every depth that counts as learned
UNIT = "share of questions"

Runs = Sequence[tuple[Any, Mapping[str, Any]]]


def _of(
    runs: Runs, game: str, arm: str, *, answers: float = 0.0, decompositions: float = 0.0, systematic: bool = False
) -> list[Mapping[str, Any]]:
    return [
        made
        for item, made in runs
        if (item.game, item.arm, item.answers, item.decompositions, item.systematic)
        == (game, arm, answers, decompositions, systematic)
    ]


def errors(some: Sequence[Mapping[str, Any]], depth: int) -> np.ndarray:
    """Share of wrong answers per held-out row and seed, (P, S), rows without a question that counts left out."""
    wrong_PS = np.array([made["wrong"][depth] for made in some]).T
    return np.asarray(wrong_PS[(wrong_PS >= 0).all(axis=1)])


def growth(some: Sequence[Mapping[str, Any]]) -> Interval | Unmeasured:
    """d(error)/d(depth): the slope of a line through a seed's errors, over seeds; over questions where there was no error."""
    depths = len(some[0]["wrong"])
    each = [float(np.polyfit(range(depths), [_mean(w) for w in made["wrong"]], 1)[0]) for made in some]
    if all(_mean(w) == 0 for made in some for w in made["wrong"]):
        x = np.arange(depths) - (depths - 1) / 2
        steepest = float(np.abs(x).sum() / 2 / (x**2).sum())  # errors alone in the deeper half, none in the other
        return all_equal(0.0, n=len(errors(some, depths - 1)), span=(-steepest, steepest))
    return mean_interval(each)


def _mean(wrong: Sequence[float]) -> float:
    return float(np.mean([w for w in wrong if w >= 0]))


def learned_at(made: Mapping[str, Any]) -> int | None:
    """Questions after which no measured error at any depth is above the bar again; None if that never comes.

    Example:
        >>> learned_at({"curve": [[10, [0.0, 0.9]], [20, [0.0, 0.01]], [30, [0.0, 0.0]]]})
        20
    """
    after = None
    for questions, error in reversed(made["curve"]):
        if max(error) > GOOD:
            break
        after = int(questions)
    return after


def multiplied(depth: int, *, answers: float, decompositions: float) -> float:
    """Error at a depth if every slip below it counted, as in a tree that nobody distils.

    Example:
        >>> round(multiplied(3, answers=0.05, decompositions=0.0), 2)
        0.34
    """
    return float(1 - (1 - answers) ** (2**depth) * (1 - decompositions) ** (2**depth - 1))


def page(config: Any, *, runs: Runs, trained: TrainedAgainst | None) -> Findings:
    """Write the study.

    Args:
        config: Its settings.
        runs: Every X: its job and what came of it.
        trained: What came of training against the judge; empty if that part was left out.
    """
    claims, sections = [], []
    for game, named in (("permutations", "Permutations"), ("expressions", "Expressions")):
        claims += _claims(runs, game, named, config)
        sections.append(_section(runs, game, named, config))
    for made in training(trained, protocol="amplification"):
        claims += made.claims
        sections.append(made.section)
    first = claims[0]
    worst = max(config.rates, default=0.0)
    slope = (
        growth(_of(runs, "permutations", AMPLIFIED, decompositions=worst, systematic=True))
        if worst
        else Unmeasured("no slips")
    )
    lost = _said(slope.value if isinstance(slope, Interval) else slope)
    return Findings(
        headline=f"X answers {_said(first.value)} of the deepest questions right that its overseer cannot answer; an "
        f"overseer who always splits the same {worst:.0%} of questions wrongly loses {lost} more with every doubling.",
        means="Compare the errors that come by chance with those that are always the same: what X averages away, and what it "
        "learns and passes up. The games are small, and every question can be halved: nothing is said of questions that cannot.",
        claims=tuple(claims),
        sections=tuple(sections),
        uncertain=(
            "The overseer is a short program. Christiano and others also learn a model of the human who decomposes, to need "
            "few human calls; here every question is put to the overseer, and the calls are counted.",
            "X spends one more turn of the same layer per doubling or operation. With a layer of its own for every doubling it "
            "did not learn the fourth in 1,100 updates, so the result is of protocol and network together. The arm that opens no "
            "depth beyond 1 shows how much of it the network carries up alone.",
            "Questions about expressions of one operation are few (300), and training has seen them all.",
            "A judge made of X solves the problem itself; this shows that a judge who can check one step can be helped to judge "
            "six, not that judging is easier than solving.",
        ),
    )


def _said(value: float | Unmeasured) -> str:
    return "an unmeasured share" if isinstance(value, Unmeasured) else f"{value:.1%}"


def _right(some: Sequence[Mapping[str, Any]], depth: int) -> Interval | Unmeasured:
    return share(1 - errors(some, depth))


def _claims(runs: Runs, game: str, named: str, config: Any) -> list[Claim]:
    exact = _of(runs, game, AMPLIFIED)
    own, random, shallow = (_of(runs, game, arm) for arm in (OWN, RANDOM, SHALLOW))
    deepest = len(exact[0]["wrong"]) - 1
    claims = [
        above(
            f"{named}: X answers the deepest questions right ({deepest} doublings)",
            _right(exact, deepest),
            unit=UNIT,
            null=_right(own, deepest),
            bar=0.9,
            why="held-out questions whose answer is not trivial, over seeds; null: X learns its own answers",
        ),
        above(
            f"{named}: the same, beside an overseer who puts the halves together at random",
            _right(exact, deepest),
            unit=UNIT,
            null=_right(random, deepest),
            bar=0.9,
            why="as before; null: the overseer splits the question and answers at random",
        ),
        above(
            f"{named}: X does not carry it up alone from depth 1",
            difference(errors(shallow, deepest) - errors(exact, deepest)),
            unit=UNIT,
            null=difference(errors(shallow, 1) - errors(exact, 1)),
            bar=0.0,
            why="error at the deepest questions when no depth beyond 1 is opened, minus error under amplification; null: at 1",
        ),
    ]
    clean = growth(exact)
    for kind in ("answers", "decompositions") if config.rates else ():
        worst = max(config.rates)
        chance = _of(runs, game, AMPLIFIED, **{kind: worst})
        fixed = _of(runs, game, AMPLIFIED, systematic=True, **{kind: worst})
        rates = {"answers": 0.0, "decompositions": 0.0, kind: worst}
        claims += [
            above(
                f"{named}: {worst:.0%} wrong {kind} by chance cost less than if they multiplied",
                _saved(chance, deepest, multiplied(deepest, **rates)),
                unit=UNIT,
                null=_saved(exact, deepest, 0.0),
                bar=0.0,
                why="error at the deepest questions if every slip counted, minus the error of X; null: an overseer without slips",
            ),
            above(
                f"{named}: {worst:.0%} wrong {kind}, always the same, make errors grow with depth",
                growth(fixed),
                unit="error per doubling",
                null=clean,
                bar=0.0,
                why="slope of error against depth, over seeds; null: no slips",
            ),
        ]
    found = _slowdown(runs, game)
    claims.append(
        described(
            f"{named}: slowdown against direct supervision",
            found,
            unit=f"questions until no depth errs above {GOOD:.0%}, as a ratio",
            null=Unmeasured("a ratio of costs has none"),
            why="same network, same seeds; direct supervision knows every answer",
            holds=Unmeasured("a description, not a hypothesis"),
        )
    )
    return claims


def _saved(some: Sequence[Mapping[str, Any]], depth: int, expected: float) -> Interval | Unmeasured:
    """How far an error lies below the one that is expected."""
    found = share(errors(some, depth))
    if isinstance(found, Unmeasured):
        return found
    return Interval(value=expected - found.value, low=expected - found.high, high=expected - found.low, n=found.n)


def _slowdown(runs: Runs, game: str) -> Interval | Unmeasured:
    mine, theirs = ([learned_at(m) for m in _of(runs, game, arm)] for arm in (AMPLIFIED, DIRECT))
    if None in (*mine, *theirs):
        late = sum(v is None for v in mine), sum(v is None for v in theirs)
        return Unmeasured(
            f"{late[0]} of {len(mine)} seeds under amplification, {late[1]} under direct supervision, never got there"
        )
    found = ratio_interval([float(v or 0) for v in mine], [float(v or 0) for v in theirs])
    if isinstance(found, Interval):
        return found
    each = [float(a or 0) / float(b or 1) for a, b in zip(mine, theirs, strict=True)]
    return mean_interval(each) if len(set(each)) > 1 else found


def _section(runs: Runs, game: str, named: str, config: Any) -> Section:
    rows: list[tuple[str, list[Mapping[str, Any]]]] = [
        ("overseer without slips", _of(runs, game, AMPLIFIED)),
        ("direct supervision without slips", _of(runs, game, DIRECT)),
        *((f"null: {arm}", _of(runs, game, arm)) for arm in (OWN, RANDOM)),
        (SHALLOW, _of(runs, game, SHALLOW)),
    ]
    for rate in config.rates:
        for systematic in (False, True):
            how = "always the same" if systematic else "by chance"
            for kind in ("answers", "decompositions"):
                rows.append(
                    (
                        f"{rate:.0%} wrong {kind}, {how}",
                        _of(runs, game, AMPLIFIED, systematic=systematic, **{kind: rate}),
                    )
                )
            rows.append(
                (
                    f"direct, {rate:.0%} wrong answers, {how}",
                    _of(runs, game, DIRECT, answers=rate, systematic=systematic),
                )
            )
    rows = [(name, some) for name, some in rows if some]
    K = len(rows[0][1][0]["wrong"])
    what = "doublings" if game == "permutations" else "depth (" + ", ".join(map(str, config.lengths)) + " operations)"
    # As many lines as there are colours to tell apart; what stays at zero, or repeats another, stands in the table.
    worst = max(config.rates, default=0.0)
    seen = {rows[0][0], f"null: {OWN}", SHALLOW}
    seen |= {f"{worst:.0%} wrong {kind}, always the same" for kind in ("answers", "decompositions")}
    seen.add(f"{worst:.0%} wrong decompositions, by chance")
    line: list[Mapping[str, Cell]] = [
        {"series": name, "x": depth, "y": f.value, "low": f.low, "high": f.high}
        for name, some in rows
        if name in seen
        for depth in range(K)
        if isinstance(f := share(errors(some, depth)), Interval)
    ]
    shown = [
        (name, _of(runs, game, arm)) for name, arm in ((AMPLIFIED, AMPLIFIED), (DIRECT, DIRECT), (f"null: {OWN}", OWN))
    ]
    learning: list[Mapping[str, Cell]] = [
        {"series": name, "x": int(point[0][0]), "y": float(np.mean([max(p[1]) for p in point]))}
        for name, some in shown
        for point in zip(*(m["curve"] for m in some), strict=True)
    ]
    table = Table(
        title="Error at each depth",
        columns=("arm", *(f"depth {k}" for k in range(K)), "growth per depth", "H calls", "X asked by H", "starts"),
        rows=tuple(
            (
                name,
                *(share(errors(some, k)) for k in range(K)),
                growth(some),
                int(np.mean([m["questions"] for m in some])),
                int(np.mean([m["asked"] for m in some])),
                float(np.mean([m["tries"] for m in some])),
            )
            for name, some in rows
        ),
    )
    text = {
        "permutations": f"A question lists a permutation of {config.elements} elements and asks where one of them is after 2^k "
        "applications. The overseer H reads sigma(x) off the list, and splits every other question in two. Questions whose "
        "answer is the element itself are left out of the errors: saying that nothing moves would answer them. An X that has not "
        "come to agree with H at every depth is given up for a fresh start, up to three; its questions are counted.",
        "expressions": "A question is a chain of operations modulo ten. H looks one operation up, and splits every longer chain "
        "in two halves.",
    }[game]
    plots = (
        Plot(
            kind="line",
            title="Error against depth",
            x=what,
            y="share of held-out questions answered wrong",
            rows=tuple(line),
            caption="95 % intervals over questions and seeds. All arms stand in the table.",
        ),
        Plot(
            kind="line",
            title="Error of the worst depth while X learns",
            x="questions put to H (or answers given directly)",
            y="largest error at any depth",
            rows=tuple(learning),
            caption="Mean over seeds.",
        ),
        Plot(
            kind="intervals",
            title="Growth of the error with depth",
            x="error per depth",
            y="",
            rows=tuple({"label": name, **drawn(growth(some))} for name, some in rows),
            caption="Slope per seed; t intervals over seeds.",
        ),
    )
    return Section(title=f"{named}: error against depth", text=text, tables=(table,), plots=plots)
