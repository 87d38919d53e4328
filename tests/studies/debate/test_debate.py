"""The study runs from end to end when made tiny, and refuses settings under which nothing could be measured."""

from pathlib import Path

import numpy as np
import pytest

from superalign import settings
from superalign.errors import ConfigError
from superalign.ledger import Ledger
from superalign.report import Findings
from superalign.studies.debate.evidence import DEBATE, RANDOM, Main, won
from superalign.studies.debate.measure import DebateJob, debate_job
from superalign.studies.debate.study import STUDY, Config
from superalign.trials import PLACEBO
from superalign.trials.oversight_panel import verdicts
from superalign.types import Interval, Unmeasured

TINY = Config(
    length=4, held_out=40, pool=100, seeds=2, updates=40, judges=(1.0,), critics=(0.5, 0.9), sweep_seeds=1,
    sweep_updates=20, responses=24, labelled=24,
)  # fmt: skip
JOB = DebateJob(sweep=False, seed=3, length=4, held_out=120, pool=200, updates=50, ability=0.8)


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
    # Random midpoints are a control, and must not pass for help.
    (control,) = [c for c in made.claims if c.name == "Random midpoints help the judge"]
    assert control.holds is not True


def test_placebo_is_at_chance_and_the_debate_is_not() -> None:
    made = debate_job(JOB)
    assert isinstance(made, Main)
    kept = {"placebo": made.controls[PLACEBO], "debate": made.along[DEBATE][-1], "random": made.controls[RANDOM]}
    means = {name: float(np.mean(verdicts(x))) for name, x in kept.items()}
    assert means["debate"] > 0.8
    assert abs(means["placebo"] - 0.5) < 0.12
    assert abs(means["random"] - 0.5) < 0.12


def test_a_seed_that_decides_no_debate_is_no_half_won_one() -> None:
    scores_SON = np.array([[[0.9, 0.5], [0.9, 0.1]], [[0.8, 0.8], [0.5, 0.2]]])
    assert isinstance(found := won(scores_SON), Interval)
    assert found.value == pytest.approx(2 / 3)
    scores_SON[1] = 0.5
    assert won(scores_SON) == Unmeasured("no debate was decided under 1 of 2 seeds")


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("length=6", "6' is not one of the choices"),
        ("seeds=1", "1' is not at least 2"),
        ("judges=", "1 or more of them"),
        ("pool=0", "0' is not at least 1"),
        ("critics=0.5,1.5", "1.5' is not at most 1"),
    ],
)
def test_settings_under_which_nothing_is_measured_are_refused(word: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        settings.apply(TINY, words=[word], study="debate")
