"""The study runs from end to end when made tiny, and refuses settings under which nothing is measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from superalign import settings
from superalign.errors import ConfigError
from superalign.ledger import Ledger
from superalign.report import Findings
from superalign.studies.self_critique.study import STUDY, Config

TINY = Config(
    sizes=("small",),
    labels=(),
    seeds=2,
    problems=9,
    samples=3,
    judge_errors=(0.0, 0.2),
    twins=4,
    planted=1,
    sandbagged=0,
    taught=120,
    updates=15,
    audit=60,
    audits=(20,),
)


def run(config: Config, folder: Path) -> Findings:
    with Ledger(folder / "ledger") as ledger:
        return STUDY.run(config, seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)


def test_a_tiny_study_runs_and_resumes_to_the_same(tmp_path: Path) -> None:
    study = run(TINY, tmp_path)
    assert study == run(TINY, tmp_path)
    names = [c.name for c in study.claims]
    assert len(names) == len(set(names)) > 20
    assert all(c.why for c in study.claims)
    # At 15 updates no critic both knows and hides, and none of them may pass for one that was exposed.
    assert not any(c.holds is True for c in study.claims if "do not tell" in c.name and "expose" in c.name)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seeds": 1}, "'seeds' .* at least 2"),
        ({"breadths": (10,)}, "10 is not at most 9"),
        ({"twins": 2}, "'twins' .* at least 4"),
        ({"labelled": 4}, "4 is not at least 10"),
        ({"judge_errors": (0.5,)}, "0.5 is not below 0.5"),
    ],
)
def test_settings_under_which_nothing_is_measured_are_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        settings.validated(replace(TINY, **change), study="self-critique")  # type: ignore[arg-type]


def test_audits_larger_than_the_whole_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be"):
        run(replace(TINY, audits=(500,)), tmp_path)
