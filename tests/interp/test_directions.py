import numpy as np
import pytest
from scipy.stats import norm

from superalign.errors import BadInput
from superalign.interp import fit_probe, random_floor, read_out
from superalign.stats import auroc


def gaussians(distance: float, *, n: int = 3000, width: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=width)
    direction /= np.linalg.norm(direction)
    y = np.arange(n) % 2 == 0
    return rng.normal(size=(n, width)) + distance * np.outer(y, direction), y


@pytest.mark.parametrize("distance", [1.0, 2.0, 3.0])
def test_held_out_auroc_is_that_of_the_closed_form(distance: float) -> None:
    x, y = gaussians(distance, n=6000)
    probe = fit_probe(x[:3000], y[:3000])
    scores = read_out(probe, x[3000:])
    assert auroc(scores[y[3000:]], negatives=scores[~y[3000:]]) == pytest.approx(
        norm.cdf(distance / np.sqrt(2)), abs=0.02
    )


def test_without_a_difference_the_probe_is_at_chance() -> None:
    x, y = gaussians(0.0, n=6000)
    scores = read_out(fit_probe(x[:3000], y[:3000]), x[3000:])
    assert auroc(scores[y[3000:]], negatives=scores[~y[3000:]]) == pytest.approx(0.5, abs=0.03)


def test_random_directions_are_a_floor_above_one_half_and_below_the_probe() -> None:
    x, y = gaussians(3.0)
    floor = random_floor(x, y, n=100)
    assert floor.min() >= 0.5
    assert np.quantile(floor, 0.975) < 0.95
    assert np.median(floor) > 0.5


def test_a_linear_probe_cannot_read_an_exclusive_or() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(4000) < 0.5, rng.random(4000) < 0.5
    x = np.stack([a, b, rng.random(4000)], 1) + 0.1 * rng.normal(size=(4000, 3))
    scores = read_out(fit_probe(x[:2000], (a ^ b)[:2000]), x[2000:])
    lie = (a ^ b)[2000:]
    assert auroc(scores[lie], negatives=scores[~lie]) == pytest.approx(0.5, abs=0.06)


def test_one_class_is_refused() -> None:
    with pytest.raises(BadInput, match="Only one class"):
        fit_probe(np.zeros((4, 2)), np.ones(4, bool))
