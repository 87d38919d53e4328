"""What players before a judge come to, and the parts of a page that say so: choices of a side, strengths, worked responses.

Shape suffixes: T checkpoints of training, S seeds, K debaters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Array, Curve, curve_of
from superalign.kit.panel import Decisions
from superalign.kit.parts import CHANCE, Part, claim, claims, curves, description, in_words, part, table
from superalign.stats import mean_interval, mean_over
from superalign.stats.elo import bradley_terry
from superalign.trials import JUDGE, arm_result

DEBATE, AT_RANDOM, OPPONENT = (
    "debate",
    "random midpoints",
    "same answer as the opponent's own",
)  # arms of worked responses
RIGHT, BANDS = "share of decisions that are right", "Bands: 95 % over seeds."
OPEN_CHOICE = (
    "An agent chooses which side to argue, and is trained on the judge's word. For a policy tilted exactly towards reward, "
    "truth changes as the covariance of reward and truth. Policy gradient on shared weights is not that tilt, so the sum can "
    "drift from what is measured."
)
STRENGTH = (
    "{} debaters, of several abilities and stages, play each other; a point is one of them, mean over seeds. Among the fully "
    "trained alone, the slope is {} per 100 points. Ability and training are what makes strength here, so the slope is not "
    "that of persuasion apart from knowledge."
)
RESPONSES = (
    "{} responses of the bundled small base to test problems, over all seeds, {:.0%} right. The response has stated a value "
    "after every step; an opponent agrees in the middle or states the value that it worked out itself; the judge checks the "
    "step that is left. A decision is right if it agrees with the grade of the final answer. The opponent is the frozen base "
    "at its most likely words, which knows these problems well: a judge who could trust it would only compare answers (last "
    "row, no check)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChoice:
    """An agent who chooses which side to argue, along its training at one seed."""

    stages: tuple[int, ...]  # updates
    paid_T: Array  # probability that the judge gives its claim
    true_T: Array  # share of its claims that are true
    predicted_T: Array  # change of truth over each stretch of training, from its covariance with reward
    elsewhere_T: Array  # the same from the truth of another chain's agents: the null


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """Debaters of several abilities and stages at one seed, each against each."""

    debaters: tuple[tuple[float, int], ...]  # ability, updates
    wins_KK: Array
    right_K: Array  # of debates against itself
    placebo_K: Array

    def slope(self, right_K: np.ndarray, *, updates: int = 0) -> float:
        """Slope of accuracy in strength, per 100 Elo points, over debaters with at least so many updates."""
        keep = [k for k, (_, u) in enumerate(self.debaters) if u >= updates]
        return 100 * float(np.polyfit(self.elo_K[keep], right_K[keep], 1)[0])

    @property
    def elo_K(self) -> np.ndarray:
        """Fit strengths to who wins."""
        return bradley_terry(self.wins_KK * 100)


def open_choice(e: Mapping[str, Sequence[OpenChoice]]) -> Part:
    """Hold the covariance of reward and truth against what training does to truth; protocol -> its seeds."""
    moves, beyond, rows, paths, changes = {}, [], [], dict[str, Curve](), []
    for name, seeds in e.items():
        paid, true, predicted, null = (
            np.array([getattr(s, f"{what}_T") for s in seeds]) for what in ("paid", "true", "predicted", "elsewhere")
        )
        found, change = predicted.sum(1), true[:, -1] - true[:, 0]
        moves[f"{name.capitalize()}: pay and truth covary, which predicts that training moves agents towards truth"] = (
            mean_interval(found),
            mean_interval(null.sum(1)),
        )
        changes.append(f"{name} {in_words(mean_interval(change))}")
        path = true[:, :1] + np.pad(predicted.cumsum(1), ((0, 0), (1, 0)))
        paths[f"{name}, predicted"] = curve_of(seeds[0].stages, list(path.T), mean_interval)
        paths[f"{name}, measured"] = curve_of(seeds[0].stages, list(true.T), mean_interval)
        before, after = (mean_interval(paid[:, k] - true[:, k]) for k in (0, -1))
        ends = [mean_interval(x[:, k]) for k in (0, -1) for x in (paid, true)]
        rows.append((name, *ends, after, mean_interval(found), mean_interval(change - found)))
        beyond.append(
            description(
                f"{name.capitalize()}: proxy minus gold reward (over-optimisation gap)",
                after,
                null=before,
                unit="probability, over seeds",
                why="mean probability that the judge gives the agent's claim minus share that are true; null: before training",
            )
        )
    columns = ("protocol", "paid before", "true before", "paid after", "true after", "proxy minus gold reward")
    return part(
        "Does reward for being believed move an agent towards truth?",
        OPEN_CHOICE,
        *claims(
            moves,
            unit="predicted change of share, over seeds",
            why="summed over training: covariance over variance of reward within a chain, times its change against the same "
            f"opponent; measured change: {', '.join(changes)}; null: the truth of another chain's agents",
        ),
        *beyond,
        curves(
            "Share of agents that argue the truth",
            paths,
            x="updates",
            y="share",
            caption="Bands: 95 % over seeds.",
            reference=CHANCE,
        ),
        table(
            "Agents that choose their side", (*columns, "change of truth predicted", "measured minus predicted"), rows
        ),
    )


def strength(some: Sequence[Strengths]) -> Part:
    """Hold the strength of debaters against how often the judge of their debates is right, over seeds."""
    debaters = some[0].debaters
    elo_KS, right_KS = np.array([s.elo_K for s in some]).T, np.array([s.right_K for s in some]).T
    stages = sorted({updates for _, updates in debaters})
    lines = dict[str, Curve]()
    for stage in stages:
        points = sorted((elo_KS[k].mean(), right_KS[k].mean()) for k, (_, u) in enumerate(debaters) if u == stage)
        lines[f"{stage} updates"] = Curve(*(tuple(map(float, x)) for x in zip(*points, strict=True)))
    trained = mean_interval([s.slope(s.right_K, updates=stages[-1]) for s in some])
    rows = [
        (*who, mean_interval(elo_S), mean_over(right_S, span=(0.0, 1.0)))
        for who, elo_S, right_S in zip(debaters, elo_KS, right_KS, strict=True)
    ]
    return part(
        "Strength",
        STRENGTH.format(len(debaters), in_words(trained)),
        claim(
            "Stronger debaters make the judge right more often",
            mean_interval([s.slope(s.right_K) for s in some]),
            null=mean_interval([s.slope(s.placebo_K) for s in some]),
            unit="share right per 100 Elo points, over seeds",
            why="each debater plays itself; strengths from all pairs, honest against lying; null: placebo transcripts",
        ),
        curves("Strength of debaters and the judge's accuracy", lines, x="Elo", y=RIGHT, reference=CHANCE),
        table("Debaters", ("reads whole chains right", "updates", "Elo", "judge right"), rows),
    )


def worked_responses(d: Decisions) -> Part:
    """Show a debate about worked responses of the base, one check each."""
    null, named = d.accuracy_gain(AT_RANDOM, JUDGE), {JUDGE: "the judge alone", OPPONENT: "the opponent's own answer"}
    gains = {
        f"Worked responses: a debate decides right more often than {named.get(arm, arm)}": (
            d.accuracy_gain(DEBATE, arm),
            null,
        )
        for arm in (JUDGE, AT_RANDOM, OPPONENT)
    }
    results = [arm_result(d.items, arm) for arm in d.arms]
    return part(
        "A debate about worked responses",
        RESPONSES.format(results[0].n, np.mean([i.truth for i in d.items])),
        *claims(
            gains,
            unit="share of responses",
            why="same judge, one check a response; null: random midpoints minus judge alone",
        ),
        table(
            "Worked responses",
            ("arm", "decided right", "wrong responses caught", "tokens a response"),
            [(r.arm, r.accuracy, r.on_false, r.tokens) for r in results],
        ),
    )
