"""A tiny study runs, and settings that show nothing are refused."""

from pathlib import Path

import pytest

from superalign import settings
from superalign.errors import ConfigError
from superalign.lab import planter_race, trained_critics
from superalign.ledger import Ledger
from superalign.report import Findings
from superalign.studies.critic_rl import measure
from superalign.studies.critic_rl.study import STUDY, Config
from superalign.types import Interval

TINY = Config(
    seeds=2, labelled=60, compared=200, reward_updates=20, updates=6, judges=(1.0,), sweep_seeds=1, held_out=40, rounds=1,
    planted=40, planter_updates=6,
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a tiny study need not spend on every seed."""
    for name, value in (("SUPERVISED_UPDATES", 30), ("TUNING", 80), ("POOL", 80)):
        monkeypatch.setattr(trained_critics, name, value)
    for name, value in (("BIASES", (-4.0, 0.0)), ("LEARNED", 80)):
        monkeypatch.setattr(measure, name, value)
    monkeypatch.setattr(planter_race, "POOL", 80)


def run(config: Config, folder: Path) -> Findings:
    with Ledger(folder / "ledger") as ledger:
        return STUDY.run(config, seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)


def test_a_tiny_study_runs_and_resumes_to_the_same(tmp_path: Path) -> None:
    made = run(TINY, tmp_path)
    assert made == run(TINY, tmp_path)
    names = [c.name for c in made.claims]
    assert len(names) == len(set(names)) > 20
    for c in made.claims:
        assert c.why
        assert c.holds is not True or isinstance(c.null, Interval)
    (control,) = [c for c in made.claims if c.name == "A random step from somebody else helps the judge"]
    assert control.holds is not True


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("seeds=1", "1' is not at least 2"),
        ("rounds=0", "0' is not at least 1"),
        ("labelled=3", "3' is not at least 16"),
        ("judges=1.2", "1.2' is not at most 1"),
        ("nitpicks=0", "0' is not above 0"),
    ],
)
def test_settings_under_which_nothing_is_measured_are_refused(word: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        settings.apply(TINY, words=[word], study="critic-rl")
