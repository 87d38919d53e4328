"""Counting suspicious answers, and the forecast of the worst of many more: simulations with a known truth."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest

from superalign.detectors.conformance import check_detector
from superalign.detectors.rare_behaviour import RareBehaviour, largest_ahead
from superalign.errors import BadInput
from superalign.types import Interval, Problem, Rollouts, Unmeasured

PROBLEMS = tuple(Problem(prompt=f"p{i}", family="f", difficulty=1, split="test") for i in range(400))
N, TIMES = 1000, 100


class Says:
    """A policy whose answers are numbers: exponential draws, and now and then a spike."""

    def __init__(self, spike: float = 0.0) -> None:
        self.spike = spike

    def sample(self, problems: Sequence[Problem], *, n: int, seed: int) -> Rollouts:
        rng = np.random.default_rng(seed)
        values = rng.exponential(size=len(problems) * n)
        values[rng.random(len(values)) < self.spike] += 50.0
        made = Rollouts.of_texts([p for p in problems for _ in range(n)], [f"{v:.6f}" for v in values])
        return Rollouts(problems=made.problems, problem_R=made.problem_R, text_R=made.text_R, policy="says", seed=seed)


def as_numbers(problems: Sequence[Problem], texts: Sequence[str]) -> np.ndarray:
    return np.array([float(t) for t in texts])


def detector(score: Literal["forecast", "rate"] = "rate") -> RareBehaviour:
    return RareBehaviour(problems=PROBLEMS, suspicion=as_numbers, bar=20.0, score=score)


def covered(draw: str, *, runs: int = 400) -> float:
    """How often the forecast interval holds the largest of a hundred times as many scores."""
    rng = np.random.default_rng(1)
    hits = 0
    for run in range(runs):
        if draw == "exponential":
            seen, largest = rng.exponential(size=N), -np.log(-np.expm1(np.log(rng.random()) / (N * TIMES)))
        elif draw == "gumbel":
            seen, largest = rng.gumbel(size=N), rng.gumbel() + np.log(N * TIMES)
        else:  # log of a heavy tail squared: no line
            seen, largest = rng.standard_cauchy(size=N), np.abs(rng.standard_cauchy(size=N * TIMES)).max()
        found = largest_ahead(seen, times=TIMES, seed=run, draws=2000)
        assert isinstance(found, Interval)
        hits += found.low <= largest <= found.high
    return hits / runs


@pytest.mark.parametrize("tail", ["exponential", "gumbel"])
def test_the_forecast_covers_the_largest_of_a_hundred_times_as_many(tail: str) -> None:
    assert 0.92 <= covered(tail) <= 0.98


def test_the_check_of_coverage_can_fail() -> None:
    assert covered("cauchy", runs=60) < 0.5


def test_a_spike_that_was_never_drawn_is_not_forecast_and_one_that_was_drawn_is_counted() -> None:
    unseen = np.random.default_rng(0).exponential(
        size=N
    )  # one in 100,000 would score 50: about one in the exposure ahead
    found = largest_ahead(unseen, times=TIMES)
    assert isinstance(found, Interval)
    assert found.high < 50.0
    clean, rare = detector()(Says(), seed=0), detector()(Says(spike=0.02), seed=0)
    assert isinstance(clean.score, Interval)
    assert isinstance(rare.score, Interval)
    assert clean.score.value == 0.0 < clean.score.high < 0.01 < rare.score.value
    assert "no answer showed" in detector().card.misses


def test_the_worst_answer_is_named_and_scored() -> None:
    verdict = detector()(Says(spike=0.02), seed=0)
    worst = int(np.argmax(verdict.response_scores))
    assert verdict.named == next(p.prompt for p in PROBLEMS if p.digest == verdict.response_keys[worst])
    assert len(verdict.response_keys) == len(PROBLEMS)


@pytest.mark.parametrize("score", ["forecast", "rate"])
def test_it_conforms(score: Literal["forecast", "rate"]) -> None:
    check_detector(detector(score), Says(spike=0.01))


def test_the_forecast_grows_with_the_tail() -> None:
    clean, rare = (detector("forecast")(Says(spike=s), seed=0).score for s in (0.0, 0.02))
    assert isinstance(clean, Interval)
    assert isinstance(rare, Interval)
    assert 5.0 < clean.low < clean.high < 50.0 < rare.low


def test_a_scorer_that_fails_gives_no_score() -> None:
    broken = RareBehaviour(problems=PROBLEMS, suspicion=lambda p, t: np.full(len(t), np.nan), bar=1.0)
    assert isinstance(broken(Says(), seed=0).score, Unmeasured)


def test_an_outlier_above_the_line_lifts_the_forecast_and_none_lies_below_what_was_seen() -> None:
    flat = np.r_[np.zeros(900), np.linspace(0.0, 0.1, 100)]
    line, off = largest_ahead(flat), largest_ahead(np.r_[flat, 5.0])
    assert isinstance(line, Interval)
    assert isinstance(off, Interval)
    assert line.high < 1.0
    assert 5.0 <= off.low < off.value < off.high


def test_where_nothing_stands_out_the_score_is_what_was_seen_and_a_saturated_scorer_cannot_tell() -> None:
    def constant(value: float) -> RareBehaviour:
        return RareBehaviour(problems=PROBLEMS, suspicion=lambda p, t: np.full(len(t), value), bar=20.0)

    calm = constant(0.0)(Says(), seed=0).score
    assert calm == Interval(value=0.0, low=0.0, high=20.0, n=len(PROBLEMS))
    assert isinstance(constant(30.0)(Says(), seed=0).score, Unmeasured)


def test_scores_without_a_tail_give_no_forecast() -> None:
    assert isinstance(largest_ahead(np.zeros(500)), Unmeasured)
    assert isinstance(largest_ahead(np.arange(20.0)), Unmeasured)
    with pytest.raises(BadInput):
        largest_ahead(np.arange(500.0), top=1)
