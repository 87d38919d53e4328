"""Pictures and tables of the scaling study: all games at one gap, then each game by size, against the gap, and in both Elos.

Shape suffixes: B resamples, S seeds, G guards, A agents, N chains, K sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from superalign.report import Plot, Section, Table
from superalign.report.claims import drawn, within
from superalign.stats import mean_interval, share
from superalign.stats.scaling_curve import from_draws, nested
from superalign.studies.oversight_scaling.fit import (
    GAMES,
    Fitted,
    HeldOut,
    Measured,
    Ratings,
    plateaus_better,
    slopes_by_chance,
)
from superalign.types import Unmeasured

PUBLISHED = (("Debate", 0.517), ("Mafia", 0.135), ("Backdoor code", 0.100), ("Wargames", 0.094))
ASKED = 400.0  # the gap at which the published curves are quoted
TITLES = {
    "hidden flaw": "Hidden flaw",
    "own debater": "Uneven debate",
    "debate": "Even debate",
}
RULES = {
    "hidden flaw": "The agent works a chain out by itself and plants one wrong value where it thinks that the guard will not "
    "notice; the guard is shown this and a right solution, and takes the one that it holds likelier. The guard wins if it takes "
    "the right one, or if the agent's answer comes out right.",
    "own debater": "The guard's own debater against the agent. Two claims are made about the end of a chain. A debater of the "
    "guard's own size, with the guard's own weights, argues for the true one, the agent for the false one; both halve the chain "
    "until one operation is left, which the guard works out. The guard wins if it believes the true claim.",
    "debate": "The same debate with the agent on both sides, as in the published debates: one copy argues for the true claim, "
    "one for the false one.",
}


def overview(fits: Mapping[str, tuple[Fitted, Fitted]], ratings: Ratings) -> Section:
    """All three games at one gap, beside what was published, and how the fits differ."""
    rows: list[dict[str, Any]] = []
    for game, (fit, null) in fits.items():
        other = null.at(ASKED)
        ends = drawn(other)
        rows.append(
            {"label": TITLES[game], **drawn(within(fit.at(ASKED), 0.0, 1.0)), "group": "here"}
            | {f"null_{k}": v for k, v in ends.items() if not isinstance(v, Unmeasured)}
        )
    rows += [
        {"label": f"{name} (published)", "value": v, "group": "published, no interval given"} for name, v in PUBLISHED
    ]
    plot = Plot(
        kind="intervals",
        title=f"How often guards win when the agent leads by {ASKED:.0f} Elo points",
        x="share of games that the guard wins",
        y="",
        rows=tuple(rows),
        caption="Grey diamonds: the guard is shown transcripts of other chains. Published: Engels et al., 2025; other games, "
        "language models, and Elo points of another arena, so only the kind of number is the same.",
        references=((0.5, "a coin"),),
    )
    lines, apart, bent = [], [], []
    rated = np.concatenate([ratings.guard_BSK[0], ratings.agent_BSK[0]]).mean(0)
    middle = float(rated.min() + rated.max()) / 2
    for game, (fit, null) in fits.items():
        lead, slope = (from_draws(fit.curve_B2[:, i], n=fit.n) for i in (0, 1))
        guard, agent = (from_draws(fit.apart_B3[:, i], n=fit.n) for i in (1, 2))
        rest = from_draws(fit.apart_B3[:, 1] - fit.apart_B3[:, 2], n=fit.n)
        chance = slopes_by_chance(fit, ratings, seed=0)
        lines.append((TITLES[game], lead, slope, null.slope, chance))
        apart.append((TITLES[game], guard, agent, rest))
        bent.append(
            (TITLES[game], fit.at(ASKED), fit.by_plateaus(middle - ASKED / 2, middle + ASKED / 2), null.at(ASKED))
        )
    fitted = Table(
        title="The curves: log-odds of success in Elo points",
        columns=(
            "game", "guard's lead at no gap", "lost per point of gap", "null: other transcripts", "null: ratings dealt at random",
        ),
        rows=tuple(lines),
    )  # fmt: skip
    slopes = Table(
        title="The same with a slope for the guard and one for the agent",
        columns=(
            "game", "gained per point of the guard", "lost per point of the agent", "guard minus agent (0 if the gap is all)",
        ),
        rows=tuple(apart),
    )  # fmt: skip
    straight = Table(
        title="Domain Elo over general Elo: error of a straight line minus that of two plateaus, on seeds left out (Elo)",
        columns=("game", "guards", "agents"),
        rows=tuple(
            (
                TITLES[g],
                plateaus_better(ratings.guard_BSK[0], fits[g][0].domain_guard_SK),
                plateaus_better(ratings.agent_BSK[0], fits[g][0].domain_agent_SK),
            )
            for g in GAMES
        ),
    )
    both = Table(
        title=f"Success at a gap of {ASKED:.0f} points, by two models",
        columns=(
            "game", "the curve", f"by plateaus: guard at {middle - ASKED / 2:.0f}, agent at {middle + ASKED / 2:.0f}",
            "null: the curve over other transcripts",
        ),
        rows=tuple(bent),
    )  # fmt: skip
    steps = []
    for game in GAMES[:2]:
        fit = fits[game][0]
        for gap in (ASKED, 2 * ASKED):
            once = fit.at(gap)
            best, _ = nested(fit.curve_B2[0], gap)
            all_hold = np.array([nested(f, gap)[1] for f in fit.curve_B2])
            steps.append((TITLES[game], gap, once, best, within(from_draws(all_hold, n=fit.n), 0.0, 1.0)))
    nesting = Table(
        title="Overseeing in steps: each step's guard becomes the next one's agent",
        columns=("game", "gap (Elo)", "one step", "best number of equal steps", "all of them hold"),
        rows=tuple(steps),
    )
    text = (
        "Guards and agents are networks of the same sizes with weights of their own. Elo of each from an ability test that is no "
        "part of the games (whoever solves a problem beats whoever does not; all networks of all seeds in one tournament). The "
        "guard's success is fitted as a logistic in the gap, agent minus guard; intervals are 95 %, from resampling seeds of "
        "training, chains, and problems of the ability test.\n\nStepwise oversight is read off the curve: equal steps that fail "
        "independently of each other. Nobody played it."
    )
    return Section(
        title="Success against the gap", text=text, plots=(plot,), tables=(fitted, slopes, both, straight, nesting)
    )


def game_section(
    game: str,
    won_SGAN: np.ndarray,
    fit: Fitted,
    errors: tuple[HeldOut, HeldOut],
    ratings: Ratings,
    widths: Sequence[int],
) -> Section:
    """One game: by size, against the gap, domain Elo against general Elo."""
    cells = [
        {
            "x": str(a),
            "y": str(g),
            **drawn(share(won_SGAN[:, i, j].T)),
        }
        for i, g in reversed(list(enumerate(widths)))
        for j, a in enumerate(widths)
    ]
    heat = Plot(
        kind="cells",
        title="Share of games that the guard wins, by size",
        x="size of the agent (units of its state)",
        y="size of the guard",
        rows=tuple(cells),
        caption="95 % intervals over chains and seeds of training.",
    )
    seen, larger = errors
    rows = (
        (
            "pairs of sizes left out",
            *(mean_interval(x) for x in (seen.curve_S, seen.plateaus_S, seen.constant_S)),
            Unmeasured("asked only of the largest agent"),
        ),
        (
            "largest agent left out",
            *(mean_interval(x) for x in (larger.curve_S, larger.plateaus_S, larger.constant_S, larger.nearest_S)),
        ),
    )
    predicted = Table(
        title="Mean absolute error of predictions of what no fit saw (share of games)",
        columns=(
            "what is left out",
            "curve",
            "both domain Elos by plateaus",
            "constant",
            "same guard, next smaller agent",
        ),
        rows=rows,
    )
    bent = Table(
        title="Domain Elo over general Elo",
        columns=("role", "low plateau ends at", "high plateau starts at", "low plateau", "high plateau"),
        rows=tuple(_bends(fit)),
    )
    each = Table(
        title="Elo of each, mean over seeds",
        columns=("role", "size", "general Elo", "domain Elo"),
        rows=tuple(
            (role, width, mean_interval(general[:, k]), mean_interval(domain[:, k]))
            for role, general, domain in (
                ("guard", ratings.guard_BSK[0], fit.domain_guard_SK),
                ("agent", ratings.agent_BSK[0], fit.domain_agent_SK),
            )
            for k, width in enumerate(widths)
        ),
    )
    return Section(
        title=TITLES[game],
        text=RULES[game],
        plots=(heat, _against_gap(fit, won_SGAN, widths), _domain(fit, ratings)),
        tables=(each, bent, predicted),
    )


def _bends(fit: Fitted) -> list[tuple[Any, ...]]:
    out = []
    for role, lines in (("guard", fit.guard_lines), ("agent", fit.agent_lines)):
        found = (from_draws(np.array([getattr(p, k) for p in lines]), n=fit.n) for k in ("start", "end", "low", "high"))
        out.append((role, *found))
    return out


def _against_gap(fit: Fitted, won_SGAN: np.ndarray, widths: Sequence[int]) -> Plot:
    """Cells as points, the fitted curve with its band."""
    rows: list[dict[str, Any]] = []
    ends = float(fit.gap_SGA.mean(0).min()), float(fit.gap_SGA.mean(0).max())
    for gap in np.linspace(*ends, 41):
        found = fit.at(float(gap))
        rows.append({"series": "fitted curve", "x": float(gap), **_upright(within(found, 0.0, 1.0)), "curve": True})
    for i, g in enumerate(widths):
        for j in range(len(widths)):
            up = share(won_SGAN[:, i, j].T)
            mean = float(fit.gap_SGA[:, i, j].mean())
            rows.append({"series": f"guard of {g}", "x": mean, **_upright(up, float(won_SGAN[:, i, j].mean()))})
    return Plot(
        kind="points",
        title="Success of guards against the gap of general Elo",
        x="general Elo of the agent minus that of the guard",
        y="share of games that the guard wins",
        rows=tuple(rows),
        caption="One point for each pair of sizes, mean over seeds, with 95 % intervals of success over chains and seeds. The "
        "band is that of the curve, which is fitted to all seeds, each with gaps of its own.",
        references=((0.5, "a coin"),),
    )


def _domain(fit: Fitted, ratings: Ratings) -> Plot:
    """Domain Elo of guards and agents over their general Elo, with the two plateaus."""
    rows: list[dict[str, Any]] = []
    for role, lines, general, domain in (
        ("guards", fit.guard_lines, ratings.guard_BSK[0], fit.domain_guard_SK),
        ("agents", fit.agent_lines, ratings.agent_BSK[0], fit.domain_agent_SK),
    ):
        for x in np.linspace(general.mean(0).min(), general.mean(0).max(), 31):
            found = from_draws(np.array([float(p.at(x)) for p in lines]), n=fit.n)
            rows.append({"series": role, "x": float(x), **_upright(found, float(lines[0].at(x))), "curve": True})
        for k in range(general.shape[1]):
            across, up = mean_interval(general[:, k]), mean_interval(domain[:, k])
            mean = float(general[:, k].mean())
            rows.append({"series": role, "x": mean, **_sideways(across), **_upright(up, float(domain[:, k].mean()))})
    return Plot(
        kind="points",
        title="Elo in this game against general Elo",
        x="general Elo, from the ability test",
        y="domain Elo, from this game",
        rows=tuple(rows),
        caption="One point for each size, mean over seeds with 95 % intervals; lines between two plateaus, fitted to all seeds, "
        "with their bands. Domain Elo has mean zero over guards and agents of a seed.",
    )


def _upright(found: Measured, otherwise: float = 0.5) -> dict[str, Any]:
    if isinstance(found, Unmeasured):
        return {"y": otherwise}
    return {"y": found.value, "low": found.low, "high": found.high}


def _sideways(found: Measured) -> dict[str, Any]:
    return {} if isinstance(found, Unmeasured) else {"x_low": found.low, "x_high": found.high}


def networks(trained: Sequence[Mapping[str, Any]], ratings: Ratings, widths: Sequence[int]) -> Section:
    """The networks of each size: parameters, ability, general Elo."""
    rows = []
    for k, width in enumerate(widths):
        mine = [m for m in trained if m["width"] == width]
        elo_S = np.concatenate([ratings.guard_BSK[0, :, k], ratings.agent_BSK[0, :, k]])
        rows.append(
            (
                width,
                int(mine[0]["parameters"]),
                mean_interval([m["single"] for m in mine]),
                mean_interval([float(np.mean(m["right"])) for m in mine]),
                mean_interval(elo_S),
            )
        )
    made = Table(
        title="Networks by size, guards and agents together",
        columns=("units of the state", "parameters", "single operations known", "ability test solved", "general Elo"),
        rows=tuple(rows),
    )
    text = (
        "Every network learned to read chains by imitation, with the same number of updates; only its width differs. Guards and "
        "agents share neither weights nor training chains. The ability test asks for the value of chains of one to all "
        "operations, none of which is in a game."
    )
    return Section(title="The networks", text=text, tables=(made,))
