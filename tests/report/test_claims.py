"""When a claim holds: at and on both sides of its bar, for what was found and for its null."""

import pytest

from superalign.report.claims import DESCRIPTION, NO_NULL, claim_above, clip_interval, descriptive
from superalign.types import Interval, Unmeasured

BAR = 0.5
NOT_RUN = Unmeasured("not run")


def interval(low: float, n: int = 20) -> Interval:
    return Interval(value=low + 0.1, low=low, high=low + 0.2, n=n)


def holds(found: Interval | Unmeasured, null: Interval | Unmeasured) -> bool | Unmeasured:
    return claim_above("It works", found, unit="share", null=null, why="w", bar=BAR).holds


@pytest.mark.parametrize(
    ("found", "null", "then"),
    [
        (0.5001, 0.1, True),
        (0.5, 0.1, False),  # the whole interval lies above, not at
        (0.4999, 0.1, False),
        (0.5001, 0.5, True),  # a null that reaches the bar and not beyond it
        (0.5001, 0.5001, False),  # found where there is nothing to find
        (0.4, 0.5001, False),
        (0.4, 0.1, False),
    ],
)
def test_a_claim_holds_above_its_bar_where_its_null_does_not(found: float, null: float, then: bool) -> None:
    assert holds(interval(found), interval(null)) is then


def test_without_a_null_nobody_can_tell_and_what_failed_failed() -> None:
    assert holds(interval(0.9), NOT_RUN) == NO_NULL
    assert holds(interval(0.5), NOT_RUN) is False


def test_without_a_number_nobody_can_tell_whatever_the_null_was() -> None:
    for null in (interval(0.1), interval(0.9), Unmeasured("another")):
        assert holds(NOT_RUN, null) == NOT_RUN


def test_a_claim_carries_what_was_measured() -> None:
    found, null = Interval(value=0.7, low=0.6, high=0.9, n=31), interval(0.1)
    claim = claim_above("It works", found, unit="share", null=null, why="w", bar=BAR)
    assert (claim.value, claim.low, claim.high, claim.n) == (0.7, 0.6, 0.9, 31)
    assert (claim.name, claim.unit, claim.null, claim.why) == ("It works", "share", null, "w")
    nothing = claim_above("It works", NOT_RUN, unit="share", null=null, why="w", bar=BAR)
    assert (nothing.value, nothing.low, nothing.high, nothing.n) == (NOT_RUN, NOT_RUN, NOT_RUN, 0)
    assert (nothing.name, nothing.unit, nothing.null, nothing.why) == ("It works", "share", null, "w")


@pytest.mark.parametrize("said", [True, False, NOT_RUN])
def test_a_description_holds_as_the_caller_says(said: bool | Unmeasured) -> None:
    assert descriptive("It costs", interval(0.1), unit="s", null=NO_NULL, why="", holds=said).holds == said
    assert descriptive("It costs", interval(0.1), unit="s", null=NO_NULL, why="").holds == DESCRIPTION


def test_an_interval_is_cut_at_each_end_alone() -> None:
    wide = Interval(value=0.5, low=-0.2, high=1.3, n=2)
    assert clip_interval(wide, 0.0, 1.0) == Interval(value=0.5, low=0.0, high=1.0, n=2)
    assert clip_interval(wide, -1.0, 2.0) == wide
    assert clip_interval(NOT_RUN, 0.0, 1.0) == NOT_RUN
