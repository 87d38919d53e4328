"""Rehearsal: labels that are scored are unknown to the method, and code that crashes or never ends is a reason, not a crash."""

from dataclasses import replace

import numpy as np
import pytest

from superalign.researcher.programs import Program, source_of
from superalign.researcher.proposing import gains, rehearsals
from superalign.researcher.rehearsing import rehearse, rehearse_apart, scored, solve_of
from superalign.types import Unmeasured
from tests.researcher.standing_in import Bench as Planted

PLANTED = Planted(0, n=50)


def test_who_memorises_the_development_set_gains_nothing() -> None:
    def memory(public, inputs, seed):
        known = {row.tobytes(): label for row, label in zip(public["dev_x"], public["dev_true"], strict=True)}
        return np.array([known.get(row.tobytes(), 0.5) for row in inputs["x"]])

    assert rehearse(memory, PLANTED.public, "area") == pytest.approx(0.5, abs=0.1)
    joined = rehearse(solve_of(source_of(Program(development="joined", centre="group"))), PLANTED.public, "area")
    assert joined > 0.75


def test_gain_is_over_the_baseline_and_nothing_where_there_is_none() -> None:
    gain = rehearsals(PLANTED.question, PLANTED.public)(Program(development="joined", centre="group"))
    assert not isinstance(gain, Unmeasured)
    assert gain > 0.1
    empty = {**PLANTED.public, "x": PLANTED.public["x"][:, :0]}
    assert isinstance(rehearsals(PLANTED.question, empty)(Program()), Unmeasured)
    assert gains(replace(PLANTED.question, baseline="1 / 0"), PLANTED.public)(0.9) == 0.0


def test_metrics() -> None:
    truth_N = np.array([True, True, False, False])
    assert scored(np.array([1.0, -1.0, -1.0, 1.0]), truth_N, "share") == 0.5
    assert scored(np.array([3.0, 1.0, 2.0, 0.0]), truth_N, "recall") == 0.5
    assert scored(np.array([3.0, 1.0, 2.0, 0.0]), truth_N, "judged") == 0.75


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def solve(public, inputs, seed):\n    return inputs['nothing']", "KeyError: 'nothing'"),
        ("def solve(public, inputs, seed):\n    return inputs['x'][:3, 0]", "shape"),
        ("def solve(public, inputs, seed):\n    while True:\n        pass", "code"),
        ("print(0.99)\nraise SystemExit", "no scores"),
        ("import os\nos.write(1, b'NaN')\nos._exit(0)", "no score"),
    ],
)
def test_what_goes_wrong_is_said(source: str, why: str) -> None:
    found = rehearse_apart(source, PLANTED.public, "area", limit_s=1)
    assert isinstance(found, Unmeasured)
    assert why in found.why


def test_apart_and_here_are_the_same() -> None:
    source = source_of(Program())
    assert rehearse_apart(source, PLANTED.public, "area") == rehearse(solve_of(source), PLANTED.public, "area")
