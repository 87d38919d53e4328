"""Curves of the debate study: along training, truth against pay, strength against accuracy, judges against critics.

Shape suffixes: N chains, S seeds, T stages of training, C cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from superalign.report import Plot, Section, Table
from superalign.report.claims import above
from superalign.stats import difference, mean_interval, mean_over, share
from superalign.stats.elo import bradley_terry
from superalign.types import Claim, Interval, Unmeasured

Part = tuple[list[Claim], Section]
Told = Mapping[str, Any]


def _half(scores: Any) -> np.ndarray:
    x = np.asarray(scores, float)
    return np.where(x == 0.5, 0.5, x > 0.5)


def consultancy_scores(told: Told, stage: int) -> list[list[float]]:
    """The judge's probability of the true claim and of the false one, for each chain."""
    scores: list[list[float]] = told["stages"][str(stage)]
    return scores


def _line(title: str, x: str, y: str, rows: Sequence[Mapping[str, Any]], caption: str, **more: Any) -> Plot:
    kept = tuple(r for r in rows if not isinstance(r["y"], Unmeasured))
    return Plot(kind="line", title=title, x=x, y=y, rows=kept, caption=caption, **more)


def _point(series: str, x: float, found: Interval | Unmeasured, otherwise: float) -> dict[str, Any]:
    """A point of a line; without its ends where nothing varied."""
    if isinstance(found, Unmeasured):
        return {"series": series, "x": x, "y": otherwise}
    return {"series": series, "x": x, "y": found.value, "low": found.low, "high": found.high}


def training_part(of: Mapping[str, Sequence[Told]]) -> Part:
    """The judge's accuracy and what telling the truth earns, along the training of debaters and consultants."""
    stages = sorted(map(int, of["debates"][0]["stages"]))
    right, earns, ends = list[dict[str, Any]](), list[dict[str, Any]](), dict[str, list[np.ndarray]]()
    for stage in stages:
        debated = np.array([d["stages"][str(stage)] for d in of["debates"]])  # (S, order, N)
        consulted = np.array([consultancy_scores(d, stage) for d in of["consultancies"]])  # (S, truth, N)
        accuracy = {
            "debate": _half(debated).mean(1),
            "consultancy, side assigned": (_half(consulted[:, 0]) + 1 - _half(consulted[:, 1])) / 2,
        }
        # The judge's probability of a false claim is the rest of that of the true one, in a debate alone.
        paid = {
            "debate": np.log(debated[:, 0]) - np.log(1 - debated[:, 1]),
            "consultancy, side assigned": np.log(consulted[:, 0]) - np.log(consulted[:, 1]),
        }
        for name in accuracy:
            right.append(_point(name, stage, share(accuracy[name].T), float(accuracy[name].mean())))
            earns.append(_point(name, stage, mean_over(paid[name].T), float(paid[name].mean())))
            ends.setdefault(name, []).append(accuracy[name])
    grown = {name: difference((x[-1] - x[0]).T) for name, x in ends.items()}
    placebo = np.array([_half(d["placebo"]).mean(0) for d in of["debates"]])
    null = difference((placebo - ends["debate"][0]).T)
    claims = [
        above(
            f"Training {who} makes the judge right more often",
            grown[name],
            unit="share of decisions",
            null=null,
            bar=0.0,
            why="after training minus before, held-out chains; null: the trained debate's placebo minus before "
            "training",
        )
        for name, who in (("debate", "debaters"), ("consultancy, side assigned", "consultants"))
    ]
    plots = (
        _line("The judge's accuracy along training", "updates", "share of decisions that are right", right,
              "Bands: 95 % over chains and seeds. Both sides, both orders.", references=((0.5, "a coin"),)),
        _line("What telling the truth earns along training", "updates", "nats", earns,
              "Agent score difference: log-probability that a true claim earns minus what a false one does.",
              references=((0.0, "nothing"),)),
    )  # fmt: skip
    text = (
        "Players start from random weights and learn from the judge's verdict alone. Debaters learn to find each "
        "other's errors; a consultant learns to be approved of, whichever side it was given."
    )
    return claims, Section(title="Along training", text=text, plots=plots)


def _moves(told: Told, of: str) -> tuple[np.ndarray, np.ndarray]:
    """Change of truth at each stretch of training: predicted to first order, and measured.

    Pay is measured against the opponent of the stretch's beginning, so that it changes with the agent alone.
    """
    at, after = told["moments"], told["after"]
    slope = np.array([m[of] / m["var"] if m["var"] > 0 else 0.0 for m in at[:-1]])
    paid = np.array([a["paid"] - m["paid"] for a, m in zip(after, at, strict=False)])
    true = np.array([b["true"] - a["true"] for a, b in itertools.pairwise(at)])
    return slope * paid, true


def covariance_part(of: Mapping[str, Sequence[Told]]) -> Part:
    """The covariance of pay and truth against what training does to truth, and how much is paid beyond what is true."""
    claims, rows, table = list[Claim](), list[dict[str, Any]](), list[tuple[Any, ...]]()
    for what in ("open debate", "open consultancy"):
        told = of[what]
        moved = [_moves(d, "cov") for d in told]
        apart = [_moves(d, "apart")[0].sum() for d in told]
        for name, which in (("predicted", 0), ("measured", 1)):
            path_ST = np.array([np.concatenate([[0.0], np.cumsum(m[which])]) for m in moved])
            path_ST += np.array([[d["moments"][0]["true"]] for d in told])
            for t, stage in enumerate(told[0]["stages"]):
                found = mean_interval(path_ST[:, t])
                rows.append(_point(f"{what}, {name}", stage, found, float(path_ST[:, t].mean())))
        predicted, measured = (mean_interval([m[k].sum() for m in moved]) for k in (0, 1))
        null = mean_interval(apart)
        why = (
            "summed over training: covariance over variance of pay within a chain, times the change of pay against the "
            f"same opponent. Measured change: {_words(measured)}. Null: pay covaried with the truth of another chain's "
            "agents"
        )
        name = f"{what.capitalize()}: pay and truth covary, which predicts that training moves agents towards truth"
        claims.append(above(name, predicted, unit="predicted change of share, over seeds", null=null, bar=0.0, why=why))
        missed = mean_interval([m[1].sum() - m[0].sum() for m in moved])
        over = mean_interval([d["moments"][-1]["paid"] - d["moments"][-1]["true"] for d in told])
        ends = [[d["moments"][k][name] for d in told] for k in (0, -1) for name in ("paid", "true")]
        table.append((what, *(mean_interval(x) for x in ends), over, predicted, missed))
        if isinstance(over, Interval):
            claims.append(
                Claim(
                    name=f"{what.capitalize()}: what the judge pays beyond what is true",
                    value=over.value, low=over.low, high=over.high, n=over.n, unit="probability, over seeds",
                    null=mean_interval([d["moments"][0]["paid"] - d["moments"][0]["true"] for d in told]),
                    holds=Unmeasured("a description, not a hypothesis"),
                    why="mean probability that the trained-against judge gives the agent's claim, minus the share of "
                    "these that are true; null: before training",
                )
            )  # fmt: skip
    caption = (
        "An agent chooses which side to argue, and is trained on the judge's word. Predicted: the sum over training of "
        "covariance over variance of pay, times the change of pay. Bands: 95 % over seeds."
    )
    coin = ((0.5, "a coin"),)
    plot = _line("Share of agents that argue the truth", "updates", "share", rows, caption, references=coin)
    columns = ("protocol", "paid before", "true before", "paid after", "true after", "paid beyond what is true",
               "change of truth predicted", "measured minus predicted")  # fmt: skip
    text = (
        "For a policy tilted exactly towards pay, truth changes as the covariance of pay and truth. Training by policy "
        "gradient on shared weights is not that tilt, so the sum can drift from what is measured."
    )
    made = Table(title="Agents that choose their side", columns=columns, rows=tuple(table))
    return claims, Section(
        title="Does pay for being believed move an agent towards truth?", text=text, plots=(plot,), tables=(made,)
    )


def elo_part(told: Sequence[Told]) -> Part:
    """Strength of debaters against how often the judge of their debates is right."""
    who = [tuple(w) for w in told[0]["who"]]
    elo_SK = np.array([bradley_terry(np.array(d["wins"]) * 100) for d in told])
    right_SK, null_SK = (np.array([d[k] for d in told]) for k in ("right", "placebo"))
    slopes, nulls = (
        mean_interval([100 * float(np.polyfit(e, y, 1)[0]) for e, y in zip(elo_SK, of_SK, strict=True)])
        for of_SK in (right_SK, null_SK)
    )
    trained = max(w[1] for w in who)
    rows = [
        {"series": f"{w[1]} updates", "x": float(elo_SK[:, k].mean()), "y": float(right_SK[:, k].mean())}
        for k, w in enumerate(who)
    ]
    best = [k for k, w in enumerate(who) if w[1] == trained]
    within = mean_interval(
        [100 * float(np.polyfit(e[best], y[best], 1)[0]) for e, y in zip(elo_SK, right_SK, strict=True)]
    )
    unit = "share right per 100 Elo points, over seeds"
    claims = [
        above(
            "Stronger debaters make the judge right more often",
            slopes,
            unit=unit,
            null=nulls,
            bar=0.0,
            why="each debater plays itself; strengths from all pairs, honest against lying; null: placebo transcripts",
        )
    ]
    table = Table(
        title="Debaters",
        columns=("reads whole chains right", "updates", "Elo", "judge right"),
        rows=tuple(
            (w[0], int(w[1]), mean_interval(elo_SK[:, k]), mean_over(right_SK[:, k], span=(0.0, 1.0))) for k, w in enumerate(who)
        ),
    )  # fmt: skip
    plot = _line("Strength of debaters and the judge's accuracy", "Elo", "share of decisions that are right",
                 sorted(rows, key=lambda r: (str(r["series"]), float(r["x"]))),
                 "One point for each ability and stage of training, mean over seeds.", references=((0.5, "a coin"),))  # fmt: skip
    text = (
        f"{len(who)} debaters, of several abilities and stages, play each other on the held-out chains. Among the "
        f"fully trained alone, the slope is {_words(within)} per 100 points. Ability and training are what makes "
        "strength here, so the slope is not that of persuasion apart from knowledge."
    )
    return claims, Section(title="Strength", text=text, plots=(plot,), tables=(table,))


def _words(found: Interval | Unmeasured) -> str:
    return found.why if isinstance(found, Unmeasured) else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def sweep_part(told: Sequence[Told]) -> Part:
    """Judges by critics: where does a debate beat the judge working the whole chain in its head?"""
    cells = sorted({(d["judge_knows"], d["ability"]) for d in told})
    gap_C, gain_CNS, blind_CNS = list[float](), list[np.ndarray](), list[np.ndarray]()
    rows, lines = list[tuple[Any, ...]](), list[dict[str, Any]]()
    for judge, ability in cells:
        mine = [d for d in told if (d["judge_knows"], d["ability"]) == (judge, ability)]
        x = {k: np.array([d[k] for d in mine]).T for k in ("debate", "judge", "agent", "random midpoints")}  # (N, S)
        gap = float(x["agent"].mean() - x["judge"].mean())
        gained = x["debate"] - x["judge"]
        gap_C.append(gap)
        blind_CNS.append(x["random midpoints"] - 0.5)
        gain_CNS.append(gained)
        found = difference(gained)
        rows.append((judge, ability, *(share(x[k]) for k in ("judge", "agent", "debate")), gap, found))
        lines.append(_point(f"judge knows {judge:.0%} of the facts", gap, found, float(gained.mean())))
    claims = []
    weaker, stronger = (
        [g for g, gap in zip(gain_CNS, gap_C, strict=True) if (gap > 0) == side] for side in (True, False)
    )
    # Cells share chains and seeds, so that only the mean over cells has chains and seeds that are drawn.
    null = mean_over(np.mean(blind_CNS, axis=0), span=(-0.5, 0.5))
    for name, some in (
        ("a judge weaker than its critics", weaker),
        ("a judge as good as its critics, or better", stronger),
    ):
        pooled = difference(np.mean(some, axis=0)) if some else Unmeasured("no such cell")
        claims.append(
            above(
                f"Debate helps {name}",
                pooled,
                unit="share of decisions",
                null=null,
                bar=0.0,
                why=f"{len(some)} cells of the sweep; debate with one check minus the judge working out all operations "
                "in its head; null: random midpoints minus a coin"
                + ("" if name.endswith("critics") else ". Said in advance: this should not hold"),
            )
        )  # fmt: skip
    caption = (
        "Each line is one judge. Both axes subtract that judge's accuracy, so lines are to be read one by one: along a "
        "line only the critic changes. Bands: 95 % over chains and seeds."
    )
    lines.sort(key=lambda r: (str(r["series"]), float(r["x"])))
    plot = _line(
        "What a debate adds, by how much better the critic is than the judge",
        "agent alone minus judge alone, share right",
        "debate minus judge alone, share right",
        lines,
        caption,
        references=((0.0, "no gain"),),
    )
    columns = (
        "facts the judge knows",
        "chains the debaters read right",
        "judge alone",
        "agent alone",
        "debate",
        "critic minus judge",
        "debate minus judge",
    )
    text = (
        "Judges who are wrong for good about some elementary facts, by debaters of several abilities, each trained "
        "against its judge. The judge alone works out the whole chain in its head, without limit on checks, and errs "
        "where its facts are wrong; in a debate it uses one of them."
    )
    return claims, Section(
        title="When does a debate help?",
        text=text,
        plots=(plot,),
        tables=(Table(title="Cells", columns=columns, rows=tuple(rows)),),
    )
