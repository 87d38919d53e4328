"""The panel counts decisions as it says, pairs arms by item and seed, and refuses what cannot be paired."""

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.trials import JUDGE, PLACEBO, PROTOCOL, Item, accuracy_gain, agent_score_difference, arm_result
from superalign.types import Interval, Unmeasured


def told(n: int, arm: str, p: float | Unmeasured, *, truth: bool = True, seed: int = 0) -> Item:
    return Item(
        problem=f"p{n}", difficulty=1, seed=seed, arm=arm, truth=truth, behaviour="honest", probability=p, checks=2
    )


def crossed(arm: str, chance: float, rng: np.random.Generator) -> list[Item]:
    """A judge who is right so often, on 200 items under three seeds."""
    out = []
    for n in range(200):
        for seed in range(3):
            truth, ok = bool(n % 2), rng.random() < chance
            out.append(told(n, arm, 0.9 if truth == ok else 0.1, truth=truth, seed=seed))
    return out


def test_what_cannot_be_told_counts_as_a_coin_and_is_counted() -> None:
    some = [told(0, JUDGE, Unmeasured("blank")), told(1, JUDGE, 0.5), told(2, JUDGE, 0.9), told(3, JUDGE, 0.1)]
    found = arm_result(some, JUDGE)
    assert isinstance(found.accuracy, Interval)
    assert found.accuracy.value == 0.5
    assert (found.cannot_tell, found.checks, found.n) == (0.25, 2.0, 4)


def test_a_protocol_that_helps_is_told_from_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    some = [*crossed(PROTOCOL, 0.85, rng), *crossed(JUDGE, 0.6, rng), *crossed(PLACEBO, 0.6, rng)]
    helps, null = accuracy_gain(some, PROTOCOL, JUDGE), accuracy_gain(some, PLACEBO, JUDGE)
    assert isinstance(helps, Interval)
    assert 0.15 < helps.low < 0.25 < helps.high < 0.35
    assert isinstance(null, Interval)
    assert null.low < 0 < null.high


def test_arms_on_other_items_are_not_compared() -> None:
    some = [told(0, JUDGE, 0.9), told(1, JUDGE, 0.9), told(0, PROTOCOL, 0.9), told(2, PROTOCOL, 0.9)]
    with pytest.raises(BadInput, match="same items"):
        accuracy_gain(some, PROTOCOL, JUDGE)
    with pytest.raises(BadInput, match="every item once"):
        arm_result([*some, told(1, JUDGE, 0.9)], JUDGE)
    with pytest.raises(BadInput, match="No decision"):
        arm_result(some, PLACEBO)


def test_score_difference_is_in_nats_and_flips_with_the_labels() -> None:
    honest, lying = [told(n, PROTOCOL, 0.8) for n in range(5)], [told(n, PROTOCOL, 0.2 + 0.01 * n) for n in range(5)]
    there, back = agent_score_difference(honest, lying), agent_score_difference(lying, honest)
    assert isinstance(there, Interval)
    assert isinstance(back, Interval)
    assert there.value == pytest.approx(-back.value)
    assert there.low > 1
