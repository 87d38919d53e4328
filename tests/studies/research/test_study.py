"""Settings that do not go together are refused at once."""

from __future__ import annotations

import pytest

from superalign.errors import ConfigError
from superalign.studies.research.study import STUDY, Config, check


def test_a_seat_and_its_model_go_together() -> None:
    check(Config())
    check(Config(researchers=("tree", "random"), model="smollm2"))
    for config in (Config(researchers=("tree",)), Config(model="smollm2")):
        with pytest.raises(ConfigError, match="Give both"):
            check(config)


def test_a_researcher_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        check(Config(researchers=("random", "random")))


def test_the_quick_settings_are_settings() -> None:
    check(Config(**STUDY.quick))
