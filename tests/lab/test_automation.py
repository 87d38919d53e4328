"""The more decisions are left out, the more cheats run unseen; what too few honest runs cannot say is not said."""

import numpy as np

from superalign.lab.automation import left_out
from superalign.types import Interval, Unmeasured


def test_unseen_cheats_grow_with_the_share_left_out_and_blind_monitors_miss_that_share() -> None:
    rng = np.random.default_rng(0)
    honest, cheats = rng.normal(size=2_000), rng.normal(size=2_000)
    rows = left_out(honest, cheats, ["a", "b"] * 1_000, prevalence=0.02)
    unseen = [r.unseen for r in rows]
    assert all(
        isinstance(u, Interval) and u.low - 0.01 <= r.level <= u.high + 0.01 for u, r in zip(unseen, rows, strict=True)
    )
    sharp = left_out(honest, cheats + 5, ["a"] * 2_000, prevalence=0.02)
    values = [r.unseen.value for r in sharp if isinstance(r.unseen, Interval)]
    assert values == sorted(values)
    assert values[-1] < 0.1
    assert all(isinstance(r.loss, Interval) and r.loss.value <= 20 for r in sharp)


def test_the_worst_kind_is_named_and_a_level_beyond_the_runs_is_not_measured() -> None:
    rows = left_out(
        np.linspace(0, 1, 400), np.array([0.1] * 30 + [2.0] * 30), ["quiet"] * 30 + ["loud"] * 30, prevalence=0.1
    )
    assert rows[1].worst == "quiet"
    assert isinstance(rows[1].worst_unseen, Interval)
    assert rows[1].worst_unseen.value == 1.0
    assert isinstance(rows[-1].unseen, Unmeasured)
    assert isinstance(rows[-2].unseen, Interval)
