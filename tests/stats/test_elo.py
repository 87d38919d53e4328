"""Strengths come back from simulated games, and a table that is no table is refused."""

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.stats.elo import bradley_terry


def test_strengths_come_back() -> None:
    rng, elo = np.random.default_rng(0), np.array([-300.0, -50.0, 0.0, 150.0, 200.0])
    chance = 1 / (1 + 10 ** ((elo[None] - elo[:, None]) / 400))
    wins = np.triu(rng.binomial(3000, chance), 1)
    wins = wins + np.tril(3000 - wins.T, -1)
    assert np.abs(bradley_terry(wins.astype(float)) - elo).max() < 25


def test_equals_are_equal_and_counts_are_not_below_zero() -> None:
    assert np.allclose(bradley_terry(np.full((3, 3), 5.0)), 0.0)
    with pytest.raises(BadInput, match="square table"):
        bradley_terry(np.array([[0.0, -1.0], [2.0, 0.0]]))
