import numpy as np
import pytest
from scipy import stats as reference

from superalign.errors import BadInput
from superalign.stats import (
    auroc_planning_se,
    detectable_paired,
    detectable_two_proportions,
    needed_pairs,
    needed_two_proportions,
    paired_sd,
    power_paired,
    power_two_proportions,
)
from superalign.types import Unmeasured


def test_three_points_need_about_a_thousand_pairs_or_4400_an_arm() -> None:
    pairs = needed_pairs(0.03, sd=paired_sd(0.11, difference=0.03))
    arms = needed_two_proportions(0.5, 0.53)
    assert pairs == pytest.approx(1000, rel=0.06)  # type: ignore[comparison-overlap]
    assert arms == pytest.approx(4400, rel=0.02)  # type: ignore[comparison-overlap]


def test_the_power_of_two_proportions_is_what_simulated_studies_find() -> None:
    rng = np.random.default_rng(0)
    n, m, p, q = 150, 100, 0.3, 0.5
    x, y = rng.binomial(n, p, 4000), rng.binomial(m, q, 4000)
    pooled = (x + y) / (n + m)
    z = (y / m - x / n) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    found = float(np.mean(np.abs(z) > 1.959964))
    assert power_two_proportions(p, q, n_first=n, n_second=m) == pytest.approx(found, abs=0.025)


def test_the_power_of_pairs_is_what_simulated_studies_find() -> None:
    d = np.random.default_rng(0).normal(0.6, 1, size=(4000, 12))
    found = float(np.mean(reference.ttest_1samp(d, 0, axis=1).pvalue < 0.05))
    assert power_paired(0.6, sd=1.0, n=12) == pytest.approx(found, abs=0.025)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5])
def test_the_detectable_difference_has_the_power_it_was_asked_for(rate: float) -> None:
    rise = detectable_two_proportions(rate, n_first=80, n_second=120, power=0.9)
    assert isinstance(rise, float)
    assert power_two_proportions(rate, rate + rise, n_first=80, n_second=120) == pytest.approx(0.9, abs=1e-6)
    assert power_paired(detectable_paired(sd=2.0, n=9, power=0.9), sd=2.0, n=9) == pytest.approx(0.9, abs=1e-4)


def test_the_needed_number_is_the_smallest() -> None:
    n = needed_pairs(0.4, sd=1.0)
    assert isinstance(n, int)
    assert power_paired(0.4, sd=1.0, n=n) >= 0.8 > power_paired(0.4, sd=1.0, n=n - 1)
    m = needed_two_proportions(0.1, 0.3)
    assert isinstance(m, int)
    assert power_two_proportions(0.1, 0.3, n_first=m, n_second=m) >= 0.8
    assert power_two_proportions(0.1, 0.3, n_first=m - 1, n_second=m - 1) < 0.8


def test_no_effect_has_the_power_of_its_level() -> None:
    assert power_two_proportions(0.4, 0.4, n_first=50, n_second=70) == pytest.approx(0.05)
    assert power_paired(0.0, sd=1.0, n=10) == pytest.approx(0.05)


def test_what_no_study_can_detect_is_unmeasured() -> None:
    assert isinstance(detectable_two_proportions(0.95, n_first=10, n_second=10), Unmeasured)
    assert isinstance(needed_pairs(0.0, sd=1.0), Unmeasured)
    assert isinstance(needed_two_proportions(0.2, 0.2), Unmeasured)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(BadInput, match="no data look like this"):
        paired_sd(0.02, difference=0.03)
    with pytest.raises(BadInput, match="Without spread"):
        power_paired(0.1, sd=0.0, n=10)
    with pytest.raises(BadInput, match="not above alpha"):
        detectable_paired(sd=1.0, n=10, power=0.04)
    with pytest.raises(BadInput, match=r"in \[0, 1\]"):
        power_two_proportions(1.2, 0.5, n_first=5, n_second=5)


def test_the_planning_error_is_what_delong_scores_show() -> None:
    assert auroc_planning_se(0.5, n_positives=20, n_negatives=20) == pytest.approx(0.092, abs=0.001)
    assert auroc_planning_se(0.98, n_positives=100, n_negatives=100) == pytest.approx(0.010, abs=0.0005)
