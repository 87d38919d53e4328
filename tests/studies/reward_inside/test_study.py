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


def test_the_usual_settings_go_together_and_marks_are_those_that_are_written() -> None:
    check(Config())
    check(Config(**dict(STUDY.quick)))
    check(Config(preferences=PAIRS, held=(PAIRS,)))
    assert MARKS == READ
