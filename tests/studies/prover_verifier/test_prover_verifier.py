"""The prover-verifier study in small: it runs whole, its overseers train a policy, and bad settings are refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from superalign import settings
from superalign.errors import ConfigError
from superalign.grants import chains
from superalign.lab.arms import Arm
from superalign.lab.arms import Config as ArmConfig
from superalign.lab.labelled_overseers import market_overseer, prover_overseer
from superalign.ledger import Ledger
from superalign.oversight import check_overseer
from superalign.studies import STUDIES
from superalign.studies.prover_verifier.evidence import Prover, Responses, ranking
from superalign.studies.prover_verifier.measure import refuse_few
from superalign.studies.prover_verifier.study import STUDY, Config
from superalign.train import PolicyGradientConfig, policy_gradient
from superalign.trials.oversight_panel import JUDGE, PROTOCOL
from superalign.types import Interval, Unmeasured

TINY = Config(setting="chains:4", rounds=1, seeds=2, held_out=10, labelled=30, sizes=(), updates=1, prompts=2, group=2)


def run(folder):
    folder.mkdir(exist_ok=True)
    with Ledger(folder / "ledger") as ledger:
        return STUDY.run(TINY, seed=0, workers=1, folder=folder, ledger=ledger, log=lambda line: None)


def test_the_whole_study_in_small(tmp_path: Path) -> None:
    first = run(tmp_path / "a")
    assert first == run(tmp_path / "a"), "kept work gives the same study"
    assert any("placebo" in c.name for c in first.claims)
    assert all(isinstance(c.null, Interval | Unmeasured) for c in first.claims)
    assert {p.kind for s in first.sections for p in s.plots} == {"bars", "line"}
    assert STUDIES["prover-verifier"] == Config.__module__
    assert STUDY.quick["seeds"] >= 2


@pytest.mark.parametrize("made", [market_overseer, prover_overseer])
def test_overseers_of_worked_arithmetic_conform_and_can_train(made) -> None:
    at = chains((4,))
    origin = at.model()
    arm = Arm(arm="base", seed=3, base=origin, config=ArmConfig(setting="chains:4", labelled=40))
    overseer = made(arm)
    asked = at.problems("train", 12, 8)
    rollouts = origin.sample(asked, n=1, seed=8)
    check_overseer(overseer, asked, rollouts)
    told: list[float] = []
    config = PolicyGradientConfig(steps=1, problems=4, group=2)
    policy_gradient(
        origin, asked, overseer, config=config, seed=0, log=lambda metrics: told.append(metrics["value_mean"])
    )
    assert 0 <= told[0] <= 1


TOLD = Responses(
    correct_P=np.array([True, True, False, False]),
    sound_P=np.array([True, False, False, False]),
    score_P=np.array([2.0, 0.0, 1.5, -1.0]),
    told={PROTOCOL: np.array([0.9, 0.5, 0.75, 0.0]), JUDGE: np.array([1.0, 0.0, 1.0, 0.0])},
    fooling_T=np.array([0.1, 0.6, 0.2]),
    bar=1.0,
)


def test_what_is_counted_is_what_is_said() -> None:
    assert TOLD.fooled_P.tolist() == [0, 0, 1, 0]
    assert TOLD.checked_P.tolist() == [1, 0, 0, 1]
    assert np.isclose(Prover((TOLD,)).overpaid.value, 0.15 / 4)
    assert TOLD.clean == 0.5
    assert TOLD.exploit == 1
    assert dataclasses.replace(TOLD, fooling_T=TOLD.fooling_T[:1]).exploit == 1
    other = dataclasses.replace(TOLD, score_P=np.array([2.0, 1.0, 0.0, -1.0]))
    assert np.isclose(ranking(Prover((TOLD, other))).value, 0.875)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"seeds": 1}, "seeds=1"), ({"rounds": 0}, "rounds=0"), ({"held_out": 3}, "fewer than ten problems")],
)
def test_settings_that_measure_nothing_are_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        refuse_few(settings.validated(dataclasses.replace(TINY, **wrong), study="prover-verifier"))
