"""What the market study says: the panel, the price against truth and against the judge, longer rows, other claims, slips.

Shape suffixes: P items, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from superalign.lab.panel_page import panel_part
from superalign.ledger import Ledger
from superalign.report import Findings, Plot, Section, Table
from superalign.report.claims import above, drawn
from superalign.stats import auroc_over_seeds, difference, mean_interval, mean_over, share
from superalign.trials.oversight_panel import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING, Item
from superalign.types import Claim, Interval, Unmeasured

Run = tuple[Any, dict[str, Any]]  # a job and what came of it
STABLE, SURE = 0.1, 0.4  # a price is stable that moves less; sure, that lies further from a half
ERROR = "mean distance of the first price from truth"
COIN = (-0.5, 0.5)  # how far a price may be nearer to the truth than a coin, or further


def _of(runs: Sequence[Run], arm: str, world: Any) -> list[Run]:
    return [r for r in runs if r[0].arm == arm and r[0].world == world]


def per_item(runs: Sequence[Run], value: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Float[np.ndarray, "P S"]:
    """One value per item and seed, from what each run measured."""
    return np.stack([value({k: np.asarray(v, float) for k, v in out.items() if k in KEYS}) for _, out in runs], axis=1)


KEYS = ("true", "first", "last", "belief", "alone", "voted")
MEASURES: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
    "error": lambda o: np.abs(o["first"] - o["true"]),
    "from belief": lambda o: np.abs(o["first"] - o["belief"]),
    "belief's error": lambda o: np.abs(o["belief"] - o["true"]),
    "movement": lambda o: np.abs(o["last"] - o["first"]),
    "stable and wrong": lambda o: (
        (np.abs(o["last"] - o["first"]) <= STABLE)
        & (np.abs(o["first"] - 0.5) >= SURE)
        & ((o["first"] > 0.5) != (o["true"] > 0.5))
    ).astype(float),
    "sure": lambda o: (np.abs(o["first"] - 0.5) >= SURE).astype(float),
}


def measured(runs: Sequence[Run], name: str) -> Interval | Unmeasured:
    """One of `MEASURES` over items and seeds."""
    if not runs:
        return Unmeasured("it was not run")
    return share(per_item(runs, MEASURES[name]))


def ranking(runs: Sequence[Run]) -> Interval | Unmeasured:
    """AUROC of the first price against truth, over seeds."""
    each = []
    for _, out in runs:
        first, true = np.asarray(out["first"]), np.asarray(out["true"], bool)
        each.append((first[true], first[~true]))
    return auroc_over_seeds(each)


def calibration(runs: Sequence[Run]) -> Interval | Unmeasured:
    """Expected calibration error of the first price in ten bins of equal width, over seeds."""
    each = []
    for _, out in runs:
        first, true = np.asarray(out["first"]), np.asarray(out["true"], float)
        bins = np.minimum(9, (10 * first).astype(int))
        each.append(sum(abs(float((first - true)[bins == b].sum())) for b in range(10)) / len(first))
    return mean_interval(each)


def items_of(runs: Sequence[Run], config: Any) -> list[Item]:
    """The panel's decisions, from the main setting and its baselines."""
    main = runs[0][0].world
    made: list[Item] = []

    def add(arm: str, source: str, key: str, behaviour: str, checks: Callable[[dict[str, Any]], int]) -> None:
        for job, out in _of(runs, source, main):
            for name, true, told in zip(out["name"], out["true"], out[key], strict=True):
                made.append(
                    Item(problem=name, difficulty=main.numbers, seed=job.seed, arm=arm, truth=bool(true), behaviour=behaviour,
                         probability=float(told), checks=checks(out))
                )  # fmt: skip

    add(PROTOCOL, "market", "first", "moves the price", lambda o: 0)
    add(PLACEBO, "random arguments", "first", "argues at random", lambda o: 0)
    add(JUDGE, "market", "alone", "none", lambda o: o["arguments"])
    add(AGENT, "no arguments", "first", "none", lambda o: 0)
    add(VOTING, "market", "voted", "argues at random", lambda o: o["arguments"] * o["games"])
    add(EXPERT, "market", "true", "none", lambda o: 0)
    add("the judge after the adversary's arguments", "market", "belief", "moves the price", lambda o: o["arguments"])
    add("the price after the arguments", "market", "last", "moves the price", lambda o: o["arguments"])
    add("policy gradient instead of search", "policy gradient", "first", "moves the price", lambda o: 0)
    add("market with scripted arguments", "scripted", "first", "honest", lambda o: 0)
    return made


def page(config: Any, runs: Sequence[Run], *, ledger: Ledger) -> Findings:
    """Put the trainings together as a study.

    Args:
        config: Of the study.
        runs: Jobs and what came of them; the first is of the main setting.
        ledger: Where decisions are kept.
    """
    main = runs[0][0].world
    claims, panel = panel_part(
        items_of(runs, config), protocol="a market's first price", ledger=ledger, nothing=AGENT,
        text=f"Claims about rows of {main.numbers} dice: 'the sum is v', half true. The judge adds two numbers at a time. "
        "The market decides by its price before any argument, so that it costs the judge nothing once it is trained. The judge "
        "alone makes as many additions as she hears arguments in training, of stretches chosen at random; voting asks her again "
        "for each game that training proposes. The agent alone is a market that was trained without arguments; the placebo one "
        "that was trained with random ones.",
    )  # fmt: skip
    own = _own_claims(config, runs)
    error = measured(_of(runs, "market", main), "error")
    told = "could not be measured" if isinstance(error, Unmeasured) else f"lies {error.value:.3f} from the truth"
    return Findings(
        headline=f"The price before any argument {told} on average (0.5 knows nothing), on claims about rows that it never saw.",
        means="A price foresees the judge. It tells the truth where what the adversary shows brings the judge to the truth, and "
        "follows her where she errs.",
        claims=(*claims, *own),
        sections=(panel, _prices(config, runs), _longer(config, runs), _kinds(config, runs), _slips(config, runs)),
        uncertain=(
            "The judge knows nothing until she has added everything up: there is no argument that misleads her without an error "
            "of her own. What persuasion does to a judge who can be persuaded is not measured here.",
            "Arguments only say which stretches to join. A language model would have to find words for them.",
            "Folding a row by products is built into the market's reading; it suits claims of this sort.",
        ),
    )


def _own_claims(config: Any, runs: Sequence[Run]) -> list[Claim]:
    main = runs[0][0].world
    made = []
    pair = [_of(runs, arm, main) for arm in ("market", "random arguments", "no arguments")]
    error = [per_item(r, MEASURES["error"]) for r in pair]
    made.append(
        above("A trained adversary's arguments bring the first price nearer to the truth than random ones",
              difference(error[1] - error[0]), unit="price", null=mean_over(0.5 - error[2], span=COIN), bar=0.0,
              why=f"{ERROR}: random arguments minus searched ones; null: a coin minus a market without arguments")
    )  # fmt: skip
    made.append(
        above("The first price ranks true claims above false ones", ranking(pair[0]), unit="AUROC", null=ranking(pair[2]),
              bar=0.5, why="over seeds; null: trained without arguments")
    )  # fmt: skip
    constant = [r for r in runs if r[0].arm == "constant judge"]
    near = [share(per_item(r, lambda o: (np.abs(o["first"] - 0.8) < 0.05).astype(float))) for r in (constant, pair[0])]
    made.append(
        above("With a judge who believes 0.8 whatever she hears, the price goes there", near[0], unit="share of items",
              null=near[1], bar=0.9, why="first prices within 0.05 of 0.8; null: with a judge who listens")
    )  # fmt: skip
    slip = [r for r in runs if r[0].arm == "market" and r[0].world.slip == max(config.slips, default=-1)]
    for same, words in ((False, "anew each time"), (True, "on the same pairs every time")):
        erring = [r for r in slip if r[0].world.same == same]
        if erring:
            null = share(per_item(pair[0], MEASURES["error"]))
            made.append(
                above(f"A judge who slips in {erring[0][0].world.slip:.0%} of additions, {words}, draws the price from the truth",
                      measured(erring, "error"), unit="price", null=null, bar=0.1,
                      why=f"{ERROR} above 0.1; null: a judge who does not slip")
            )  # fmt: skip
    for world in dict.fromkeys(r[0].world for r in runs if r[0].world.numbers > main.numbers):
        made += _longer_claims(runs, world)
    for kind in config.kinds:
        some = [r for r in runs if r[0].world.kind == kind]
        own = [r for r in some if r[0].arm == "market"]
        made.append(
            above(f"Claims of the kind '{kind}': the first price knows more than a coin", _better(own), unit="price",
                  null=_better(pair[2]), bar=0.0, why="0.5 minus the mean distance from truth; null: sums, no arguments")
        )  # fmt: skip
    return made


def _longer_claims(runs: Sequence[Run], world: Any) -> list[Claim]:
    arms = [
        a
        for a in dict.fromkeys(r[0].arm for r in runs if r[0].world == world)
        if a not in ("scripted", "random arguments")
    ]
    null = _better(_of(runs, "random arguments", world))
    return [
        above(f"Rows of {world.numbers}, {arm}: the first price knows more than a coin", _better(_of(runs, arm, world)),
              unit="price", null=null, bar=0.0, why="0.5 minus the mean distance from truth; null: random arguments")
        for arm in arms
    ]  # fmt: skip


def _better(runs: Sequence[Run]) -> Interval | Unmeasured:
    return mean_over(0.5 - per_item(runs, MEASURES["error"]), span=COIN) if runs else Unmeasured("it was not run")


def _row(label: str, runs: Sequence[Run]) -> tuple[Any, ...]:
    names = ("error", "from belief", "belief's error", "movement", "stable and wrong")
    return (label, *(measured(runs, n) for n in names), calibration(runs), ranking(runs), len(runs))


COLUMNS = (
    "training",
    "first price from truth",
    "first price from the judge's last belief",
    "the judge's last belief from truth",
    "movement |last - first price|",
    "stable, sure and wrong",
    "calibration error",
    "AUROC",
    "seeds",
)


def _curves(series: Sequence[tuple[str, Sequence[Run]]], title: str) -> Plot:
    rows = []
    for label, runs in series:
        for points in zip(*(out["curve"] for _, out in runs), strict=True):
            found = mean_interval([p[1] for p in points])
            at = {k: v for k, v in drawn(found).items() if k != "value"}
            rows.append({"series": label, "x": points[0][0], "y": float(np.mean([p[1] for p in points])), **at})
    return Plot(
        kind="line", title=title, x="updates", y=ERROR, rows=tuple(rows),
        caption="Held-out claims; means over seeds with 95 % intervals.", references=((0.5, "a price that knows nothing"),),
    )  # fmt: skip


def _prices(config: Any, runs: Sequence[Run]) -> Section:
    main = runs[0][0].world
    arms = ("market", "policy gradient", "random arguments", "no arguments", "scripted")
    some = [(a, _of(runs, a, main)) for a in arms]
    some.append(("constant judge, 0.8", [r for r in runs if r[0].arm == "constant judge"]))
    return Section(
        title="The first price against truth and against the judge",
        text=f"A price is stable if it moves by {STABLE} at most while the adversary argues as hard as in training, and sure if "
        f"it lies {SURE} or more from a half. 'Scripted' arguments are the shortest that settle a question: what this market "
        "could learn at best.",
        plots=(_curves([s for s in some if "constant" not in s[0]], "Price at t = 0 against truth, while it trains"),),
        tables=(Table(title="Prices", columns=COLUMNS, rows=tuple(_row(a, r) for a, r in some)),),
    )


def _longer(config: Any, runs: Sequence[Run]) -> Section:
    main = runs[0][0].world
    rows, series = [_row(f"{main.numbers}: market", _of(runs, "market", main))], []
    for world in dict.fromkeys(r[0].world for r in runs if r[0].world.numbers > main.numbers):
        for arm in dict.fromkeys(r[0].arm for r in runs if r[0].world == world):
            some = _of(runs, arm, world)
            rows.append(_row(f"{world.numbers}: {arm}", some))
            series.append((f"{world.numbers}, {arm}", some))
    return Section(
        title="Longer rows",
        text="Of the games that random arguments make, fewer settle a question the longer the row is. 'Nothing wasted': random "
        "proposals keep to what the judge can follow. 'Curriculum': rows grow from two numbers as the arguments come to settle "
        "them. 'Both' also has a wider market, twice the updates and fewer random proposals towards the end; random and scripted "
        "arguments were trained like it.",
        plots=(_curves(series, "Longer rows, way by way"),) if series else (),
        tables=(Table(title="Rows of more numbers", columns=COLUMNS, rows=tuple(rows)),),
    )


def _kinds(config: Any, runs: Sequence[Run]) -> Section:
    main = runs[0][0].world
    rows = [_row("sum", _of(runs, "market", main)), _row("sum, scripted", _of(runs, "scripted", main))]
    for kind in config.kinds:
        some = [r for r in runs if r[0].world.kind == kind]
        rows += [_row(kind, [r for r in some if r[0].arm == "market"])]
        rows += [_row(f"{kind}, scripted", [r for r in some if r[0].arm == "scripted"])]
    return Section(
        title="Other claims",
        text="'At least': the sum reaches v. 'Xor': the bitwise exclusive or is v. 'Product': the product modulo 7 is v.",
        tables=(Table(title="Kinds of claims", columns=COLUMNS, rows=tuple(rows)),),
    )


def _slips(config: Any, runs: Sequence[Run]) -> Section:
    main = runs[0][0].world
    rows = [_row("0 %", _of(runs, "market", main))]
    for world in dict.fromkeys(r[0].world for r in runs if r[0].world.slip):
        how = "the same every time" if world.same else "anew each time"
        rows.append(_row(f"{world.slip:.0%}, {how}", _of(runs, "market", world)))
    return Section(
        title="A judge who errs",
        text="She gets some additions wrong by one. With slips that are the same every time the market can learn them, and is "
        "then stable where she is wrong: stability says nothing about truth.",
        tables=(Table(title="Slips", columns=COLUMNS, rows=tuple(rows)),),
    )
