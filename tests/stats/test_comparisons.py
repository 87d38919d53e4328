import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.errors import BadInput
from superalign.stats import holm
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
