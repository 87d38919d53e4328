"""The study of amplification: small from end to end, what its overseer is granted, and what it refuses."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from superalign import settings
from superalign.cli import app
from superalign.errors import BadInput, ConfigError
from superalign.grants import chains
from superalign.grants.facts import RESULTS
from superalign.lab.arms import Arm
from superalign.lab.arms import Config as ArmsConfig
from superalign.lab.chain_overseers import amplification_overseer, gather_facts, read_chain, read_response
from superalign.lab.trained import BASE, TRAINED, trained_against, training
from superalign.lab.training_arms import TrainingJob, placebo_of, training_job
from superalign.ledger import Ledger
from superalign.models import base
from superalign.oversight import check_overseer
from superalign.oversight.amplification.distillation import DistillConfig
from superalign.problems.arithmetic import FAMILY
from superalign.studies.amplification.evidence import Learned, Learners
from superalign.studies.amplification.page import multiplied
from superalign.studies.amplification.study import STUDY, Config
from superalign.trials import AGENT, EXPERT, PROTOCOL
from superalign.types import Interval, Rollouts

TINY = {
    "elements": "4",
    "doublings": "1",
    "lengths": "1,2",
    "rates": "0.05",
    "steps": "20",
    "seeds": "2",
    "expression_seeds": "2",
    "test_questions": "20",
    "training_seeds": "0",
}


def spec():
    return Arm(arm="amplification", seed=0, base=base("small"), config=ArmsConfig(setting="chains:2-3", labelled=12))


def test_it_runs_from_the_command_with_its_nulls(tmp_path: Path) -> None:
    words = [w for k, v in TINY.items() for w in ("--set", f"{k}={v}")]
    done = CliRunner().invoke(app, ["run", "amplification", "--out", str(tmp_path / "run"), "--workers", "1", *words])
    assert done.exit_code == 0, done.stderr
    claims = {c["name"]: c for c in json.loads((tmp_path / "run" / "result.json").read_text())["claims"]}
    beside = "the same, beside an overseer who puts the halves together at random"
    for claim in ("X answers the deepest questions right (1 doublings)", beside):
        assert 0 <= claims[f"Permutations: {claim}"]["null"]["value"] <= 1
    assert "Error against depth" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seeds": 1}, "seeds=1"),
        ({"held_out": 0}, "held_out=0"),
        ({"rates": (0.7,)}, "rates=0.7"),
        ({"rates": (0.1, 0.1)}, "not distinct"),
        ({"lengths": (1, 4)}, "cannot be climbed by halving"),
        ({"lengths": (1,)}, "cannot be climbed by halving"),
    ],
)
def test_settings_that_measure_nothing_are_refused(given, says) -> None:
    with pytest.raises(ConfigError, match=says):
        STUDY.check(settings.validated(Config(**given), study="amplification"))


def test_chains_and_responses_are_read_as_they_are_written() -> None:
    assert read_chain("blue: 5+3-4*1") == (5, 3, 14, 21)
    assert read_chain("5+x") == read_chain("is it true") == read_chain("5") == ()
    assert read_response("5+3=8;oops;#") == ((8, -1), None)
    assert read_response("") is None


def test_facts_are_right_steps_and_a_spent_budget_keeps_what_it_has() -> None:
    some = gather_facts(spec(), most=5)
    assert some.checks == 5
    assert len(some.table) > 10
    assert all(RESULTS[a, c] == value for (a, c), value in some.table.items())


def test_a_base_that_is_never_right_leaves_nothing_to_look_up(monkeypatch) -> None:
    blind = dataclasses.replace(chains((2, 3)), check=lambda problem, text, unit: False)
    monkeypatch.setattr("superalign.lab.arms.setting", lambda name: blind)
    with pytest.raises(BadInput, match="No step of the base's responses was found right"):
        amplification_overseer(spec(), most=5)


def test_the_overseer_tells_right_from_wrong_and_its_placebo_does_not() -> None:
    made = DistillConfig(steps=300, batch=128, lr=5e-3, gate=0.9)
    overseer = amplification_overseer(spec(), distilling=made)
    asked = FAMILY.problems(split="train", n=60, seed=5, difficulty=3)
    right = [FAMILY.worked(p) for p in asked]
    wrong = [FAMILY.plant(p, t, seed=i, kind="slip").text for i, (p, t) in enumerate(zip(asked, right, strict=True))]
    rollouts = Rollouts.of_texts([*asked, *asked], [*right, *wrong])
    pay = np.array(overseer([*asked, *asked], rollouts, seed=0).values, float)
    assert pay[:60].mean() > 0.8 > 0.2 > pay[60:].mean()
    other = np.array(placebo_of(overseer)([*asked, *asked], rollouts, seed=0).values, float)
    assert abs(other[:60].mean() - other[60:].mean()) < 0.35
    check_overseer(overseer, asked[:8], Rollouts.of_texts(asked[:8], [*right[:4], *wrong[4:8]]))


def test_assistants_are_trained_and_the_panel_decides_about_the_same_items(tmp_path: Path) -> None:
    jobs = [
        TrainingJob(
            protocol="amplification", sides=TRAINED, seed=s, steps=2, held_out=12, votes=1, effort=30, depths=(1, 2)
        )
        for s in (0, 1)
    ]
    rows = [training_job(j) for j in jobs]
    assert set(rows[0].graded) == {*TRAINED, BASE}
    with Ledger(tmp_path / "ledger") as ledger:
        against = trained_against(rows, depths=(1, 2), ledger=ledger)
    assert against is not None
    items = (*against.after.items, *against.before.items)
    assert all(i.right == 1.0 for i in items if i.arm == EXPERT)
    assert {i.probability for i in items if i.arm == AGENT} == {1.0}
    parts = training(against, protocol="amplification")
    assert len(parts) == 3
    assert any("placebo" in c.name for p in parts for c in p.claims)


def test_an_unknown_protocol_pays_nobody() -> None:
    with pytest.raises(ConfigError, match="no overseer 'telepathy'"):
        training_job(
            TrainingJob(protocol="telepathy", sides=(PROTOCOL,), seed=0, steps=1, held_out=6, votes=1, effort=1)
        )


def learned(*wrong: list[float], error_TD: Sequence[Sequence[float]] = ((0.0,),)) -> Learned:
    return Learned(
        wrong=tuple(map(np.array, wrong)),
        questions_T=tuple(10 * (t + 1) for t in range(len(error_TD))),
        error_TD=np.array(error_TD),
        questions=0,
        asked=0,
        starts=1,
    )


def test_growth_slope_and_bars_by_hand() -> None:
    flat = learned([0.0, 0.0], [0.0, 0.0], [0.0, 0.0])
    assert isinstance(found := Learners((flat, flat)).growth, Interval)
    assert found.low < found.value == 0 < found.high
    assert found.high == -found.low < 1  # no more than errors in the deeper half alone allow
    rising = Learners(tuple(learned([0.0], [0.1 * k], [0.2 * k]) for k in (1, 2)))
    assert isinstance(slope := rising.growth, Interval)
    assert slope.value == pytest.approx(0.15)
    assert multiplied(1, answers=0.0, decompositions=0.05) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("error_TD", "after"), [([[0.0], [0.5]], None), ([[0.0, 0.9], [0.0, 0.01], [0.0, 0.0]], 20), ([[0.0], [0.0]], 10)]
)
def test_x_has_learned_once_its_errors_stay_small(error_TD: list[list[float]], after: int | None) -> None:
    assert learned([0.0], error_TD=error_TD).learned_at == after
