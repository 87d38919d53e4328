"""Planted parameters come back from simulated tables; where nothing was planted, nothing is found."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.stats.elo import bradley_terry
from superalign.stats.scaling_curve import (
    between,
    crossed_draws,
    curve,
    fit_apart,
    fit_curve,
    fit_plateaus,
    from_draws,
    head_to_head,
    held_out_errors,
    nested,
    ratings,
)
from superalign.types import Interval, Unmeasured

GENERAL = np.array([-400.0, -200.0, 0.0, 200.0, 400.0])
GAP_GA = GENERAL[None, :] - GENERAL[:, None]


def simulated(
    lead: float, slope: float, *, seed: int, seeds: int = 5, chains: int = 150, wobble: float = 60.0
) -> np.ndarray:
    """Games won, (S, G, A, N); every seed has a lead of its own."""
    rng = np.random.default_rng(seed)
    fits = np.stack([lead + wobble * rng.normal(size=seeds), np.full(seeds, slope)], 1)
    p_SGA = curve(GAP_GA.ravel(), fits).reshape(seeds, *GAP_GA.shape)
    return (rng.random((*p_SGA.shape, chains)) < p_SGA[..., None]).astype(float)


def slope_of(won_SGAN: np.ndarray, *, draws: int = 120) -> Interval | Unmeasured:
    S, N = len(won_SGAN), won_SGAN.shape[-1]
    picks_BS, weight_BN = crossed_draws(S, N, draws=draws, seed=0)
    share = np.einsum("sgan,bn->bsga", won_SGAN, weight_BN) / N
    share_BC = share[np.arange(len(picks_BS))[:, None], picks_BS].reshape(len(picks_BS), -1)
    gap_BC = np.tile(GAP_GA.ravel(), (len(picks_BS), S))
    return from_draws(fit_curve(gap_BC, share_BC)[:, 1], n=S)


def test_ratings_agree_with_the_usual_fit_and_forget_who_never_met() -> None:
    rng = np.random.default_rng(0)
    wins = rng.integers(0, 50, (6, 6)).astype(float)
    np.testing.assert_allclose(ratings(wins[None])[0], bradley_terry(wins, rounds=5000), atol=0.1)
    # Two guards that met the same agents: their strengths do not pull at each other.
    guards, agents = between(np.array([[[900.0, 500.0], [500.0, 100.0]]]), 1000)
    assert guards[0, 0] - agents[0, 0] == pytest.approx(400 * np.log10(9), abs=2)
    assert guards[0, 0] - guards[0, 1] == pytest.approx(400 * np.log10(9), abs=2)


def test_who_never_lost_stays_finite() -> None:
    guards, agents = between(np.full((1, 2, 2), 200.0), 200)
    assert np.isfinite([*guards.ravel(), *agents.ravel()]).all()
    assert guards.min() > agents.max() + 800


def test_an_ability_test_rates_whoever_solves_more_higher() -> None:
    rng = np.random.default_rng(1)
    right_KP = (rng.random((3, 400)) < np.array([[0.2], [0.5], [0.9]])).astype(float)
    elo = head_to_head(right_KP, np.ones((1, 400)))[0]
    assert elo[0] < elo[1] < elo[2]
    assert elo[2] - elo[1] == pytest.approx(400 * np.log10(9), abs=60)  # odds 9 to 1 against odds 1 to 1


@pytest.mark.parametrize(("lead", "slope"), [(100.0, 1.0), (-50.0, 0.4), (0.0, 0.0)])
def test_planted_lead_and_slope_come_back(lead: float, slope: float) -> None:
    won = simulated(lead, slope, seed=3, seeds=20, wobble=0.0)
    fit = fit_curve(GAP_GA.reshape(1, -1), won.mean((0, 3)).reshape(1, -1))[0]
    assert fit[0] == pytest.approx(lead, abs=12)
    assert fit[1] == pytest.approx(slope, abs=0.05)


def test_the_interval_covers_what_was_planted_and_a_flat_table_is_flat() -> None:
    covered, flat, tries = 0, 0, 40
    for seed in range(tries):
        steep, none = slope_of(simulated(50, 0.8, seed=seed)), slope_of(simulated(50, 0.0, seed=seed))
        assert isinstance(steep, Interval)
        assert isinstance(none, Interval)
        # Leads that differ by seed flatten a pooled curve a little, as noise in a slope's input does.
        covered += steep.low - 0.02 <= 0.8 <= steep.high + 0.02
        flat += none.low <= 0 <= none.high
        assert steep.low > 0
    assert covered >= 0.88 * tries
    assert flat >= 0.88 * tries


def test_slopes_of_guard_and_agent_are_told_apart() -> None:
    guard, agent = (np.broadcast_to(x, GAP_GA.shape).reshape(1, -1) for x in (GENERAL[:, None], GENERAL[None, :]))
    won = 1 / (1 + 10 ** (-(30 + 1.2 * guard - 0.3 * agent) / 400))
    np.testing.assert_allclose(fit_apart(guard, agent, won)[0], [30, 1.2, 0.3], atol=0.1)


def test_games_that_are_all_won_give_a_finite_curve() -> None:
    fit = fit_curve(GAP_GA.reshape(1, -1), np.ones((1, GAP_GA.size)))
    assert np.isfinite(fit).all()
    assert curve(np.array([0.0]), fit)[0, 0] > 0.99


def test_planted_plateaus_come_back_and_a_line_needs_none() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-400, 400, 120)
    bent = fit_plateaus(x, np.interp(x, [-150, 200], [-300, 350]) + 10 * rng.normal(size=120))
    assert bent.start == pytest.approx(-150, abs=45)
    assert bent.end == pytest.approx(200, abs=45)
    assert bent.low == pytest.approx(-300, abs=20)
    assert bent.high == pytest.approx(350, abs=20)
    straight = fit_plateaus(x, 2 * x)
    assert (straight.start, straight.end) == (x.min(), x.max())


def test_a_curve_predicts_what_it_did_not_see_and_a_shuffled_one_does_not() -> None:
    won_SC = simulated(50, 0.8, seed=1).mean(-1).reshape(5, -1)
    gap_SC = np.tile(GAP_GA.ravel(), (5, 1))
    cells = np.arange(GAP_GA.size)

    def constant(seen: np.ndarray, won: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return np.full(len(asked), won.mean())

    base = held_out_errors(gap_SC, won_SC, cells, predict=constant).mean()
    assert held_out_errors(gap_SC, won_SC, cells).mean() < 0.5 * base
    mixed = np.random.default_rng(0).permuted(gap_SC, axis=1)
    assert held_out_errors(mixed, won_SC, cells).mean() > 0.9 * base


def test_what_is_left_out_is_not_seen() -> None:
    seen: list[int] = []

    def spy(gaps: np.ndarray, won: np.ndarray, asked: np.ndarray) -> np.ndarray:
        seen.append(len(gaps))
        assert not set(gaps) & set(asked)
        return np.zeros(len(asked))

    gap_SC = np.arange(12.0).reshape(2, 6)
    held_out_errors(gap_SC, np.zeros((2, 6)), np.array([0, 0, 1, 1, 2, 2]), predict=spy)
    assert seen == [8, 8, 8]
    held_out_errors(gap_SC, np.zeros((2, 6)), np.array([0, 0, 1, 1, 2, 2]), predict=spy, held_out=2)
    assert seen[3:] == [8]


def test_steps_help_where_the_curve_is_steep_and_not_where_it_is_flat() -> None:
    steep, chance = nested(np.array([600.0, 1.0]), 1000.0)
    assert steep > 1
    assert chance > curve(np.array([1000.0]), np.array([[600.0, 1.0]]))[0, 0]
    assert nested(np.array([0.0, 0.0]), 1000.0) == (1, 0.5)


@pytest.mark.parametrize("wins", [np.zeros((2, 3, 2)), np.zeros((3, 3)), -np.ones((1, 2, 2))])
def test_tables_that_are_none_are_refused(wins: np.ndarray) -> None:
    with pytest.raises((BadInput, TypeError), match=r"square|type"):
        ratings(wins)


def test_three_points_do_not_show_a_bend() -> None:
    with pytest.raises(BadInput, match="four"):
        fit_plateaus([0, 1, 2], [0, 1, 2])


def test_points_at_one_place_have_a_level_and_no_slope() -> None:
    flat = fit_plateaus(np.full(5, 3.0), [1.0, 2.0, 3.0, 4.0, 5.0])
    assert flat.at([0.0, 3.0, 9.0]).tolist() == [3.0, 3.0, 3.0]


def test_one_seed_has_no_interval() -> None:
    assert isinstance(from_draws(np.array([1.0, 2.0]), n=1), Unmeasured)
