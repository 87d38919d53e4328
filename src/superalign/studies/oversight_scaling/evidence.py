"""What the scaling study measures: who won which game, how able each network is, and the curves fitted to that.

Shape suffixes: S seeds, G guards, A agents, N held-out chains, K sizes, M networks of one size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from superalign.kit.evidence import Curve, Estimate
from superalign.stats.scaling_curve import Plateaus
from superalign.stats.scaling_fit import Game, Ratings

FLAW, OWN, EVEN = "hidden flaw", "own debater", "debate"
Pair: TypeAlias = list[
    np.ndarray
]  # a difference by chain and seed, mean over pairs of sizes, and its null; (N, S) each


def fitted(general_K: np.ndarray, at: Callable[[float], Estimate], *, n: int) -> Curve:
    """Draw what was fitted, at n places from the lowest to the highest rating or gap."""
    x = np.linspace(general_K.min(), general_K.max(), n).tolist()
    return Curve(tuple(x), tuple(map(at, x)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All games and networks; the null of every success is that of guards who are shown transcripts of other chains."""

    widths: tuple[int, ...]
    parameters: tuple[int, ...]  # of each size
    single_KM: np.ndarray  # share of single operations known
    solved_KM: np.ndarray  # share of the ability test solved
    ratings: Ratings
    games: Mapping[str, Game]
    untrained: tuple[np.ndarray, np.ndarray]  # success where flaws are planted at random, and its null, (S, G, A, N)
    copies: Mapping[str, tuple[np.ndarray, np.ndarray]]  # game -> the same against a copy of the guard, (S, G, 1, N)
    guard_alone_SGN: np.ndarray  # whether who reads the whole chain holds the true claim likelier
    agent_alone_SGAN: np.ndarray

    @property
    def ahead_GA(self) -> np.ndarray:
        """Say in which pairs of sizes agents are ahead in general Elo, the same under every seed."""
        return self.ratings.agent_SK.mean(0)[None, :] > self.ratings.guard_SK.mean(0)[:, None]

    @property
    def better_alone_SGAN(self) -> np.ndarray:
        """Return, by pair and seed, the answers of whoever alone is right more often."""
        agent = self.agent_alone_SGAN
        guard = np.broadcast_to(self.guard_alone_SGN[:, :, None], agent.shape)
        return np.where(agent.mean(-1, keepdims=True) > guard.mean(-1, keepdims=True), agent, guard)

    def roles(self, game: Game) -> dict[str, tuple[np.ndarray, np.ndarray, tuple[Plateaus, ...]]]:
        """Return of guards and agents: general Elo and Elo in a game, (S, K) each, and the lines of one over the other."""
        r, f = self.ratings, game.fit
        return {
            "guard": (r.guard_SK, f.domain_guard_SK, f.guard_lines),
            "agent": (r.agent_SK, f.domain_agent_SK, f.agent_lines),
        }

    def training(self) -> Pair:
        """Return how much more guards win against flaws planted at random than against trained agents."""
        flaw = self.games[FLAW]
        apart = [x - y for x, y in zip(self.untrained, (flaw.won_SGAN, flaw.null_SGAN), strict=True)]
        return [x_SGAN.mean((1, 2)).T for x_SGAN in apart]

    def debating(self) -> dict[str, Pair]:
        """Return how much more debates of agents that are ahead decide rightly than guards, or the better of both, alone."""
        even, ahead_GA = self.games[EVEN], self.ahead_GA
        alone = {
            "the guard alone": self.guard_alone_SGN[:, :, None],
            "the better of guard and agent alone": self.better_alone_SGAN,
        }
        played = (even.won_SGAN, even.null_SGAN)
        return {n: [(won - x)[:, ahead_GA].mean(1).T for won in played] for n, x in alone.items() if ahead_GA.any()}

    @property
    def copied_debating(self) -> np.ndarray:
        """Return how much more debates between copies of a guard decide rightly than that guard alone, (N, S)."""
        return np.asarray((self.copies[EVEN][0][:, :, 0] - self.guard_alone_SGN).mean(1).T)

    def copying(self, name: str) -> Pair:
        """Return how much more guards win against an agent of their size than against their copy."""
        game, k = self.games[name], np.arange(len(self.widths))
        copies = self.copies[FLAW if name == FLAW else EVEN]
        both = zip((game.won_SGAN, game.null_SGAN), copies, strict=True)
        return [(won[:, k, k] - copy[:, :, 0]).mean(1).T for won, copy in both]
