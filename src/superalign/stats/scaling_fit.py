"""From games to curves: general Elo, domain Elo, the fits, and how well they predict what they did not see.

Shape suffixes: B resamples (the data itself first), S seeds, R roles (guard, agent), K sizes, G guards, A agents, N items
that games are about, P problems of an ability test, C cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from superalign.stats.means import mean_interval
from superalign.stats.scaling_curve import (
    Plateaus,
    between,
    crossed_draws,
    fit_apart,
    fit_curve,
    fit_plateaus,
    from_draws,
    head_to_head,
    held_out_errors,
    nested,
)
from superalign.types import Interval, Unmeasured

Measured: TypeAlias = Interval | Unmeasured
LEAST_POINTS = 4  # that a line between two plateaus can be fitted to


@dataclass(frozen=True, slots=True)
class Ratings:
    """General Elo of guards and agents, and what was resampled."""

    guard_BSK: np.ndarray
    agent_BSK: np.ndarray
    picks_BS: np.ndarray
    weight_BN: np.ndarray

    @property
    def guard_SK(self) -> np.ndarray:
        """Return the Elo of guards, on the data itself."""
        return np.asarray(self.guard_BSK[0])

    @property
    def agent_SK(self) -> np.ndarray:
        """Return the Elo of agents, on the data itself."""
        return np.asarray(self.agent_BSK[0])


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was fitted to one game, on the data and on every resample."""

    share_SGA: np.ndarray  # the guard's success
    gap_SGA: np.ndarray  # agent minus guard, general Elo
    curve_B2: np.ndarray
    apart_B3: np.ndarray
    domain_guard_SK: np.ndarray
    domain_agent_SK: np.ndarray
    guard_lines: tuple[Plateaus, ...]  # by resample; domain Elo over general Elo
    agent_lines: tuple[Plateaus, ...]
    n: int  # seeds

    def at(self, gap: float) -> Measured:
        """Success predicted at a gap; its interval is taken on the scale of log-odds, so that it stays between 0 and 1."""
        return as_share(from_draws(self.curve_B2[:, 0] - self.curve_B2[:, 1] * gap, n=self.n))

    def by_plateaus(self, guard: float, agent: float) -> Measured:
        """Success predicted from both general Elos, by way of both domain Elos."""
        pairs = zip(self.guard_lines, self.agent_lines, strict=True)
        return as_share(from_draws(np.array([float(g.at(guard) - a.at(agent)) for g, a in pairs]), n=self.n))

    @property
    def lead(self) -> Measured:
        """Return the guard's lead where there is no gap, in Elo points."""
        return from_draws(self.curve_B2[:, 0], n=self.n)

    @property
    def slope(self) -> Measured:
        """Return what one Elo point of gap takes from the guard's lead."""
        return from_draws(self.curve_B2[:, 1], n=self.n)

    @property
    def apart(self) -> tuple[Measured, Measured, Measured]:
        """Return what a point of the guard gives, what one of the agent takes, and the first minus the second."""
        guard_B, agent_B = self.apart_B3[:, 1], self.apart_B3[:, 2]
        guard, agent, rest = (from_draws(x, n=self.n) for x in (guard_B, agent_B, guard_B - agent_B))
        return guard, agent, rest

    def in_steps(self, gap: float) -> tuple[int, Measured]:
        """Return the best number of equal steps to oversee a gap in, and the chance that all of them hold."""
        hold_B = np.array([nested(fit_2, gap)[1] for fit_2 in self.curve_B2])
        return nested(self.curve_B2[0], gap)[0], from_draws(hold_B, n=self.n)

    def of_lines(self, lines: Sequence[Plateaus], what: str) -> Measured:
        """Return where the plateaus of one role start, end or lie: start, end, low or high."""
        return from_draws(np.array([getattr(p, what) for p in lines]), n=self.n)

    def along(self, lines: Sequence[Plateaus], general: float) -> Measured:
        """Return the domain Elo of one role at a general Elo."""
        return from_draws(np.array([float(p.at(general)) for p in lines]), n=self.n)


def as_share(lead: Measured) -> Measured:
    """Turn a lead in Elo points into a share of games won.

    Example:
        >>> round(as_share(Interval(value=0.0, low=-400.0, high=400.0, n=5)).low, 3)
        0.091
    """
    if isinstance(lead, Unmeasured):
        return lead
    value, low, high = share_of(np.array([lead.value, lead.low, lead.high]))
    return Interval(value=float(value), low=float(low), high=float(high), n=lead.n)


def share_of(lead: np.ndarray) -> np.ndarray:
    """Return the share of games won at each lead in Elo points."""
    return np.asarray(1 / (1 + 10 ** (-lead / 400)))


def ratings_of(right_SRKP: np.ndarray, items: int, *, draws: int, seed: int) -> Ratings:
    """Rate all networks of all seeds in one tournament, on the data and on resamples of its problems.

    Args:
        right_SRKP: Which problems of the ability test each guard and each agent solved.
        items: How many items the games are about.
        draws: Resamples.
        seed: Of the resamples.
    """
    S, R, K, P = right_SRKP.shape
    picks_BS, weight_BN = crossed_draws(S, items, draws=draws, seed=seed)
    _, weight_BP = crossed_draws(S, P, draws=draws, seed=seed + 1)
    elo = head_to_head(right_SRKP.reshape(-1, P).astype(float), weight_BP).reshape(len(weight_BP), S, R, K)
    return Ratings(elo[:, :, 0], elo[:, :, 1], picks_BS, weight_BN)


def fit_game(won_SGAN: np.ndarray, ratings: Ratings) -> Fitted:
    """Fit one game on the data and on every resample of seeds and chains."""
    S, G, A, N = won_SGAN.shape
    B = len(ratings.picks_BS)
    at = np.arange(B)[:, None]
    share_BSGA = np.einsum("sgan,bn->bsga", won_SGAN, ratings.weight_BN, optimize=True) / N
    gap_BSGA = ratings.agent_BSK[:, :, None, :] - ratings.guard_BSK[:, :, :, None]
    domain_guard, domain_agent = between(N * share_BSGA.reshape(B * S, G, A), N)
    domain = [x.reshape(B, S, -1)[at, ratings.picks_BS] for x in (domain_guard, domain_agent)]
    general = [x[at, ratings.picks_BS] for x in (ratings.guard_BSK, ratings.agent_BSK)]
    share_BC, gap_BC = (x[at, ratings.picks_BS].reshape(B, -1) for x in (share_BSGA, gap_BSGA))
    spread = [
        np.broadcast_to(general[0][..., None], (B, S, G, A)),
        np.broadcast_to(general[1][:, :, None], (B, S, G, A)),
    ]
    lines = [
        tuple(fit_plateaus(x.ravel(), y.ravel()) for x, y in zip(general[i], domain[i], strict=True)) for i in (0, 1)
    ]
    return Fitted(
        share_SGA=share_BSGA[0],
        gap_SGA=gap_BSGA[0],
        curve_B2=fit_curve(gap_BC, share_BC),
        apart_B3=fit_apart(spread[0].reshape(B, -1), spread[1].reshape(B, -1), share_BC),
        domain_guard_SK=domain[0][0],
        domain_agent_SK=domain[1][0],
        guard_lines=lines[0],
        agent_lines=lines[1],
        n=S,
    )


def permuted_ratings(ratings: Ratings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """General Elo dealt out at random among guards and among agents of each seed, (S, K) each."""
    guard_SK, agent_SK = (rng.permuted(x[0], axis=1) for x in (ratings.guard_BSK, ratings.agent_BSK))
    return guard_SK, agent_SK


def gaps(guard_SK: np.ndarray, agent_SK: np.ndarray) -> np.ndarray:
    """Agent minus guard, (S, G, A)."""
    return np.asarray(agent_SK[:, None, :] - guard_SK[:, :, None])


def slopes_by_chance(fitted: Fitted, ratings: Ratings, *, seed: int, deals: int = 400) -> Interval:
    """Say where the slope lies in 95 % of deals of ratings at random."""
    rng = np.random.default_rng([seed, 41])
    gap_BC = np.array([gaps(*permuted_ratings(ratings, rng)).ravel() for _ in range(deals)])
    slope_B = fit_curve(gap_BC, np.tile(fitted.share_SGA.ravel(), (deals, 1)))[:, 1]
    low, high = np.quantile(slope_B, [0.025, 0.975])
    return Interval(value=float(slope_B.mean()), low=float(low), high=float(high), n=fitted.n)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Mean absolute error on cells that were left out, by seed."""

    curve_S: np.ndarray
    constant_S: np.ndarray
    plateaus_S: np.ndarray  # domain Elo read off the lines between two plateaus
    nearest_S: np.ndarray  # the same guard's success against the next smaller agent; NaN where there is none

    def better(self, of: str) -> Measured:
        """Measure how much smaller the error of the curve, or of the plateaus, is than that of a constant, over seeds."""
        return mean_interval(self.constant_S - (self.curve_S if of == "curve" else self.plateaus_S))


def held_out(fitted: Fitted, ratings: Ratings, *, largest: bool) -> HeldOut:
    """Predict cells that no fit saw.

    Args:
        fitted: Of one game.
        ratings: General Elo.
        largest: Leave out the largest agent against all guards; else each cell in turn. Always under all seeds.
    """
    curve_S, constant_S = two_errors(fitted.gap_SGA, fitted.share_SGA, largest=largest)
    share_SGA = fitted.share_SGA
    return HeldOut(
        curve_S=curve_S,
        constant_S=constant_S,
        plateaus_S=plateau_errors(share_SGA, (ratings.guard_SK, ratings.agent_SK), largest=largest),
        nearest_S=np.abs(share_SGA[:, :, -1] - share_SGA[:, :, -2]).mean(1) if largest else np.full(fitted.n, np.nan),
    )


def two_errors(gap_SGA: np.ndarray, share_SGA: np.ndarray, *, largest: bool) -> tuple[np.ndarray, np.ndarray]:
    """Errors of the curve and of a constant on cells that they did not see, by seed."""
    S, G, A = share_SGA.shape
    groups_C = np.tile(np.arange(A), G) if largest else np.arange(G * A)
    only = A - 1 if largest else None
    gap_SC, share_SC = gap_SGA.reshape(S, -1), share_SGA.reshape(S, -1)
    return (
        held_out_errors(gap_SC, share_SC, groups_C, held_out=only),
        held_out_errors(gap_SC, share_SC, groups_C, held_out=only, predict=constant),
    )


def plateau_errors(
    share_SGA: np.ndarray, general: tuple[np.ndarray, np.ndarray], *, largest: bool, games: float = 200.0
) -> np.ndarray:
    """Errors on unseen cells if domain Elo of guard and agent is read off its line over general Elo, by seed.

    Args:
        share_SGA: Success.
        general: Elo of guards and of agents, (S, K) each.
        largest: As in `held_out`.
        games: How many a share stands for.
    """
    _, G, A = share_SGA.shape
    errors = []
    for out in [None] if largest else [(g, a) for g in range(G) for a in range(A)]:
        seen = slice(0, A - 1) if largest else slice(0, A)
        played_GA = np.full((G, A), games)
        if out is not None:
            played_GA[out] = 0.0
        domain = between(games * share_SGA[:, :, seen], played_GA[:, seen])
        lines = [
            fit_plateaus(x.ravel(), y.ravel()) for x, y in zip((general[0], general[1][:, seen]), domain, strict=True)
        ]
        lead_SGA = lines[0].at(general[0])[:, :, None] - lines[1].at(general[1])[:, None, :]
        error_SGA = np.abs(share_of(lead_SGA) - share_SGA)
        errors.append(error_SGA[:, :, -1] if out is None else error_SGA[:, out[0], out[1]][:, None])
    return np.asarray(np.concatenate(errors, 1).mean(1))


def constant(seen_C: np.ndarray, won_C: np.ndarray, asked_Q: np.ndarray) -> np.ndarray:
    """Predict the mean of what was seen, whatever the gap."""
    return np.full(len(asked_Q), won_C.mean())


def plateaus_better(general_SK: np.ndarray, domain_SK: np.ndarray) -> Measured:
    """Measure how much smaller the error of two plateaus is than that of a straight line, on seeds left out, Elo points."""
    seeds, sizes = general_SK.shape
    if (seeds - 1) * sizes < LEAST_POINTS:
        return Unmeasured(f"{(seeds - 1) * sizes} points without one seed, and two plateaus need {LEAST_POINTS}")
    better = []
    for s in range(seeds):
        x, y = np.delete(general_SK, s, 0).ravel(), np.delete(domain_SK, s, 0).ravel()
        line = np.polyval(np.polyfit(x, y, 1), general_SK[s])
        bent = fit_plateaus(x, y).at(general_SK[s])
        better.append(float(np.abs(line - domain_SK[s]).mean() - np.abs(bent - domain_SK[s]).mean()))
    return mean_interval(better)


@dataclass(frozen=True, slots=True, kw_only=True)
class Game:
    """Success of guards in one game and what was fitted to it, and the same where there should be nothing to find."""

    won_SGAN: np.ndarray
    null_SGAN: np.ndarray
    fit: Fitted
    null_fit: Fitted
    errors: tuple[HeldOut, HeldOut]  # pairs of sizes left out in turn; the largest agent left out
    null_errors: tuple[HeldOut, HeldOut]
    slope_by_chance: Measured  # ratings dealt at random


def game_of(won_SGAN: np.ndarray, null_SGAN: np.ndarray, ratings: Ratings) -> Game:
    """Fit everything to one game."""
    fits = [fit_game(x, ratings) for x in (won_SGAN, null_SGAN)]
    errors = [(held_out(f, ratings, largest=False), held_out(f, ratings, largest=True)) for f in fits]
    return Game(
        won_SGAN=won_SGAN,
        null_SGAN=null_SGAN,
        fit=fits[0],
        null_fit=fits[1],
        errors=errors[0],
        null_errors=errors[1],
        slope_by_chance=slopes_by_chance(fits[0], ratings, seed=0),
    )
