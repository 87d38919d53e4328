"""Settings of explain that do not go together are refused at once."""

from typing import Any

import pytest

from superalign.errors import ConfigError
from superalign.studies.explain.study import STUDY, Config, check


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"corpora": ("fiction.txt", "b=x", "c=y")}, "is not name=PATH"),
        ({"corpora": ("a=x", "a=y", "c=z")}, "with a name of its own"),
        ({"corpora": ("a=x", "b=y")}, "There are 2 corpora"),
        ({"corpora": ("a=x", "b=y", "c=z"), "explained_on": ("d",)}, "explained_on names d"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check(Config(**given))


def test_the_usual_settings_and_the_quick_ones_go_together() -> None:
    check(Config())
    check(Config(**dict(STUDY.quick)))
