"""A bet against a true null seldom wins, whenever one stops; against a false one it soon does."""

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.stats import clopper_pearson
from superalign.stats.betting import betting_test, e_discoveries, log_capital
from superalign.types import Unmeasured

SIGNS = [-1.0, 0.0, 1.0]


def ever(draw, *, runs=600, seed=0, **how):
    """How many runs ever reject, within 400 units."""
    rng = np.random.default_rng(seed)
    return sum(betting_test(draw(rng, 400), **how).rejected for _ in range(runs)), runs


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.choice(SIGNS, p=[0.1, 0.8, 0.1], size=n),
        lambda rng, n: rng.choice([-1.0, 1.0], size=n),
        lambda rng, n: np.where(rng.random(n) < 0.02, 0.98, -0.02),
        lambda rng, n: np.where(rng.random(n) < 0.02, -0.98, 0.02),
        lambda rng, n: rng.uniform(-1, 1, n) * (np.arange(n) % 2),
    ],
)
def test_a_true_null_is_rejected_at_any_time_no_more_often_than_stated(draw):
    wrong, runs = ever(draw)
    assert clopper_pearson(wrong, n=runs).low <= 0.05


def test_an_improvement_of_a_tenth_is_found():
    right, runs = ever(lambda rng, n: rng.choice(SIGNS, p=[0.1, 0.7, 0.2], size=n))
    assert right > 0.75 * runs


def test_capital_of_a_true_null_does_not_grow_on_average():
    rng = np.random.default_rng(1)
    held = [np.exp(log_capital(rng.choice([-1.0, 1.0], size=20), null=0, low=-1, high=1)[-1]) for _ in range(3000)]
    assert np.mean(held) < 1 + 4 * np.std(held) / np.sqrt(len(held))


def test_discoveries_among_null_ideas_are_few_however_they_depend():
    rng = np.random.default_rng(2)
    false = 0
    for _ in range(150):
        shared_N = rng.choice(SIGNS, p=[0.1, 0.8, 0.1], size=200)
        ideas = [np.where(rng.random(200) < 0.5, shared_N, rng.choice(SIGNS, size=200)) for _ in range(10)]
        false += bool(e_discoveries(np.array([betting_test(x).e_value for x in ideas])).any())
    assert clopper_pearson(false, n=150).low <= 0.05


def test_ideas_that_work_are_told_from_those_that_do_not():
    rng = np.random.default_rng(3)
    works_K = np.arange(20) < 5
    e_K = np.array(
        [
            betting_test(rng.choice(SIGNS, p=[0.1, 0.6, 0.3] if w else [0.2, 0.6, 0.2], size=800)).e_value
            for w in works_K
        ]
    )
    assert e_discoveries(e_K).tolist() == works_K.tolist()


def test_what_has_no_bounds_is_refused_and_nothing_is_unmeasured():
    with pytest.raises(BadInput, match="outside"):
        betting_test([0.5, 1.5])
    with pytest.raises(BadInput, match="outside"):
        betting_test([0.5], null=1.0)
    assert isinstance(betting_test([]), Unmeasured)
