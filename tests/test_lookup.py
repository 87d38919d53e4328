"""Quick settings of every study are held against its bounds, as settings of a user's are."""

import pytest

from superalign import settings
from superalign.lookup import study
from superalign.studies import STUDIES


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_quick_settings_keep_their_bounds(name: str) -> None:
    _, found = study(name)
    config = found.config(**found.quick)
    assert settings.validated(config, study=name) == config
