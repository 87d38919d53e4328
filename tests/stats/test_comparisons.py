import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from superalign.errors import BadInput
from superalign.stats import holm, sign_flip_test
from superalign.types import Unmeasured

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_holm_gives_the_known_values() -> None:
    # Worked by hand: sorted .005 .01 .03 .04 times 4 3 2 1 is .02 .03 .06 .04, made monotone.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.5, 0.9]) == pytest.approx((1.0, 1.0))
    assert holm([]) == ()


@given(P_VALUES)
@settings(max_examples=100, deadline=None)
def test_holm_rejects_what_the_step_down_rule_rejects(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    rejected: set[int] = set()
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[i] * (len(p_values) - rank) > 0.05:
            break
        rejected.add(int(i))
    assert {i for i, p in enumerate(adjusted) if float(p) <= 0.05} == rejected  # type: ignore[arg-type]
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))  # type: ignore[operator]


def test_a_question_without_an_answer_still_counts() -> None:
    why = Unmeasured("starved")
    assert holm([0.01, why, 0.03]) == pytest.approx((0.03, why, 0.06))
    with pytest.raises(BadInput, match="between 0 and 1"):
        holm([0.5, 1.5])


def test_holm_keeps_the_family_wise_error_and_no_correction_does_not() -> None:
    p = np.random.default_rng(0).uniform(size=(2000, 8))
    assert np.mean([min(map(float, holm(row.tolist()))) <= 0.05 for row in p]) <= 0.06  # type: ignore[arg-type]
    assert np.mean(p.min(axis=1) <= 0.05) > 0.3


@pytest.mark.parametrize("side", ["greater", "less", "different"])
@pytest.mark.parametrize("n", [6, 40])
def test_sign_flips_agree_with_scipy(side: str, n: int) -> None:
    d = np.random.default_rng(n).normal(0.3, 1, n)
    trusted = reference.permutation_test(
        (d,), np.mean, permutation_type="samples", alternative="two-sided" if side == "different" else side, rng=0
    )
    p = sign_flip_test(d, seed=0, side=side)  # type: ignore[arg-type]
    assert p == pytest.approx(trusted.pvalue, abs=1e-12 if n == 6 else 0.025)


def test_five_of_five_is_one_in_thirty_two_and_ties_count() -> None:
    assert sign_flip_test([1.0] * 5, seed=0) == 1 / 32
    assert sign_flip_test([0.1, 0.2, 0.3, -0.6], seed=0) == sign_flip_test([0.1, 0.2, 0.3, -0.6], seed=9)
    assert sign_flip_test([0.1, 0.2, -0.3], seed=0) == 5 / 8  # 0.1 + 0.2 - 0.3 is a tie with 0 but for rounding


def test_p_values_are_valid_under_the_null_and_small_under_a_plant() -> None:
    rng = np.random.default_rng(0)
    null = np.array([sign_flip_test(rng.normal(size=20), seed=s, draws=200) for s in range(1000)])
    assert reference.kstest(null, "uniform").pvalue > 0.01
    assert np.mean(null <= 0.05) <= 0.065
    planted = np.array([sign_flip_test(rng.normal(1, 1, 20), seed=s, draws=200) for s in range(100)])
    assert np.mean(planted <= 0.05) > 0.9


def test_many_flips_never_give_zero() -> None:
    assert sign_flip_test(np.ones(60), seed=0, draws=1000) == 1 / 1001


def test_no_pairs_or_no_difference_is_unmeasured() -> None:
    assert isinstance(sign_flip_test([], seed=0), Unmeasured)
    assert isinstance(sign_flip_test([0.0, 0.0], seed=0), Unmeasured)
    with pytest.raises((BadInput, TypeError)):
        inspect.unwrap(sign_flip_test)([1.0], seed=0, side="up")


def test_beyond_the_exact_test_ties_count_and_ten_thousand_flips_are_drawn() -> None:
    one = sign_flip_test([0.3, *([0.0] * 19)], seed=0)  # half of the flips leave the sum as it is
    assert isinstance(one, float)
    assert 0.45 < one < 0.55
    assert sign_flip_test([1.0] * 30, seed=0) == 1 / 10_001
