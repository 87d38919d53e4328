"""How often a guard wins against how far the agent is ahead of it: Elo from tables of wins, a logistic curve, two plateaus.

Everything works on many tables at once, so that a bootstrap is one call. Shape suffixes: B tables (resamples), K players,
G guards, A agents, S seeds, P problems, C cells, N points, Q queries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from superalign.errors import BadInput
from superalign.stats.inputs import column, counted
from superalign.stats.resampling import interval_from_draws
from superalign.types import Interval, Unmeasured

PER_POINT = np.log(10) / 400  # log-odds of one Elo point
STEP = 2.0  # most that a strength moves in one round of Newton's method, log-odds
LEAST = 1e-6  # curvature: where players never met there is none, and steps would be rounding errors by next to nothing
ROUNDS = 40
KNOTS = 25


def ratings(wins_BKK: Float[np.ndarray, "B K K"], *, prior: float = 0.5) -> Float[np.ndarray, "B K"]:
    """Fit Bradley-Terry strengths to many tables of wins; pairs that never met say nothing.

    Args:
        wins_BKK: How often each player (row) beat each other one (column); halves for draws.
        prior: Wins added on both sides of every pair that met, so that who never lost stays finite.

    Returns:
        Elo points, mean 0 in every table.

    Raises:
        BadInput: If tables are not square or hold something that is not a count.

    Example:
        >>> elo_BK = ratings(np.array([[[0.0, 1000.0], [100.0, 0.0]]]))
        >>> round(float(elo_BK[0, 0] - elo_BK[0, 1]))
        399

    Source:
        Bradley and Terry, Rank analysis of incomplete block designs, 1952; fitted by Newton's method.
    """
    if wins_BKK.ndim != 3 or wins_BKK.shape[1] != wins_BKK.shape[2] or not (wins_BKK >= 0).all():
        raise BadInput(
            f"Tables of shape {wins_BKK.shape} do not say who beat whom. Strengths come from pairs of players. Give square "
            "tables of wins, none below zero."
        )
    K = wins_BKK.shape[1]
    met = (wins_BKK + wins_BKK.transpose(0, 2, 1) > 0) & ~np.eye(K, dtype=bool)
    wins = np.where(met, wins_BKK + prior, 0.0)
    games, total = wins + wins.transpose(0, 2, 1), wins.sum(2)
    strength, gauge = np.zeros(wins.shape[:2]), np.ones((K, K)) / K
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(strength[:, None, :] - strength[:, :, None]))
        weight = games * p * (1 - p)
        curvature = -weight
        curvature[:, range(K), range(K)] += weight.sum(2) + LEAST
        step = np.linalg.solve(curvature + gauge, (total - (games * p).sum(2))[..., None])[..., 0]
        strength += np.clip(step, -STEP, STEP)
        if np.abs(step).max() < 1e-8:
            break
    return np.asarray((strength - strength.mean(1, keepdims=True)) / PER_POINT)


def between(won_BGA: Float[np.ndarray, "B G A"], games: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Elo of guards and of agents that met only each other.

    Args:
        won_BGA: Wins of each guard over each agent.
        games: That each pair played, one number or (G, A); pairs that did not meet say nothing.

    Returns:
        Elo of guards (B, G) and of agents (B, A), mean 0 over both together.

    Example:
        >>> guards_BG, agents_BA = between(np.array([[[909.0], [500.0]]]), 1000)
        >>> (guards_BG[0] - agents_BA[0]).round().tolist()
        [399.0, 0.0]
    """
    B, G, A = won_BGA.shape
    wins = np.zeros((B, G + A, G + A))
    played_GA = np.broadcast_to(np.asarray(games, float), (G, A))
    wins[:, :G, G:] = np.where(played_GA > 0, won_BGA, 0.0)
    wins[:, G:, :G] = np.where(played_GA > 0, played_GA - won_BGA, 0.0).transpose(0, 2, 1)
    elo = ratings(wins)
    return elo[:, :G], elo[:, G:]


def head_to_head(right_KP: Float[np.ndarray, "K P"], weight_BP: Float[np.ndarray, "B P"]) -> np.ndarray:
    """Elo from a test that everybody took: whoever solved a problem beats whoever did not; (B, K).

    Args:
        right_KP: 1 where a player solved a problem.
        weight_BP: How often each problem counts in each resample.

    Example:
        >>> head_to_head(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]), np.ones((1, 3))).round().tolist()
        [[95.0, -95.0]]
    """
    return ratings(np.einsum("bp,kp,jp->bkj", weight_BP, right_KP, 1 - right_KP, optimize=True))


def fit_curve(gap_BC: Float[np.ndarray, "B C"], won_BC: Float[np.ndarray, "B C"]) -> Float[np.ndarray, "B 2"]:
    """Fit the share of games that guards win as a logistic in how far their agents are ahead.

    Args:
        gap_BC: Elo of the agent minus Elo of the guard, by cell.
        won_BC: Share of games that the guard won, cells counting alike.

    Returns:
        Lead of the guard at a gap of 0, in Elo points, and what one point of gap takes from it (1 if the gap is all that counts):
        P(guard wins) = 1 / (1 + 10 ** -((lead - slope * gap) / 400)).

    Example:
        >>> gap_BC = np.array([[-400.0, 0.0, 400.0]])
        >>> fit_curve(gap_BC, curve(gap_BC[0], np.array([[100.0, 0.5]]))).round(1).tolist()
        [[100.0, 0.5]]
    """
    ones = np.ones_like(gap_BC)
    beta = _logistic(np.stack([ones, -gap_BC * PER_POINT], -1), won_BC)
    return np.asarray(np.stack([beta[:, 0] / PER_POINT, beta[:, 1]], -1))


def fit_apart(guard_BC: Float[np.ndarray, "B C"], agent_BC: Float[np.ndarray, "B C"], won_BC: np.ndarray) -> np.ndarray:
    """Fit a slope for guards and one for agents: lead + guards' slope * guard - agents' slope * agent; (B, 3).

    Where only the gap counts, both slopes are equal.
    """
    ones = np.ones_like(guard_BC)
    beta = _logistic(np.stack([ones, guard_BC * PER_POINT, -agent_BC * PER_POINT], -1), won_BC)
    return np.asarray(np.concatenate([beta[:, :1] / PER_POINT, beta[:, 1:]], 1))


def _logistic(x_BCF: np.ndarray, share_BC: np.ndarray) -> np.ndarray:
    """Logistic regression of shares by Newton's method, with a ridge that only matters where everything is won or lost."""
    B, _, F = x_BCF.shape
    beta_BF, ridge = np.zeros((B, F)), 1e-5 * np.eye(F)
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-np.einsum("bcf,bf->bc", x_BCF, beta_BF)))
        slope = np.einsum("bcf,bc->bf", x_BCF, share_BC - p) - beta_BF @ ridge
        curvature = np.einsum("bcf,bc,bcg->bfg", x_BCF, p * (1 - p), x_BCF) + ridge
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        beta_BF = beta_BF + np.clip(step, -STEP, STEP)
        if np.abs(step).max() < 1e-8:
            break
    return beta_BF


def curve(gap_Q: Float[np.ndarray, " Q"], fit_B2: Float[np.ndarray, "B 2"]) -> Float[np.ndarray, "B Q"]:
    """Return the share of games that guards win at each gap, under each fit.

    Example:
        >>> curve(np.array([400.0]), np.array([[0.0, 1.0]])).round(3).tolist()
        [[0.091]]
    """
    lead = fit_B2[:, :1] - fit_B2[:, 1:] * gap_Q
    return np.asarray(1 / (1 + np.exp(-lead * PER_POINT)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plateaus:
    """A line between two plateaus: `low` up to `start`, `high` from `end` on."""

    start: float
    end: float
    low: float
    high: float
    error: float  # root mean square

    def at(self, x: ArrayLike) -> np.ndarray:
        """Say what lies on the line at each place, in the shape of the places.

        Example:
            >>> Plateaus(start=0.0, end=10.0, low=1.0, high=3.0, error=0.0).at([-5.0, 5.0, 20.0]).tolist()
            [1.0, 2.0, 3.0]
        """
        share = np.clip((np.asarray(x, float) - self.start) / (self.end - self.start), 0.0, 1.0)
        return np.asarray(self.low + (self.high - self.low) * share)


def fit_plateaus(x: ArrayLike, y: ArrayLike) -> Plateaus:
    """Fit a line between two plateaus by least squares over a grid of places where it bends.

    Args:
        x: Where, shape (N,).
        y: What, shape (N,).

    Returns:
        The best fit; where no plateau is needed, both bends lie at the ends of the data. Where all points lie at one place, a
        plateau at their mean.

    Raises:
        BadInput: If there are fewer than four points.

    Example:
        >>> x = np.linspace(0, 10, 41)
        >>> found = fit_plateaus(x, np.clip(x, 2.5, 7.5))
        >>> round(found.start, 1), round(found.end, 1), round(found.low, 1), round(found.high, 1)
        (2.5, 7.5, 2.5, 7.5)

    Source:
        Engels et al., Scaling laws for scalable oversight, 2025 (their double ReLU).
    """
    x_N, y_N = column(x, name="x"), column(y, name="y")
    if len(x_N) != len(y_N) or len(x_N) < 4:
        raise BadInput(
            f"{len(x_N)} places and {len(y_N)} values do not show where a line bends. It has four parameters. Give at least four "
            "points."
        )
    if np.ptp(x_N) < 1e-6:
        level, place = float(y_N.mean()), float(x_N.mean())
        return Plateaus(start=place, end=place + 1.0, low=level, high=level, error=float(y_N.std()))
    knots = np.linspace(x_N.min(), x_N.max(), KNOTS + (KNOTS + 1) % 2)
    start_K, end_K = (knots[i] for i in np.triu_indices(len(knots), 1))
    u_KN = np.clip((x_N - start_K[:, None]) / (end_K - start_K)[:, None], 0.0, 1.0)
    mean_K = u_KN.mean(1)
    centred_KN = u_KN - mean_K[:, None]
    rise_K = centred_KN @ (y_N - y_N.mean()) / np.maximum((centred_KN**2).sum(1), 1e-12)
    low_K = y_N.mean() - rise_K * mean_K
    error_K = ((low_K[:, None] + rise_K[:, None] * u_KN - y_N) ** 2).mean(1)
    # Among bends that fit alike, the widest: a plateau is claimed only where it is needed.
    alike = error_K <= error_K.min() * (1 + 1e-9) + 1e-12
    best = int(np.argmax(np.where(alike, end_K - start_K, -np.inf)))
    return Plateaus(
        start=float(start_K[best]),
        end=float(end_K[best]),
        low=float(low_K[best]),
        high=float(low_K[best] + rise_K[best]),
        error=float(np.sqrt(error_K[best])),
    )


def crossed_draws(seeds: int, problems: int, *, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Resample seeds and problems separately: seeds drawn (B, S), and how often each problem counts (B, P).

    The first row is the data itself.

    Example:
        >>> picks_BS, weight_BP = crossed_draws(3, 5, draws=2, seed=0)
        >>> picks_BS[0].tolist(), weight_BP.sum(1).tolist()
        ([0, 1, 2], [5.0, 5.0, 5.0])
    """
    counted(draws, name="draws", least=2)
    rng = np.random.default_rng(seed)
    picks_BS = rng.integers(0, seeds, (draws, seeds))
    weight_BP = rng.multinomial(problems, np.full(problems, 1 / problems), size=draws).astype(float)
    return np.vstack([np.arange(seeds), picks_BS]), np.vstack([np.ones(problems), weight_BP])


def from_draws(values_B: np.ndarray, *, n: int) -> Interval | Unmeasured:
    """Return an interval from a statistic on the data (first) and on its resamples; n is the number of units, seeds of training.

    Example:
        >>> from_draws(np.array([1.0, 1.0, 1.0]), n=5).why
        'undefined: every resample gives 1, so there is no spread'
    """
    if n < 2:
        return Unmeasured(f"undefined: {n} seed, and a spread needs at least two")
    if np.ptp(values_B) == 0:
        return Unmeasured(f"undefined: every resample gives {values_B[0]:g}, so there is no spread")
    return interval_from_draws(values_B[1:], value=float(values_B[0]), n=n)


def held_out_errors(
    gap_SC: Float[np.ndarray, "S C"],
    won_SC: Float[np.ndarray, "S C"],
    groups_C: np.ndarray,
    *,
    predict: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None,
    held_out: ArrayLike | None = None,
) -> Float[np.ndarray, " S"]:
    """Mean absolute error on cells that a fit did not see, by seed.

    Args:
        gap_SC: Elo gap of each cell under each seed.
        won_SC: Share won there.
        groups_C: Cells of one group are left out together, under all seeds.
        predict: (gaps seen, shares seen, gaps asked) -> shares; the fitted curve if None.
        held_out: Groups to be left out one by one; all if None.

    Example:
        >>> gap_SC = np.array([[-200.0, 0.0, 200.0, 400.0]])
        >>> won_SC = curve(gap_SC[0], np.array([[0.0, 1.0]]))
        >>> bool(held_out_errors(gap_SC, won_SC, np.arange(4))[0] < 0.01)
        True
    """
    predict = predict or (lambda seen, won, asked: curve(asked, fit_curve(seen[None], won[None]))[0])
    errors = []
    for group in np.unique(groups_C) if held_out is None else np.atleast_1d(held_out):
        out_C = groups_C == group
        seen, won = gap_SC[:, ~out_C].ravel(), won_SC[:, ~out_C].ravel()
        predicted_SC = predict(seen, won, gap_SC[:, out_C].ravel()).reshape(len(gap_SC), -1)
        errors.append(np.abs(predicted_SC - won_SC[:, out_C]))
    return np.asarray(np.concatenate(errors, 1).mean(1))


def nested(fit_2: Float[np.ndarray, " 2"], gap: float, *, most: int = 20) -> tuple[int, float]:
    """Split a gap into equal steps, each overseeing the next: the best number of steps, and the chance that all hold.

    Example:
        >>> steps, chance = nested(np.array([800.0, 1.0]), 800.0)
        >>> steps, round(chance, 2)
        (5, 0.88)

    Source:
        Engels et al., 2025, nested scalable oversight; here steps are equal and independent.
    """
    chances = [float(curve(np.array([gap / n]), fit_2[None])[0, 0]) ** n for n in range(1, most + 1)]
    best = int(np.argmax(chances))
    return best + 1, chances[best]
