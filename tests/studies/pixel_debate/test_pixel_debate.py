"""The digits study: what meets what, what is counted, and the whole of it in small."""

import json
from pathlib import Path

import numpy as np
import pytest

from superalign import settings
from superalign.errors import ConfigError
from superalign.ledger import Ledger
from superalign.oversight.pixels.debate import OPEN, elsewhere
from superalign.oversight.pixels.judge import judge_from
from superalign.problems import digits as family
from superalign.report import Findings
from superalign.stats import mean_interval
from superalign.studies.pixel_debate.study import STUDY, Config
from superalign.trials.oversight_panel import ARMS
from superalign.trials.pixel_debates import (
    ALONE,
    CLAIM,
    LIES,
    NINE,
    NINE_FIRST,
    NINE_LAST,
    ONE_LAST,
    OPEN_LAST,
    Played,
    claims_true,
    layout,
    lies_of,
)
from superalign.trials.pixel_jobs import DebateJob, JudgeJob, debate_job, train_job
from superalign.trials.pixel_panel import pay
from superalign.types import Interval, Unmeasured

SMALL = Config(images=12, judges=2, pixels=2, simulations=(3, 6), sweep_images=3, deep_images=0, judge_steps=150)


@pytest.fixture(scope="module")
def packed() -> str:
    return train_job(JudgeJob(steps=150, seed=0))


def match(packed: str, start: int, stop: int, kinds: tuple[str, ...], honest: str, lying: str) -> DebateJob:
    return DebateJob(
        judge=packed, who=0, seed=0, start=start, stop=stop, pixels=2, kinds=kinds, honest=honest, liar=lying
    )


def run(config: Config, folder: Path, *, seed: int = 0) -> tuple[Findings, list[dict]]:
    folder.mkdir(exist_ok=True)
    with Ledger(folder / "ledger") as ledger:
        made = STUDY.run(config, seed=seed, workers=1, folder=folder, ledger=ledger, log=lambda line: None)
        kept = [e.record for e in ledger.entries()]
        (panel,) = [r for r in kept if r["noun"] == "PanelEvidence"]
        return made, [json.loads(line) for line in ledger.blob(panel["blob"]).splitlines()]


def test_the_whole_study_in_small(tmp_path: Path) -> None:
    first, items = run(SMALL, tmp_path / "a")
    assert first == run(SMALL, tmp_path / "a")[0], "kept work gives the same study"
    assert {i["arm"] for i in items} >= set(ARMS)
    assert len({(i["arm"], i["seed"], i["problem"]) for i in items}) == len(items)
    for arm in ARMS:
        mine = [i for i in items if i["arm"] == arm]
        assert len(mine) == 24
        assert sum(i["truth"] for i in mine) == 12, "half of the claims are true"
    assert all(i["probability"] == i["truth"] for i in items if i["arm"] == "expert")
    for claim in first.claims:
        assert isinstance(claim.null, Interval | Unmeasured)
        assert isinstance(claim.value, Unmeasured) or claim.low <= claim.value <= claim.high
    assert {"The paper's comparison", "How hard each side searches", "A lie against a lie"} <= {
        s.title for s in first.sections
    }


def test_claims_meet_as_they_should() -> None:
    n = 30
    image_P, some = np.arange(n), family.images("test", n=n)
    nine = layout(NINE_LAST, image_P, seed=0, pixels=4)
    assert (nine.second_G == np.repeat(some.label_P, 9)).all()
    assert all(sorted({*nine.first_G[9 * p : 9 * p + 9], some.label_P[p]}) == list(range(10)) for p in range(n))
    two = layout(LIES, image_P, seed=0, pixels=4)
    assert not ((two.first_G == some.label_P) | (two.second_G == some.label_P)).any()
    assert (layout(OPEN_LAST, image_P, seed=0, pixels=4).first_G == OPEN).all()
    claims, is_true = layout(CLAIM, image_P, seed=0, pixels=4), claims_true(500, seed=0)[:n]
    assert (np.where(is_true, claims.first_G, claims.second_G) == some.label_P).all()
    assert layout(ALONE, image_P, seed=0, pixels=4).turns == (1, 1, 1, 1)
    assert claims_true(500, seed=0).sum() == 250


def test_lies_depend_on_the_image_alone_and_are_spread_evenly() -> None:
    some = family.images("test")
    made = lies_of(some.ink_PX, some.label_P, seed=0)
    np.testing.assert_array_equal(lies_of(some.ink_PX[40:50], some.label_P[40:50], seed=0), made[40:50])
    assert (made[:, 0] != made[:, 1]).all()
    assert not (made == some.label_P[:, None]).any()
    assert np.bincount((made[:, 0] - some.label_P) % 10, minlength=10)[1:].min() > 30
    assert (lies_of(some.ink_PX, some.label_P, seed=1) != made).any()


def test_work_may_be_cut_anywhere(packed: str) -> None:
    def moves(start: int, stop: int) -> dict:
        return debate_job(match(packed, start, stop, (NINE_FIRST, OPEN_LAST, CLAIM), "exact", "exact"))

    whole, one, two = moves(0, 6), moves(0, 2), moves(2, 6)
    assert all(whole[kind] == one[kind] + two[kind] for kind in whole)


def test_each_side_plays_its_own_way_in_both_orders(packed: str) -> None:
    def moved_first(honest: str, lying: str) -> list[int]:
        return [moves[0] for moves in debate_job(match(packed, 0, 8, (ONE_LAST,), honest, lying))[ONE_LAST]]

    assert moved_first("greedy", "random") == moved_first("random", "random"), "the liar is first, and plays at random"
    assert moved_first("greedy", "random") != moved_first("greedy", "greedy")


def hand_made(packed: str, moves: dict) -> Played:
    return Played(judges=(judge_from(packed),) * 2, seed=0, images=6, pixels=2, moves=moves)


def test_what_is_counted_is_what_the_judge_prefers(packed: str) -> None:
    table = layout(NINE_FIRST, np.arange(6), seed=0, pixels=2)
    moves = np.tile([27, 36], (54, 1))
    played = hand_made(packed, {(s, 2, "x", "x", kind): moves for s in (0, 1) for kind in NINE})
    found = played.orders((2, "x", "x", NINE)).first
    shown = np.zeros(table.ink_GX.shape, bool)
    shown[:, [27, 36]] = True
    logits = judge_from(packed).logits(table.ink_GX, shown)
    row = np.arange(54)
    beats = (logits[row, table.first_G] > logits[row, table.second_G]).reshape(6, 9)
    np.testing.assert_array_equal(found.beats_PS[:, 0], beats.mean(1))
    np.testing.assert_array_equal(found.beats_all_PS[:, 1], beats.all(1))
    # One set of pixels for all lies: to beat them all is to be first of ten.
    np.testing.assert_array_equal(found.ten_PS, found.beats_all_PS)
    assert (found.sure_PS >= found.paid_PS - 1e-12).all()
    # The same pixels, whoever claims first.
    np.testing.assert_array_equal(played.orders((2, "x", "x", NINE)).last.paid_PS, found.paid_PS)


def test_pixels_of_another_image_land_on_ink_and_nowhere_twice() -> None:
    ink = family.images("test", n=40).ink_PX
    moves = np.stack([np.nonzero(x)[0][[0, 1, 2, 3]] for x in ink])
    placed = elsewhere(ink, moves)
    assert (np.take_along_axis(ink, placed, 1) > 0).all()
    assert all(len(set(row)) == 4 for row in placed.tolist())
    same = np.roll(moves, -1, axis=0)
    on_ink = np.take_along_axis(ink, same, 1) > 0
    assert (placed[:, 0] == same[:, 0])[on_ink[:, 0]].all(), "where there is ink the pixel is the very same"


def test_the_truth_earns_nothing_from_another_images_pixels_and_less_when_swapped(packed: str) -> None:
    n = 120
    moves = {}
    for kind in (NINE_FIRST, NINE_LAST):
        table = layout(kind, np.arange(n), seed=0, pixels=4)
        picked = np.stack([np.nonzero(x)[0][[3, 9, 12, 14]] for x in table.ink_GX])
        moves |= {(s, 4, "exact", "exact", kind): picked for s in (0, 1)}
    played = Played(judges=(judge_from(packed),) * 2, seed=0, images=n, pixels=4, moves=moves)
    earned = pay(played)

    def more(arm: str, true: int, false: int) -> Interval:
        found = mean_interval(earned[arm][true] - earned[arm][false])
        assert isinstance(found, Interval)
        return found

    assert not more("another image's pixels", 0, 1).excludes(0.0)
    real, swapped = more("random pixels", 0, 1), more("random pixels", 1, 0)
    assert real.low > 0
    assert swapped.value == pytest.approx(-real.value)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"pixels": 3}, "one of 2, 4"),
        ({"judges": 1}, "at least 2"),
        ({"images": 501}, "at most 500"),
        ({"images": 9}, "at least 10"),
        ({"sweep_images": 1}, "at least 2"),
        ({"sweep_images": 13}, "at most as many to the sweep"),
        ({"deep_images": -1}, "at least 0"),
        ({"deep_images": 101}, "at most 100"),
        ({"judge_steps": 0}, "at least 1"),
        ({"simulations": ()}, "1 or more of them"),
        ({"simulations": (0, 10)}, "at least 1"),
        ({"simulations": (40, 10)}, "rising numbers"),
    ],
)
def test_settings_that_leave_nothing_to_measure_are_refused(change: dict, part: str, tmp_path: Path) -> None:
    words = [f"{name}={settings.show(value)}" for name, value in change.items()]
    with pytest.raises(ConfigError, match=part) as refused:
        run(settings.apply(SMALL, words=words, study="pixel-debate"), tmp_path)
    assert str(refused.value).count(". ") >= 2
    assert not (tmp_path / "work").exists(), "refused before any work"


def test_quick_is_the_same_study_made_small() -> None:
    small = Config(**STUDY.quick)
    assert small.images < Config().images
    assert small.judges == Config().judges
    assert small.pixels == Config().pixels
