"""The study runs from end to end when made tiny, its nulls are flat, and settings that measure nothing are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superalign import settings
from superalign.errors import ConfigError
from superalign.lab.guard_games import GuardJob, NetworkJob, play_job, train_job
from superalign.ledger import Ledger
from superalign.oversight.debate.readers import packed, reader_from
from superalign.report import Findings
from superalign.stats.scaling_curve import curve
from superalign.stats.scaling_fit import fit_game, held_out, ratings_of, slopes_by_chance
from superalign.studies.oversight_scaling.study import STUDY, Config
from superalign.types import Interval

TINY = Config(
    widths=(4, 8, 16),
    seeds=2,
    length=4,
    reader_updates=30,
    asked=40,
    held_out=20,
    pool=20,
    debate_updates=2,
    flaw_updates=3,
    draws=50,
)


def run(config: Config, folder: Path) -> Findings:
    with Ledger(folder / "ledger") as ledger:
        return STUDY.run(config, seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)


def test_a_tiny_study_runs_and_resumes_to_the_same(tmp_path: Path) -> None:
    made = run(TINY, tmp_path)
    assert made == run(TINY, tmp_path)
    names = [c.name for c in made.claims]
    assert len(names) == len(set(names)) > 15
    for c in made.claims:
        assert c.why
        assert c.holds is not True or isinstance(c.null, Interval) or "copies" in c.name
    assert len(made.sections) == 6


def simulated(slope: float, *, seeds: int = 5, chains: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Games whose success follows a curve of the ability that the tests show; and the tests."""
    rng = np.random.default_rng(0)
    solves_K = np.array([0.15, 0.3, 0.5, 0.7, 0.85])
    elo_K = 400 * np.log10(solves_K / (1 - solves_K))
    p_GA = curve((elo_K[None] - elo_K[:, None]).ravel(), np.array([[40.0, slope]])).reshape(5, 5)
    won = (rng.random((seeds, 5, 5, chains)) < p_GA[None, :, :, None]).astype(float)
    tests = rng.random((seeds, 2, 5, 300)) < solves_K[:, None]
    return won, tests


def test_a_planted_curve_is_found_and_random_ratings_are_not() -> None:
    won, tests = simulated(0.8)
    ratings = ratings_of(tests, won.shape[-1], draws=100, seed=0)
    fit = fit_game(won, ratings)
    assert isinstance(fit.slope, Interval)
    assert fit.slope.low < 0.8 < fit.slope.high
    assert fit.slope.low > 0.5
    expected = curve(np.array([400.0]), np.array([[40.0, 0.8]]))[0, 0]
    for found in (fit.at(400.0), fit.by_plateaus(-200.0, 200.0)):
        assert isinstance(found, Interval)
        assert found.value == pytest.approx(expected, abs=0.06)
    chance = slopes_by_chance(fit, ratings, seed=0, deals=100)
    assert chance.low < 0 < chance.high < fit.slope.low
    for largest in (False, True):
        errors = held_out(fit, ratings, largest=largest)
        for of in ("curve", "plateaus"):
            better = errors.better(of)
            assert isinstance(better, Interval)
            assert better.low > 0.05


def test_a_flat_table_gives_a_flat_curve() -> None:
    won, tests = simulated(0.0)
    ratings = ratings_of(tests, won.shape[-1], draws=100, seed=0)
    fit = fit_game(won, ratings)
    assert isinstance(fit.slope, Interval)
    assert fit.slope.low < 0 < fit.slope.high
    better = held_out(fit, ratings, largest=True).better("curve")
    assert not isinstance(better, Interval) or better.low <= 0.01


def test_larger_networks_solve_more_and_guards_share_nothing_with_agents() -> None:
    job = NetworkJob(seed=3, role="guard", width=4, length=4, updates=120, asked=100)
    small, large = train_job(job), train_job(replace(job, width=24))
    assert np.mean(large.right_P) > np.mean(small.right_P) + 0.1
    assert large.parameters > small.parameters
    assert train_job(replace(job, role="agent")).weights != small.weights
    assert packed(reader_from(small.weights)) == small.weights


def test_a_guard_that_knows_nothing_is_near_a_coin_and_a_shuffled_transcript_helps_nobody() -> None:
    job = NetworkJob(seed=3, role="guard", width=4, length=4, updates=1, asked=20)
    guard, agent = train_job(job), train_job(replace(job, role="agent", width=24, updates=150))
    played = play_job(
        GuardJob(
            seed=3,
            length=4,
            guard=guard.weights,
            agents=(agent.weights,),
            pool=60,
            held_out=200,
            debate_updates=2,
            flaw_updates=2,
        )
    )
    (against,) = played.against
    assert np.mean(against.even.won_N) == pytest.approx(0.5, abs=0.12)
    for outcome in (against.flaw, against.own, against.even):
        assert np.mean(outcome.shuffled_N) == pytest.approx(0.5, abs=0.12)
    assert len(against.flaw.won_N) == 200


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seeds": 1}, "at least 2"),
        ({"widths": (4, 8)}, "3 or more of them"),
        ({"widths": (8, 4, 16)}, "smallest first"),
        ({"length": 6}, "halved"),
        ({"pool": 0}, "at least 1"),
        ({"asked": 7}, "at least 8"),
        ({"held_out": 7}, "at least 8"),
        ({"draws": 10}, "at least 50"),
    ],
)
def test_settings_under_which_nothing_is_measured_are_refused(
    change: dict[str, object], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=why):
        run(settings.validated(replace(TINY, **change), study="oversight-scaling"), tmp_path)  # type: ignore[arg-type]
