import inspect

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.stats.inputs import cluster_codes, column, counted, fraction, paired_columns, spread_is_zero, two_tail
from superalign.types import Unmeasured


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1.0, float("nan")], "NaN or infinity"),
        ([1.0, float("inf")], "NaN or infinity"),
        ([1.0, Unmeasured("tap did not fire")], "tap did not fire"),
        (["high"], "not a number"),
        ([[1.0]], "not one dimension"),
    ],
)
def test_a_value_that_was_not_measured_is_refused(values: object, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        column(values, name="scores")  # type: ignore[arg-type]


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(BadInput, match="first has 2 values and second has 3"):
        paired_columns([1, 2], [1, 2, 3], names=("first", "second"))


def test_every_unit_needs_a_cluster() -> None:
    with pytest.raises(BadInput, match="for 3 units"):
        cluster_codes(["a", "b"], n=3, name="bases")


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 95.0, float("nan")])
def test_a_confidence_outside_the_unit_interval_is_refused(value: float) -> None:
    with pytest.raises(BadInput, match="strictly between 0 and 1"):
        two_tail(value)
    with pytest.raises(BadInput, match="strictly between 0 and 1"):
        fraction(value, name="alpha")


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_a_count_must_be_a_positive_whole_number(value: float) -> None:
    with pytest.raises((BadInput, TypeError), match="2.5" if value == 2.5 else "whole number"):
        inspect.unwrap(counted)(value, name="n")


def test_rounding_is_not_spread_but_a_small_difference_is() -> None:
    assert spread_is_zero(np.array([0.1 + 0.2, 0.3]))
    assert not spread_is_zero(np.array([0.3, 0.3 + 1e-9]))
    assert spread_is_zero(np.zeros(3))
