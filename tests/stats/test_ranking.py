from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtri
from sklearn.metrics import roc_auc_score

from superalign.errors import BadInput
from superalign.stats import auroc, auroc_bootstrap, auroc_delong, auroc_null_sd, delong_variance
from superalign.stats.ranking import _weighted_auroc
from superalign.types import Interval, Unmeasured

SCORES = st.lists(st.integers(-8, 8).map(float), min_size=1, max_size=30)  # small range, so that ties are common
AREA = 0.8
SHIFT = float(np.sqrt(2) * ndtri(AREA))


def _area(positives: object, negatives: object) -> float:
    area = auroc(positives, negatives=negatives)  # type: ignore[arg-type]
    assert isinstance(area, float)
    return area


@given(SCORES, SCORES)
@settings(max_examples=100, deadline=None)
def test_auroc_agrees_with_sklearn_also_with_ties(positives: list[float], negatives: list[float]) -> None:
    labels = [1] * len(positives) + [0] * len(negatives)
    assert _area(positives, negatives) == pytest.approx(roc_auc_score(labels, positives + negatives))


@given(SCORES, SCORES)
@settings(max_examples=100, deadline=None)
def test_swapping_the_labels_turns_auroc_around(positives: list[float], negatives: list[float]) -> None:
    assert _area(positives, negatives) == pytest.approx(1 - _area(negatives, positives))
    assert _area([-s for s in positives], [-s for s in negatives]) == pytest.approx(1 - _area(positives, negatives))


@given(SCORES, SCORES, st.sampled_from([np.exp, np.arctan, lambda s: 3 * s - 7, lambda s: s**3]))
@settings(max_examples=100, deadline=None)
def test_a_monotone_transform_changes_nothing(
    positives: list[float], negatives: list[float], transform: Callable[[np.ndarray], np.ndarray]
) -> None:
    moved = transform(np.array(positives)), transform(np.array(negatives))
    assert _area(*moved) == _area(positives, negatives)
    assert auroc_delong(moved[0], negatives=moved[1]) == auroc_delong(positives, negatives=negatives)


def test_delong_agrees_with_its_definition_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    pos, neg = rng.integers(0, 6, 13) + 1.0, rng.integers(0, 6, 9) * 1.0
    kernel = [[1.0 if p > n else 0.5 if p == n else 0.0 for n in neg] for p in pos]
    area = sum(map(sum, kernel)) / (13 * 9)
    rows = [sum(row) / 9 for row in kernel]
    columns = [sum(kernel[i][j] for i in range(13)) / 13 for j in range(9)]
    variance = sum((r - area) ** 2 for r in rows) / 12 / 13 + sum((c - area) ** 2 for c in columns) / 8 / 9
    assert delong_variance(pos, negatives=neg) == pytest.approx(variance)


def test_the_interval_is_the_further_one_of_brunner_munzel_and_newcombe_at_each_end() -> None:
    rng = np.random.default_rng(0)
    for n, m, shift in ((13, 9, 0.5), (4, 40, 1.5), (40, 4, 1.5), (3, 3, 0.0)):
        pos, neg = rng.normal(shift, 1, n), rng.normal(size=m)
        area = _area(pos, neg)
        kernel = (pos[:, None] > neg[None, :]).astype(float)
        v = kernel.mean(1).var(ddof=1) / n, kernel.mean(0).var(ddof=1) / m
        t = stats.t.ppf(0.975, sum(v) ** 2 / (v[0] ** 2 / (n - 1) + v[1] ** 2 / (m - 1)))
        logit = np.log(area / (1 - area)) + np.array([-1, 1]) * t * np.sqrt(sum(v)) / (area * (1 - area))
        first = 1 / (1 + np.exp(-logit))
        # Newcombe's bounds are where his equation holds.
        grid = np.linspace(1e-6, 1 - 1e-6, 400_001)
        spread = grid * (1 - grid) / (n * m) * (1 + ((n + m) / 2 - 1) * ((1 - grid) / (2 - grid) + grid / (1 + grid)))
        inside = grid[np.abs(area - grid) <= 1.959964 * np.sqrt(spread)]
        made = auroc_delong(pos, negatives=neg)
        assert isinstance(made, Interval)
        assert made.low == pytest.approx(min(first[0], inside[0]), abs=1e-5)
        assert made.high == pytest.approx(max(first[1], inside[-1]), abs=1e-5)
        assert (made.value, made.n) == (area, n + m)


def test_a_resample_weighs_like_repeated_scores() -> None:
    rng = np.random.default_rng(1)
    pos, neg = rng.integers(0, 5, 8) * 1.0, np.sort(rng.integers(0, 5, 6) * 1.0)
    weight_BN, weight_BM = rng.integers(0, 3, (20, 8)), rng.integers(0, 3, (20, 6))
    weight_BM[3] = 0
    got = _weighted_auroc(pos, neg, weight_BN, weight_BM)
    for b in range(20):
        wanted = auroc(np.repeat(pos, weight_BN[b]), negatives=np.repeat(neg, weight_BM[b]))
        assert np.isnan(got[b]) if isinstance(wanted, Unmeasured) else got[b] == pytest.approx(wanted)
    assert np.isnan(got[3])


def test_delong_covers_what_it_says(coverage: Callable[..., float]) -> None:
    def make(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        return auroc_delong(rng.normal(SHIFT, 1, 60), negatives=rng.normal(0, 1, 40))

    assert 0.93 <= coverage(make, truth=AREA) <= 0.97


def test_the_bootstrap_covers_what_it_says(coverage: Callable[..., float]) -> None:
    def make(rng: np.random.Generator, seed: int) -> Interval | Unmeasured:
        return auroc_bootstrap(rng.normal(SHIFT, 1, 30), negatives=rng.normal(0, 1, 30), seed=seed, draws=100)

    assert 0.93 <= coverage(make, truth=AREA) <= 0.97


def _clustered(rng: np.random.Generator, clusters: int = 25, each: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Scores of which 60 % of the variance is shared within a cluster; plants and twins are in different clusters."""
    shared, own = rng.normal(size=(2, clusters, 1)), rng.normal(size=(2, clusters, each))
    scores = np.sqrt(0.6) * shared + np.sqrt(0.4) * own
    return SHIFT + scores[0].ravel(), scores[1].ravel()


def test_the_cluster_bootstrap_covers_what_it_says_where_delong_does_not(coverage: Callable[..., float]) -> None:
    labels = np.repeat(np.arange(25), 3)

    def clustered(rng: np.random.Generator, seed: int) -> Interval | Unmeasured:
        pos, neg = _clustered(rng)
        return auroc_bootstrap(pos, negatives=neg, clusters=(labels, labels + 25), seed=seed, draws=100)

    def naive(rng: np.random.Generator, _: int) -> Interval | Unmeasured:
        pos, neg = _clustered(rng)
        return auroc_delong(pos, negatives=neg)

    assert 0.93 <= coverage(clustered, truth=AREA) <= 0.97
    assert coverage(naive, truth=AREA, repetitions=500) < 0.9


def test_the_spread_under_the_null_is_the_known_one() -> None:
    rng = np.random.default_rng(0)
    areas = [_area(rng.normal(size=20), rng.normal(size=20)) for _ in range(2000)]
    assert np.std(areas) == pytest.approx(auroc_null_sd(20, 20), rel=0.06)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("bound", ["delong", "bootstrap"])
def test_a_perfect_ranking_keeps_a_binomial_width(bound: str) -> None:
    def make(positives: np.ndarray, negatives: np.ndarray) -> Interval:
        made = (
            auroc_delong(positives, negatives=negatives)
            if bound == "delong"
            else auroc_bootstrap(positives, negatives=negatives, seed=0)
        )
        assert isinstance(made, Interval)
        return made

    high, low = np.arange(20) + 100.0, np.arange(30) * 1.0
    perfect, inverted, tied = make(high, low), make(low, high), make(np.ones(20), np.ones(30))
    assert (perfect.value, perfect.high, round(perfect.low, 3)) == (1.0, 1.0, 0.832)
    assert (inverted.value, inverted.low, round(inverted.high, 3)) == (0.0, 0.0, 0.168)
    assert tied.value == 0.5
    assert tied.low == pytest.approx(1 - tied.high)
    assert 0.05 < tied.high - tied.low < 0.2


def test_clusters_count_as_the_units_of_a_perfect_ranking() -> None:
    pos, neg = np.arange(20) + 100.0, np.arange(20) * 1.0
    few = auroc_bootstrap(pos, negatives=neg, clusters=(np.arange(20) // 4, 100 + np.arange(20) // 4), seed=0)
    many = auroc_bootstrap(pos, negatives=neg, seed=0)
    assert isinstance(few, Interval)
    assert isinstance(many, Interval)
    assert few.low < many.low
    assert (few.n, many.n) == (10, 40)


def test_the_same_seed_gives_the_same_interval_and_another_does_not() -> None:
    rng = np.random.default_rng(0)
    pos, neg = rng.normal(1, 1, 15), rng.normal(0, 1, 15)
    first, again, other = (auroc_bootstrap(pos, negatives=neg, seed=s, draws=200) for s in (4, 4, 5))
    assert first == again
    assert first != other


def test_one_class_or_one_cluster_is_unmeasured() -> None:
    for pos, neg in (([], [1.0, 2.0]), ([1.0, 2.0], []), ([], [])):
        assert isinstance(auroc(pos, negatives=neg), Unmeasured)
        assert isinstance(auroc_delong(pos, negatives=neg), Unmeasured)
        assert isinstance(auroc_bootstrap(pos, negatives=neg, seed=0), Unmeasured)
    assert isinstance(auroc_delong([1.0], negatives=[0.0, 2.0]), Unmeasured)
    one = auroc_bootstrap([1.0, 2.0], negatives=[0.0, 1.5], clusters=(["a", "a"], ["b", "c"]), seed=0)
    assert isinstance(one, Unmeasured)
    with pytest.raises(BadInput, match="clusters of positives"):
        auroc_bootstrap([1.0, 2.0], negatives=[0.0, 1.5], clusters=(["a"], ["b", "c"]), seed=0)


def test_a_bootstrapped_area_without_a_class_says_which_and_draws_two_thousand() -> None:
    for pos, neg in (([], [1.0, 2.0]), ([1.0, 2.0], []), ([], [])):
        assert auroc_bootstrap(pos, negatives=neg, seed=0) == auroc(pos, negatives=neg)
    some = {"negatives": [0.1, 0.4, 0.35, 0.8, 0.2], "seed": 4}
    assert auroc_bootstrap([0.3, 0.9, 0.5, 0.7], **some) == auroc_bootstrap([0.3, 0.9, 0.5, 0.7], **some, draws=2000)
