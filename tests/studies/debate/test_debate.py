"""The study runs from end to end when made tiny, and refuses settings under which nothing could be measured."""

from pathlib import Path

import numpy as np
import pytest

from superalign.errors import ConfigError
from superalign.ledger import Ledger
from superalign.report import Findings
from superalign.studies.debate import study as debate
from superalign.studies.debate.bench import Job, run_job
from superalign.types import Interval

TINY = debate.Config(
    length=4, held_out=40, pool=100, seeds=2, updates=40, judges=(1.0,), critics=(0.5, 0.9), sweep_seeds=1,
    sweep_updates=20, responses=24, labelled=24,
)  # fmt: skip


def run(config: debate.Config, folder: Path) -> Findings:
    with Ledger(folder / "ledger") as ledger:
        return debate.study(config, seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)


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
    told = run_job(Job(what="debates", seed=3, length=4, held_out=120, pool=200, updates=50, ability=0.8))
    means = {}
    kept = {"placebo": told["placebo"], "debate": told["arms"]["debate"], "random": told["arms"]["random midpoints"]}
    for name, x in kept.items():
        scores = np.array(x)
        means[name] = np.where(scores == 0.5, 0.5, scores > 0.5).mean()
    assert means["debate"] > 0.8
    assert abs(means["placebo"] - 0.5) < 0.12
    assert abs(means["random"] - 0.5) < 0.12


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"length": 6}, "halved"),
        ({"seeds": 1}, "at least two seeds"),
        ({"judges": ()}, "at least two seeds"),
        ({"pool": 0}, "leave nothing to measure"),
        ({"critics": (0.5, 1.5)}, "above 0 and up to 1"),
    ],
)
def test_settings_under_which_nothing_is_measured_are_refused(
    change: dict[str, object], why: str, tmp_path: Path
) -> None:
    from dataclasses import replace

    with pytest.raises(ConfigError, match=why):
        run(replace(TINY, **change), tmp_path)  # type: ignore[arg-type]


def test_a_job_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="Choose from"):
        run_job(Job(what="court", seed=0, length=4, held_out=10, pool=10, updates=1, ability=0.5))
