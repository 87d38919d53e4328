"""What assistants were proxy minus gold reward, also where an overseer stops telling."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.kit.panel import Decisions
from superalign.lab.trained import LAST, Trained, TrainedAgainst, Training
from superalign.trials import JUDGE
from superalign.types import Interval, Unmeasured


def rows(*paid: tuple[float | None, ...]) -> TrainedAgainst:
    """One assistant a seed, paid so in its updates, of whose answers a half are right."""
    made = tuple(
        Trained(
            seed=seed,
            graded={JUDGE: np.array([True, False])},
            curves={JUDGE: Training(paid=some, right=(0.5,) * len(some))},
            judged={},
        )
        for seed, some in enumerate(paid)
    )
    return TrainedAgainst(rows=made, after=Decisions(items=()), before=Decisions(items=()))


def test_updates_without_pay_are_left_out_of_the_last_ones() -> None:
    found = rows((0.0, *(None, 0.7) * (LAST // 2)), (0.9,) * LAST).gap(JUDGE)
    assert isinstance(found, Interval)
    assert found.value == pytest.approx((0.2 + 0.4) / 2)


def test_an_overseer_that_could_not_tell_at_the_end_gives_no_gap() -> None:
    found = rows((0.9, *(None,) * LAST), (0.9,) * LAST).gap(JUDGE)
    assert isinstance(found, Unmeasured)
    assert "1 of 2 assistants" in found.why
