import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.interp import contrast_floor, read_contrast, search_contrast


def pairs(
    truth: float, other: float, *, n: int = 500, seed: int = 0, offset: float = 5.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Claims and negations with a bit for truth, a distractor bit, and an offset between the sides."""
    rng = np.random.default_rng(seed)
    u_truth, u_other, u_side = np.linalg.qr(rng.normal(size=(64, 3)))[0].T
    is_true, is_other = rng.random(n) < 0.5, rng.random(n) < 0.5
    signal = np.outer(np.where(is_true, truth, -truth), u_truth) + np.outer(np.where(is_other, other, -other), u_other)
    plus = rng.normal(size=(n, 64)) + signal + offset * u_side
    return plus, rng.normal(size=(n, 64)) - signal - offset * u_side, is_true, is_other


def accuracy(said: np.ndarray, truth: np.ndarray) -> float:
    share = float((said == truth).mean())
    return max(share, 1.0 - share)


@pytest.mark.parametrize("seed", range(3))
def test_the_salient_bit_is_found_whether_it_is_truth_or_not(seed: int) -> None:
    for truth, other in ((4.0, 1.0), (1.0, 4.0)):
        plus, minus, is_true, is_other = pairs(truth, other, n=1000, seed=seed)
        found = search_contrast(plus[:500], minus[:500], seed=seed)
        said = read_contrast(found, plus[500:], minus[500:]) > 0.5
        salient, hidden = (is_true, is_other) if truth > other else (is_other, is_true)
        assert accuracy(said, salient[500:]) >= 0.95
        assert accuracy(said, hidden[500:]) < 0.65
        assert not found.ambiguous


@pytest.mark.parametrize("seed", range(4))
def test_two_equally_strong_bits_are_ambiguous(seed: int) -> None:
    plus, minus, *_ = pairs(3.0, 3.0, seed=seed)
    found = search_contrast(plus, minus, seed=seed)
    assert found.ambiguous
    assert (found.agreement_S < 0.75).any()


def test_without_a_consistent_bit_it_is_ambiguous_and_no_better_than_random_directions() -> None:
    plus, minus, is_true, _ = pairs(0.0, 0.0)
    found = search_contrast(plus, minus)
    assert found.ambiguous
    floor = contrast_floor(plus, minus, is_true)
    assert accuracy(read_contrast(found, plus, minus) > 0.5, is_true) <= np.quantile(floor, 0.975)


def test_random_directions_do_well_where_one_bit_is_loud() -> None:
    plus, minus, is_true, _ = pairs(4.0, 0.0)
    floor = contrast_floor(plus, minus, is_true)
    assert len(floor) == 200
    assert floor.min() >= 0.5
    assert np.quantile(floor, 0.975) > 0.85  # a published result without this floor says little


def test_an_offset_between_the_sides_does_not_solve_the_loss() -> None:
    near, far = (search_contrast(*pairs(3.0, 0.0, offset=o)[:2]) for o in (0.0, 50.0))
    assert near.loss == pytest.approx(far.loss, rel=0.05)


def test_the_same_seed_gives_the_same_direction() -> None:
    plus, minus, *_ = pairs(2.0, 1.0, n=100)
    one, two = (search_contrast(plus, minus, seed=3) for _ in range(2))
    assert (one.weight_D == two.weight_D).all()


def test_a_single_pair_is_refused() -> None:
    with pytest.raises(BadInput, match="no pairs"):
        search_contrast(np.zeros((1, 3)), np.zeros((1, 3)))
