"""What the scaling study measures: who won which game, how able each network is, and the curves fitted to that.

Shape suffixes: S seeds, G guards, A agents, N held-out chains, K sizes, M networks of one size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from superalign.stats.scaling_fit import Game, Ratings

FLAW, OWN, EVEN = "hidden flaw", "own debater", "debate"


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
