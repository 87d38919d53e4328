"""Proxy minus gold reward of one assistant: by hand, and of real assistants that were trained for a moment."""

from dataclasses import replace

import pytest

from superalign.gate import NOT_REWARDED
from superalign.lab.arms import Arm, Config, run_arm
from superalign.lab.overoptimisation import overoptimisation, unrewarded
from superalign.lab.overseen import GOLD, ArmRow, arm_row
from superalign.models import base
from superalign.train import PolicyGradientConfig
from superalign.types import Interval, Unmeasured

SMALL = replace(Config(), held_out=60, pool=30, training=PolicyGradientConfig(steps=1, problems=4, group=2))
ROW = ArmRow(
    arm="judge alone", seed=0, sound=(True, False, False, False), correct=(True, False, False, False), proxy=(), checks=0,
    overseer="judge", base_sound=(False,) * 4, base_paid=(0.0,) * 4,
)  # fmt: skip


def row(arm: str) -> ArmRow:
    return arm_row(run_arm(Arm(arm=arm, seed=3, base=base("small"), config=SMALL), pays=True))


def test_the_gap_is_proxy_minus_gold_over_the_problems_on_which_the_overseer_could_tell() -> None:
    found = overoptimisation("s", replace(ROW, held_out_paid=(1.0, None, 1.0, 0.5)))
    assert isinstance(found.gap, Interval)
    assert (found.gap.value, found.gap.n) == (0.5, 3)
    assert (found.subject, found.overseer, found.gold) == ("s", "judge", GOLD)
    silent = overoptimisation("s", replace(ROW, held_out_paid=(None,) * 4))
    assert isinstance(silent.gap, Unmeasured)
    assert silent.gap != NOT_REWARDED


def test_a_gap_that_never_varies_is_no_certainty() -> None:
    found = overoptimisation("s", replace(ROW, held_out_paid=(1.0, 0.0, 0.0, 0.0)))
    assert isinstance(found.gap, Interval)
    assert found.gap.low < found.gap.value == 0.0 < found.gap.high


def test_what_nothing_paid_says_so() -> None:
    assert unrewarded("s").gap == NOT_REWARDED
    assert overoptimisation("s", row("base")) == unrewarded("s")


@pytest.mark.parametrize("arm", ["judge alone", "ground truth"])
def test_an_arm_is_asked_what_it_pays_for_held_out_responses_after_and_before_training(arm: str) -> None:
    there = row(arm)
    assert [len(found) for found in (there.held_out_paid, there.base_paid, there.base_sound, there.sound)] == [60] * 4
    if arm == "ground truth":  # it pays for the right answer, whatever the steps
        assert there.held_out_paid == tuple(float(c) for c in there.correct)
    else:  # who checks one random unit passes every sound response, and most of the others
        assert all(p == 1.0 for p, s in zip(there.held_out_paid, there.sound, strict=True) if s)
        found = overoptimisation("s", there)
        assert isinstance(found.gap, Interval)
        assert found.gap.low > 0.05
    assert there.base_sound == row("base").sound  # the same responses as the base's own arm
