"""Settings of carry-over that do not go together are refused at once."""

from typing import Any

import pytest

from superalign.errors import ConfigError
from superalign.studies.carry_over.study import STUDY, Config, check

REQUESTS = "instructions:requests.jsonl"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"problems": "gsm8k:x"}, "neither chains nor"),
        ({"more": (REQUESTS,)}, "leave both out for chains"),
        ({"problems": REQUESTS}, "an empty more is not of use"),
        ({"problems": REQUESTS, "more": (REQUESTS,), "others": ("x.csv",)}, r"x\.csv is not of use"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check(Config(**given))


def test_the_usual_settings_and_the_quick_ones_go_together() -> None:
    check(Config())
    check(Config(**dict(STUDY.quick)))
    check(Config(problems=REQUESTS, more=(REQUESTS,), others=(REQUESTS,)))
