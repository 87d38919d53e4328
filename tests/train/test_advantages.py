"""Advantages: what they are by definition, and that an unmeasured value takes no part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from superalign.errors import BadInput
from superalign.train.advantages import columns, group_normalised, leave_one_out
from superalign.types import Signal, Unmeasured

groups = st.tuples(st.integers(1, 4), st.integers(2, 6)).flatmap(
    lambda shape: st.tuples(npst.arrays(float, shape, elements=st.floats(-5, 5, width=32)), npst.arrays(bool, shape))
)


@given(groups)
@settings(max_examples=60, deadline=None)
def test_leave_one_out_is_the_value_minus_the_mean_of_the_other_measured_ones(case):
    values_PG, measured_PG = case
    got = leave_one_out(values_PG, measured_PG=measured_PG)
    for p, g in np.ndindex(values_PG.shape):
        others = [values_PG[p, h] for h in range(values_PG.shape[1]) if h != g and measured_PG[p, h]]
        want = values_PG[p, g] - np.mean(others) if measured_PG[p, g] and others else 0.0
        assert got[p, g] == pytest.approx(want, abs=1e-9)


@given(groups, st.floats(-100, 100))
@settings(max_examples=60, deadline=None)
def test_what_stands_at_an_unmeasured_place_changes_nothing(case, filler):
    values_PG, measured_PG = case
    other_PG = np.where(measured_PG, values_PG, filler)
    for advantage in (leave_one_out, group_normalised):
        np.testing.assert_allclose(
            advantage(values_PG, measured_PG=measured_PG), advantage(other_PG, measured_PG=measured_PG), atol=1e-9
        )


def test_group_normalised_has_unit_spread_over_the_measured_ones():
    values_PG, measured_PG = np.array([[3.0, 1.0, 2.0, 99.0]]), np.array([[True, True, True, False]])
    got = group_normalised(values_PG, measured_PG=measured_PG)
    assert got[0, 3] == 0
    assert np.std(got[0, :3], ddof=1) == pytest.approx(1)


def test_an_unmeasured_value_is_not_a_zero():
    values_PG = np.array([[1.0, 1.0, 0.0]])
    masked = leave_one_out(values_PG, measured_PG=np.array([[True, True, False]]))
    counted = leave_one_out(values_PG, measured_PG=np.ones((1, 3), bool))
    assert masked.tolist() == [[0.0, 0.0, 0.0]]
    assert counted[0, 0] > 0  # had it counted as 0, its siblings would have been pushed up


@pytest.mark.parametrize(
    ("values", "rollouts", "says"),
    [((1.0,), 2, "1 values for 2 rollouts"), ((float("nan"),), 1, "not a finite number")],
)
def test_a_signal_that_does_not_fit_is_refused(values, rollouts, says):
    with pytest.raises(BadInput, match=says):
        columns(Signal(overseer="", values=values), rollouts=rollouts)


def test_columns_keep_order():
    values_R, measured_R = columns(Signal(overseer="", values=(0.5, Unmeasured("no"), 1.0)), rollouts=3)
    assert values_R[measured_R].tolist() == [0.5, 1.0]


def test_empty_groups_are_refused():
    with pytest.raises(BadInput, match="at least one rollout"):
        leave_one_out(np.zeros((0, 2)), measured_PG=np.zeros((0, 2), bool))
