import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.trials.curves import Dialled, levels, trend
from superalign.types import Instrument, Interval, Unmeasured

CARD = Instrument(name="probe", version="1", catches="c", misses="m")
DOSES = (1.0, 2.0, 4.0, 8.0)


def rows(
    gain: float, *, n: int = 12, seed: int = 0, dial: str = "dose", family: bool = False, spread: float = 0.0
) -> list[Dialled]:
    rng = np.random.default_rng(seed)
    easy = spread * rng.normal(size=n)
    return [
        Dialled(
            dial=dial, level=level, subject=f"{dial} {level} {i}", threshold=1.0,
            score=float(rng.normal() + gain * at + easy[i]), family=f"liar {i}" if family else "",
        )
        for at, level in enumerate(DOSES) for i in range(n)
    ]  # fmt: skip


def test_recall_per_level_with_its_interval() -> None:
    given = [
        Dialled(dial="dose", level=level, subject=f"{level}{i}", score=float(i), threshold=limit)
        for level, limit in ((2.0, 4.5), (1.0, 8.5)) for i in range(10)
    ]  # fmt: skip
    found = levels(given)
    assert [f.level for f in found] == [1.0, 2.0]
    assert [f.recall.value for f in found if isinstance(f.recall, Interval)] == [0.1, 0.5]
    assert all(isinstance(f.recall, Interval) and f.recall.low < f.recall.value < f.recall.high for f in found)


def test_a_score_at_the_threshold_is_no_catch() -> None:
    assert not Dialled(dial="d", level=1.0, subject="s", score=1.0, threshold=1.0).caught


def test_what_was_not_measured_is_a_miss_and_counted() -> None:
    why = Unmeasured("loops")
    given = [
        Dialled(dial="dose", level=1.0, subject=str(i), score=why if i < 3 else 9.0, threshold=0.0) for i in range(4)
    ]
    (found,) = levels(given)
    assert isinstance(found.recall, Interval)
    assert (found.recall.value, found.unmeasured) == (0.25, 3)
    (nothing,) = levels(given[:3])
    assert isinstance(nothing.recall, Unmeasured)
    (no_limit,) = levels([Dialled(dial="dose", level=1.0, subject="s", score=9.0, threshold=why)])
    assert isinstance(no_limit.recall, Unmeasured)


def test_a_rising_dial_is_seen_and_a_falling_one_only_on_its_side() -> None:
    up = trend(rows(1.0), "dose", seed=0, draws=1000)
    assert up.p_value == pytest.approx(1 / 1001)
    assert float(up.slope) > 0.3  # type: ignore[arg-type]
    assert float(trend(rows(1.0), "dose", seed=0, side="less", draws=1000).p_value) > 0.9  # type: ignore[arg-type]
    down = trend(rows(-1.0, dial="concealment"), "concealment", seed=0, side="less", draws=1000)
    assert float(down.p_value) < 0.05  # type: ignore[arg-type]


@pytest.mark.parametrize("family", [False, True])
def test_without_a_trend_the_test_errs_as_often_as_it_says(family: bool) -> None:
    found = [
        trend(rows(0.0, n=8, seed=s, family=family, spread=2.0 * family), "dose", seed=s, draws=200).p_value
        for s in range(200)
    ]
    small = np.mean([float(p) <= 0.1 for p in found if not isinstance(p, Unmeasured)])
    assert small <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 200)
    assert small >= 0.02  # and is not a test that never rejects


def test_families_that_are_easy_or_hard_at_every_level_do_not_hide_a_trend() -> None:
    def power(family: bool) -> float:
        made = [trend(rows(0.8, n=10, seed=s, family=family, spread=3.0), "dose", seed=0, draws=300) for s in range(60)]
        return float(np.mean([not isinstance(t.p_value, Unmeasured) and t.p_value <= 0.05 for t in made]))

    assert power(True) > power(False) + 0.1


def test_where_there_is_nothing_to_test_there_is_no_trend() -> None:
    assert isinstance(trend(rows(1.0)[:12], "dose", seed=0).p_value, Unmeasured)  # one level
    everything = [Dialled(dial="d", level=level, subject="s", score=9.0, threshold=0.0) for level in DOSES]
    assert isinstance(trend(everything, "d", seed=0).slope, Unmeasured)
    with pytest.raises(BadInput, match="no trend"):
        trend(rows(1.0), "another", seed=0)
