"""Settings of reward-inside that do not go together are refused at once."""

from typing import Any

import pytest

from superalign.errors import ConfigError
from superalign.lab.reward_models import MARKS as READ
from superalign.studies.reward_inside.study import MARKS, STUDY, Config, check

PAIRS = "preferences:pairs.jsonl"


@pytest.mark.parametrize(
    "given",
    [
        {"preferences": "statements:x.csv"},
        {"held": (PAIRS,)},
        {"preferences": PAIRS, "held": ("chains",)},
        {"preferences": PAIRS, "held": ("x.jsonl",)},
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cannot be used here"):
        check(Config(**given))


@pytest.mark.parametrize("held", [(PAIRS,), ("preferences:x.jsonl", "preferences:x.jsonl")])
def test_a_head_is_not_tested_on_what_it_is_trained_on_nor_twice_on_the_same(held: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="names a file twice"):
        check(Config(preferences=PAIRS, held=held))


def test_the_usual_settings_go_together_and_marks_are_those_that_are_written() -> None:
    check(Config())
    check(Config(**dict(STUDY.quick)))
    check(Config(preferences=PAIRS, held=("preferences:others.jsonl",)))
    assert MARKS == READ
