"""Strengths of players from who beat whom.

Shape suffix: K players.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from superalign.errors import BadInput


def bradley_terry(wins_KK: Float[np.ndarray, "K K"], *, rounds: int = 500) -> Float[np.ndarray, " K"]:
    """Fit strengths on the Elo scale: 400 points are odds of ten to one.

    Args:
        wins_KK: How often each player (row) beat each other one (column); a draw is half a win for both. The diagonal is
            not read. Half a win is added on both sides of every pair, so that who never lost stays finite.
        rounds: Of the minorisation; 500 is plenty for a few dozen players.

    Returns:
        Strengths in Elo points, mean 0.

    Raises:
        BadInput: If the table is not square or holds something that is not a count.

    Example:
        >>> elo_K = bradley_terry(np.array([[0.0, 1000.0], [100.0, 0.0]]))
        >>> round(float(elo_K[0] - elo_K[1]))
        399

    Source:
        Bradley and Terry, Rank analysis of incomplete block designs, 1952; Hunter, MM algorithms, 2004.
    """
    if wins_KK.ndim != 2 or wins_KK.shape[0] != wins_KK.shape[1] or len(wins_KK) < 2 or not (wins_KK >= 0).all():
        raise BadInput(
            f"A table of shape {wins_KK.shape} does not say who beat whom. Strengths come from pairs of players. Give a square "
            "table of wins, at least two by two, none below zero."
        )
    wins = np.where(np.eye(len(wins_KK), dtype=bool), 0.0, wins_KK + 0.5)
    games, strength = wins + wins.T, np.ones(len(wins))
    for _ in range(rounds):
        met = games / (strength[:, None] + strength[None, :])
        strength = wins.sum(1) / met.sum(1)
        strength /= np.exp(np.log(strength).mean())
    return np.asarray(400 * np.log10(strength))
