"""The prover-verifier study in small: it runs whole, its overseers train a policy, and bad settings are refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from superalign.errors import ConfigError
from superalign.grants import chains
from superalign.lab.arms import Arm
from superalign.lab.arms import Config as ArmConfig
from superalign.lab.labelled_overseers import market_overseer, prover_overseer
from superalign.ledger import Ledger
from superalign.oversight import check_overseer
from superalign.studies import STUDIES
from superalign.studies.prover_verifier import study as prover
from superalign.studies.prover_verifier.page import checker_right, exploit, fooled, ranking
from superalign.studies.prover_verifier.study import Config
from superalign.train import PolicyGradientConfig, policy_gradient
from superalign.types import Interval, Unmeasured

TINY = Config(
    setting="chains:4", rounds=1, seeds=2, held_out=10, labelled=30, sizes=(),
    updates=1, prompts=2, group=2,
)  # fmt: skip


def run(config, folder):
    folder.mkdir(exist_ok=True)
    with Ledger(folder / "ledger") as ledger:
        return prover.study(config, seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)


def test_the_whole_study_in_small(tmp_path: Path) -> None:
    first = run(TINY, tmp_path / "a")
    assert first == run(TINY, tmp_path / "a"), "kept work gives the same study"
    assert any("placebo" in c.name for c in first.claims)
    assert all(isinstance(c.null, Interval | Unmeasured) for c in first.claims)
    assert {p.kind for s in first.sections for p in s.plots} == {"bars", "line"}
    assert STUDIES["prover-verifier"] == prover.__name__
    assert prover.quick(Config()).seeds >= 2


@pytest.mark.parametrize("made", [market_overseer, prover_overseer])
def test_overseers_of_worked_arithmetic_conform_and_can_train(made) -> None:
    at = chains((4,))
    origin, config = at.model(), ArmConfig(setting=at.name, labelled=40)
    overseer = made(Arm(arm="base", seed=3, base=origin, config=config))
    asked = at.problems("train", 12, 8)
    rollouts = origin.sample(asked, n=1, seed=8)
    check_overseer(overseer, asked, rollouts)
    told: list[float] = []
    policy_gradient(
        origin, asked, overseer, config=PolicyGradientConfig(steps=1, problems=4, group=2), seed=0,
        log=lambda metrics: told.append(metrics["value_mean"]),
    )  # fmt: skip
    assert 0 <= told[0] <= 1


TOLD = {
    "right": [True, True, False, False], "score": [2.0, 0.0, 1.5, -1.0], "threshold": 1.0,
    "checker": {"1": [1.0, 0.0, 1.0, 0.0]}, "curve": [{"fooled": 0.1}, {"fooled": 0.6}, {"fooled": 0.2}],
}  # fmt: skip


def test_what_is_counted_is_what_is_said() -> None:
    assert fooled(TOLD).tolist() == [0, 0, 1, 0]
    assert checker_right(TOLD).tolist() == [1, 0, 0, 1]
    assert exploit(TOLD) == 1
    assert exploit({"curve": TOLD["curve"][:1]}) == 1
    assert np.isclose(ranking([[TOLD], [dict(TOLD, score=[2.0, 1.0, 0.0, -1.0])]]).value, 0.875)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"seeds": 1}, "no interval"), ({"rounds": 0}, "no game"), ({"held_out": 3}, "fewer than ten problems")],
)  # fmt: skip
def test_settings_that_measure_nothing_are_refused(wrong: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        run(dataclasses.replace(TINY, **wrong), tmp_path)
