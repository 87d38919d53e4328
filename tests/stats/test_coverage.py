"""How often intervals hold the truth where that is hard: rare wins, long tails, few and unequal classes, near-perfect ranking.

The default tests ask the hardest cells a few hundred times; `--slow` asks all of them, and prints the table.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import config
from scipy.special import ndtri

from superalign.stats import auroc, auroc_delong, cluster_bootstrap, paired_bootstrap
from superalign.types import Interval, Unmeasured

Draw = Callable[[np.random.Generator], Interval | Unmeasured]


def missed(make: Draw, *, truth: float, repetitions: int, seed: int = 0) -> tuple[float, float]:
    """How often the interval lies above the truth, and how often below, of the repetitions that have one."""
    rng, above, below, n = np.random.default_rng(seed), 0, 0, 0
    try:
        for _ in range(repetitions):
            made = make(rng)
            config.update("jaxtyping_disable", True)  # repetitions are alike: the first has its shapes checked
            if isinstance(made, Interval):
                above, below, n = above + (made.low > truth), below + (made.high < truth), n + 1
    finally:
        config.update("jaxtyping_disable", False)
    assert n >= 50
    return above / n, below / n


def yes_no(n: int, won: float, lost: float) -> Draw:
    """Pairs of yes-no outcomes of which so many are won and lost."""

    def make(rng: np.random.Generator) -> Interval | Unmeasured:
        u = rng.random(n)
        return paired_bootstrap(u < won, (won < u) & (u < won + lost), seed=int(rng.integers(1 << 31)), draws=200)

    return make


def skewed(n: int, tail: str) -> Draw:
    def make(rng: np.random.Generator) -> Interval | Unmeasured:
        x = rng.exponential(size=n) if tail == "exponential" else np.exp(rng.normal(size=n) - 0.5)
        return paired_bootstrap(x, np.zeros(n), seed=int(rng.integers(1 << 31)), draws=200)

    return make


def unequal_clusters(n: int) -> Draw:
    """Clusters of 1 to 8 units whose own means have an exponential tail."""
    label = np.repeat(np.arange(n), np.arange(n) % 8 + 1)

    def make(rng: np.random.Generator) -> Interval | Unmeasured:
        values = rng.exponential(size=n)[label] + 0.5 * rng.normal(size=len(label))
        return cluster_bootstrap(values, clusters=label, seed=int(rng.integers(1 << 31)), draws=200)

    return make


def ranked(shape: str, n: int, m: int, area: float) -> tuple[Draw, float]:
    """Scores of n positives and m negatives with an area, and the area that they have (ties move it)."""
    shift = math.sqrt(2) * ndtri(area)

    def scores(rng: np.random.Generator, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
        if shape == "exponential":
            return area / (1 - area) * rng.exponential(size=n), rng.exponential(size=m)
        if shape == "wide":
            return rng.normal(math.sqrt(5) * shift, 3, n), rng.normal(size=m)
        pos, neg = rng.normal(shift, 1, n), rng.normal(size=m)
        return (np.round(pos), np.round(neg)) if shape == "tied" else (pos, neg)

    def make(rng: np.random.Generator) -> Interval | Unmeasured:
        pos, neg = scores(rng, n, m)
        return auroc_delong(pos, negatives=neg)

    pos, neg = scores(np.random.default_rng(9), 100_000, 100_000)
    truth = auroc(pos, negatives=neg)
    assert isinstance(truth, float)
    return make, truth if shape == "tied" else area


@pytest.mark.parametrize("n", [10, 15, 20, 30])
def test_rare_wins_are_covered(n: int) -> None:
    above, below = missed(yes_no(n, 0.05, 0.02), truth=0.03, repetitions=300)
    assert above + below <= 0.05  # percentiles alone miss .14 to .22


@pytest.mark.parametrize(("won", "lost"), [(0.2, 0.02), (0.3, 0.2), (0.05, 0.0)])
def test_yes_no_pairs_are_nearly_covered_at_twenty(won: float, lost: float) -> None:
    above, below = missed(yes_no(20, won, lost), truth=won - lost, repetitions=300)
    assert above + below <= 0.09


def test_a_long_tail_is_not_covered_as_the_docstring_says() -> None:
    above, below = missed(skewed(10, "lognormal"), truth=1.0, repetitions=400)
    assert 0.1 <= above + below <= 0.22
    assert above <= 0.01  # all of it by intervals that lie too low


@pytest.mark.parametrize(("n", "m"), [(6, 36), (12, 24), (18, 36)])
@pytest.mark.parametrize("shape", ["exponential", "wide"])
def test_the_area_is_covered_by_few_and_unequal_classes_near_the_top(shape: str, n: int, m: int) -> None:
    make, truth = ranked(shape, n, m, 0.95)
    above, below = missed(make, truth=truth, repetitions=400)
    assert above + below <= 0.06
    assert above <= 0.05  # DeLong's normal interval on the logit scale: up to .10


@pytest.mark.slow
def test_the_area_is_covered_at_the_sizes_of_our_pages() -> None:
    sizes, areas = ((6, 36), (12, 24), (18, 36), (6, 12), (3, 6), (3, 18), (15, 15)), (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
    for n, m in sizes:
        cells = []
        for shape, area in itertools.product(("normal", "wide", "exponential", "tied"), areas):
            make, truth = ranked(shape, n, m, area)
            cells.append(missed(make, truth=truth, repetitions=1000))
        covered, above = [1 - a - b for a, b in cells], [a for a, _ in cells]
        print(f"{n} x {m}: least {min(covered):.3f}, mean {np.mean(covered):.3f}, lower bound misses {max(above):.3f}")
        assert min(covered) >= 0.93
        assert np.mean(covered) >= 0.95
        assert max(above) <= 0.055


@pytest.mark.slow
def test_the_paired_and_clustered_bootstrap_covers_or_is_known_not_to() -> None:
    rates = ((0.05, 0.02), (0.05, 0.0), (0.2, 0.02), (0.3, 0.2))
    for n in (10, 15, 20, 30, 60, 100):
        binary = [1 - sum(missed(yes_no(n, w, x), truth=w - x, repetitions=1500)) for w, x in rates]
        tails = [1 - sum(missed(skewed(n, t), truth=1.0, repetitions=1500)) for t in ("exponential", "lognormal")]
        clusters = 1 - sum(missed(unequal_clusters(n), truth=1.0, repetitions=1500))
        print(n, "yes-no", np.round(binary, 3), "tails", np.round(tails, 3), "clusters", round(clusters, 3))
        assert min(binary) >= 0.90
        assert tails[0] >= 0.88
        assert tails[1] >= 0.78
        assert clusters >= 0.78
