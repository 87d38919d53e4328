from collections.abc import Callable

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.stats import cluster_bootstrap, crossed_mean, mean_interval, paired_bootstrap, resampling
from superalign.types import Interval, Unmeasured


@pytest.mark.parametrize("n", [5, 8, 12, 30])
def test_the_paired_bootstrap_covers_what_it_says_also_with_few_pairs(coverage: Callable[..., float], n: int) -> None:
    def make(rng: np.random.Generator, seed: int) -> Interval | Unmeasured:
        item = 3 * rng.normal(size=n)
        return paired_bootstrap(item + rng.normal(size=n), item + rng.normal(size=n), seed=seed, draws=400)

    assert 0.93 <= coverage(make, truth=0.0) <= 0.97


def test_the_check_finds_that_plain_percentiles_are_too_narrow_with_five_units() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 5))
    means = x[:, rng.integers(0, 5, size=(400, 5))].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.9


def _correlated(rng: np.random.Generator) -> np.ndarray:
    """25 clusters of 6 units, 70 % of the variance shared within a cluster."""
    return np.sqrt(0.7) * rng.normal(size=(25, 1)) + np.sqrt(0.3) * rng.normal(size=(25, 6))


def test_the_cluster_bootstrap_covers_what_it_says_where_units_do_not(coverage: Callable[..., float]) -> None:
    labels = np.repeat(np.arange(25), 6)

    def clustered(rng: np.random.Generator, seed: int) -> Interval | Unmeasured:
        return cluster_bootstrap(_correlated(rng).ravel(), clusters=labels, seed=seed, draws=300)

    assert 0.93 <= coverage(clustered, truth=0.0) <= 0.97
    assert coverage(lambda rng, _: mean_interval(_correlated(rng).ravel()), truth=0.0, repetitions=500) < 0.75


def test_clusters_of_unequal_size_cover_too(coverage: Callable[..., float]) -> None:
    sizes = np.arange(30) % 4 + 1
    labels = np.repeat(np.arange(30), sizes)

    def make(rng: np.random.Generator, seed: int) -> Interval | Unmeasured:
        values = np.repeat(rng.normal(size=30), sizes) + 0.5 * rng.normal(size=len(labels))
        return cluster_bootstrap(values, clusters=labels, seed=seed, draws=300)

    assert 0.93 <= coverage(make, truth=0.0) <= 0.97


def _table(rng: np.random.Generator, *, items: float, seeds: float, noise: float, n_seeds: int = 5) -> np.ndarray:
    return (
        items * rng.normal(size=(30, 1))
        + seeds * rng.normal(size=(1, n_seeds))
        + noise * rng.normal(size=(30, n_seeds))
    )


@pytest.mark.parametrize(("items", "seeds", "noise"), [(1, 1, 1), (1, 0.2, 1), (1, 0, 0.3)])
def test_the_crossed_mean_covers_what_it_says(
    coverage: Callable[..., float], items: float, seeds: float, noise: float
) -> None:
    def make(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        return crossed_mean(_table(rng, items=items, seeds=seeds, noise=noise))

    assert 0.93 <= coverage(make, truth=0.0) <= 0.97


def test_the_crossed_mean_errs_wide_on_pure_noise(coverage: Callable[..., float]) -> None:
    def make(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        return crossed_mean(_table(rng, items=0, seeds=0, noise=1))

    assert coverage(make, truth=0.0) >= 0.95


def test_the_crossed_mean_covers_what_it_says_where_items_alone_do_not(coverage: Callable[..., float]) -> None:
    def crossed(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        return crossed_mean(_table(rng, items=1, seeds=1, noise=0.3, n_seeds=8))

    def items_only(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        return mean_interval(_table(rng, items=1, seeds=1, noise=0.3, n_seeds=8).mean(axis=1))

    assert 0.93 <= coverage(crossed, truth=0.0) <= 0.97
    assert coverage(items_only, truth=0.0, repetitions=500) < 0.8


def test_one_unit_per_cluster_is_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=20), rng.normal(size=20)
    assert paired_bootstrap(x, y, seed=3) == cluster_bootstrap(x - y, clusters=np.arange(20), seed=3)
    assert paired_bootstrap(x, y, seed=3) != paired_bootstrap(x, y, seed=4)


def test_large_resamples_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=30)
    whole = cluster_bootstrap(x, clusters=np.arange(30), seed=0, draws=4000)
    monkeypatch.setattr(resampling, "_CHUNK", 3000)
    parts = cluster_bootstrap(x, clusters=np.arange(30), seed=0, draws=4000)
    assert parts == whole


def test_without_spread_or_units_there_is_no_interval() -> None:
    assert isinstance(paired_bootstrap([], [], seed=0), Unmeasured)
    assert isinstance(paired_bootstrap([1.0, 2.0], [0.0, 1.0], seed=0), Unmeasured)
    assert isinstance(cluster_bootstrap([1.0, 2.0], clusters=["a", "a"], seed=0), Unmeasured)
    assert isinstance(cluster_bootstrap([1.0, 2.0, 1.5], clusters=["a", "a", "b"], seed=0), Unmeasured)
    assert isinstance(crossed_mean([[1.0, 2.0]]), Unmeasured)
    assert isinstance(crossed_mean(np.ones((3, 3))), Unmeasured)
    with pytest.raises(BadInput, match="not items x seeds"):
        crossed_mean([1.0, 2.0])
    with pytest.raises(BadInput, match="NaN"):
        crossed_mean([[1.0, float("nan")], [0.0, 1.0]])
