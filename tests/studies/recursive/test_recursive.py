"""The study of recursive reward modelling: small from end to end, what it refuses, and its overseer."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from superalign import settings
from superalign.cli import app
from superalign.errors import BadInput, ConfigError
from superalign.lab.arms import Arm
from superalign.lab.arms import Config as ArmsConfig
from superalign.lab.chain_overseers import recursive_overseer
from superalign.models import base
from superalign.oversight import check_overseer
from superalign.oversight.recursive.learning import LadderConfig
from superalign.problems.arithmetic import FAMILY
from superalign.studies.recursive import measure as recursive
from superalign.studies.recursive.study import Config
from superalign.types import Rollouts

TINY = {"levels": "2", "labels": "300", "steps": "10", "seeds": "2", "test_questions": "40", "training_seeds": "0"}


def test_it_runs_from_the_command_with_its_null_and_its_ceiling(tmp_path: Path) -> None:
    words = [w for k, v in TINY.items() for w in ("--set", f"{k}={v}")]
    done = CliRunner().invoke(app, ["run", "recursive", "--out", str(tmp_path / "run"), "--workers", "1", *words])
    assert done.exit_code == 0, done.stderr
    claims = json.loads((tmp_path / "run" / "result.json").read_text())["claims"]
    assert claims[0]["name"] == "Assistants make the reward model better at 2 operations, with the same labels"
    assert claims[0]["null"] is not None
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Is judging easier than producing?" in page
    assert "labels by truth" in page


@pytest.mark.parametrize(
    ("given", "says"), [({"levels": 1}, "levels=1"), ({"labels": 0}, "labels=0"), ({"seeds": 1}, "seeds=1")]
)
def test_settings_that_measure_nothing_are_refused(given, says) -> None:
    with pytest.raises(ConfigError, match=says):
        settings.validated(Config(**given), study="recursive")


def test_half_of_the_produced_responses_are_right_and_slips_are_carried_on() -> None:
    chains, values = recursive.produce(4000, 3, torch.Generator().manual_seed(0))
    right = recursive.worked(chains)
    assert 0.45 < float((values == right).all(1).float().mean()) < 0.55
    before = torch.cat([chains[:, :1], values[:, :-1]], 1)
    broken = (~recursive.verify(before, chains[:, 1:], values)).sum(1)
    assert set(broken.tolist()) == {0, 1}


def spec():
    return Arm(arm="recursive", seed=0, base=base("small"), config=ArmsConfig(setting="chains:1", labelled=12))


def test_the_overseer_tells_right_from_wrong_and_shuffled_labels_do_not() -> None:
    asked = FAMILY.problems(split="train", n=80, seed=6, difficulty=1)
    right = [FAMILY.worked(p) for p in asked]
    wrong = [FAMILY.plant(p, t, seed=i, kind="slip").text for i, (p, t) in enumerate(zip(asked, right, strict=True))]
    gaps = []
    for shuffled in (False, True):
        overseer = recursive_overseer(
            spec(), shuffled=shuffled, climbing=LadderConfig(levels=1, labels=2000, steps=80), pool=800
        )
        pay = [
            np.array(overseer(asked, Rollouts.of_texts(asked, texts), seed=0).values, float) for texts in (right, wrong)
        ]
        gaps.append(float((pay[0] > pay[1]).mean()))
    assert gaps[0] > 0.7
    assert abs(gaps[1] - 0.5) < 0.2
    check_overseer(overseer, asked[:8], Rollouts.of_texts(asked[:8], right[:8]))


def test_a_ladder_that_is_too_short_is_refused() -> None:
    deep = dataclasses.replace(spec(), config=ArmsConfig(setting="chains:3"))
    with pytest.raises(BadInput, match="A ladder of 1 levels"):
        recursive_overseer(deep, climbing=LadderConfig(levels=1, labels=10, steps=1))
