import numpy as np
import pytest
from scipy.stats import norm

from superalign.errors import BadInput
from superalign.interp import fit_mass_mean, read_out
from superalign.stats import auroc

WIDTH = 64


def gaussians(distance: float, *, n: int = 10_000, loud: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that lie apart along one direction; `loud` is the noise along another one that overlaps with it."""
    rng = np.random.default_rng(seed)
    apart, nuisance = np.linalg.qr(rng.normal(size=(WIDTH, 2)))[0].T
    y = np.arange(n) % 2 == 0
    x = rng.normal(size=(n, WIDTH)) + distance * np.outer(y, apart)
    return x + loud * np.outer(rng.normal(size=n), (apart + nuisance) / np.sqrt(2)), y


def held_out(x: np.ndarray, y: np.ndarray, **how: object) -> float:
    half = len(x) // 2
    scores = read_out(fit_mass_mean(x[:half], y[:half], **how), x[half:])  # type: ignore[arg-type]
    return float(auroc(scores[y[half:]], negatives=scores[~y[half:]]))


@pytest.mark.parametrize("distance", [2.0, 3.0, 4.0])
@pytest.mark.parametrize("whiten", [True, False])
def test_held_out_auroc_is_that_of_the_closed_form(distance: float, whiten: bool) -> None:
    assert held_out(*gaussians(distance), whiten=whiten) == pytest.approx(norm.cdf(distance / np.sqrt(2)), abs=0.01)


def test_whitening_silences_a_loud_direction_that_tells_nothing() -> None:
    x, y = gaussians(2.0, loud=5.0)
    plain, whitened = held_out(x, y, whiten=False), held_out(x, y)
    assert whitened > plain + 0.1
    assert whitened == pytest.approx(norm.cdf(2.0 / 2.0), abs=0.06)  # half of the squared distance is buried


def test_equal_means_are_at_chance() -> None:
    assert held_out(*gaussians(0.0)) == pytest.approx(0.5, abs=0.02)


def test_swapped_labels_turn_every_score_around() -> None:
    x, y = gaussians(2.0, n=400)
    assert read_out(fit_mass_mean(x, ~y), x) == pytest.approx(-read_out(fit_mass_mean(x, y), x))


def test_a_shrunk_covariance_serves_few_items_better_than_a_bare_one() -> None:
    x, y = gaussians(4.0, n=4000)

    def area(shrinkage: float | None) -> float:
        scores = read_out(fit_mass_mean(x[:80], y[:80], shrinkage=shrinkage), x[80:])
        return float(auroc(scores[y[80:]], negatives=scores[~y[80:]]))

    assert area(None) > area(0.0) + 0.02
    assert area(None) > 0.9


def test_whitened_scores_do_not_depend_on_the_units_of_the_coordinates() -> None:
    x, y = gaussians(2.0, n=300)
    units = np.exp(np.random.default_rng(1).normal(size=WIDTH))
    assert read_out(fit_mass_mean(x * units, y), x * units) == pytest.approx(read_out(fit_mass_mean(x, y), x), rel=1e-3)


@pytest.mark.parametrize("how", [{"y": [True, False, False]}, {"y": [True, True, False, False], "shrinkage": 1.5}])
def test_too_few_items_and_impossible_shares_are_refused(how: dict[str, object]) -> None:
    y = np.array(how.pop("y"))
    with pytest.raises(BadInput):
        fit_mass_mean(np.random.default_rng(0).normal(size=(len(y), 3)), y, **how)  # type: ignore[arg-type]
