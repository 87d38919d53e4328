"""Settings of circuits that do not go together are refused at once."""

from typing import Any

import pytest

from superalign.errors import ConfigError
from superalign.studies.circuits.study import STUDY, Config, check


@pytest.mark.parametrize("given", [{"policy": "smollm2"}, {"pairs": "pairs.jsonl"}])
def test_a_model_needs_pairs_and_pairs_need_a_model(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Give both, or neither"):
        check(Config(**given))


def test_the_usual_settings_and_the_quick_ones_go_together() -> None:
    check(Config())
    check(Config(**dict(STUDY.quick)))
    check(Config(policy="smollm2", pairs="pairs.jsonl"))
