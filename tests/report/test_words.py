from __future__ import annotations

import pytest

from superalign.report import words
from superalign.types import Claim, Interval, Unmeasured


def claim(**changes: object) -> Claim:
    fields = {
        "name": "c",
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "n": 10,
        "unit": "AUROC",
        "holds": True,
        "why": "Bar: 0.4",
    }
    fields |= {"null": Interval(value=0.0, low=-0.1, high=0.1, n=9)}
    return Claim(**(fields | changes))  # type: ignore[arg-type]


def test_a_claim_is_one_sentence_with_value_interval_count_and_null() -> None:
    said = words.claimed(claim())
    assert said == "0.500 AUROC, 95 % interval 0.400 to 0.600, n = 10; null control 0.000 (−0.100 to 0.100, n = 9)."


def test_what_was_not_measured_shows_no_number() -> None:
    why = Unmeasured("no twins")
    bare = claim(value=why, low=why, high=why, null=why, holds=why, why="")
    assert words.claimed(bare) == "Not measured; no null control."
    assert words.reasons(bare) == ["No twins."]


def test_a_missing_interval_is_said() -> None:
    said = words.claimed(claim(low=Unmeasured("one seed"), high=Unmeasured("one seed")))
    assert "without an interval" in said
    assert "0.400" not in said


def test_a_missing_null_is_a_reason_beside_the_others() -> None:
    assert words.reasons(claim(null=Unmeasured("no twin"))) == ["Bar: 0.4.", "No null control: no twin."]


@pytest.mark.parametrize(
    ("value", "text"), [(float("nan"), "undefined"), (float("inf"), "undefined"), (-1e-9, "−1.0e−9")]
)
def test_odd_numbers(value: float, text: str) -> None:
    assert words.number(value) == text
