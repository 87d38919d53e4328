"""The pixel debate: its rules, its debaters against brute force, its placebo, and what it is as an overseer."""

import dataclasses
import itertools

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.oversight.conformance import check_overseer, failures
from superalign.oversight.pixels.debate import (
    OPEN,
    at_random,
    chance,
    games,
    greedy,
    margin,
    play,
    probability,
    taking_turns,
    verdict,
)
from superalign.oversight.pixels.judge import PixelJudge, PixelJudgeConfig, ink_of, judge_from, train_pixel_judge
from superalign.oversight.pixels.overseer import pixel_debate
from superalign.oversight.pixels.search import _followers, _sets, exact, perfect_play, solve, tree_search
from superalign.problems import digits
from superalign.types import Rollouts, Unmeasured


@pytest.fixture(scope="module")
def judge() -> PixelJudge:
    seen = digits.images("train")
    return train_pixel_judge(seen.ink_PX, seen.label_P, config=PixelJudgeConfig(steps=250), seed=0)


@pytest.fixture(scope="module")
def some() -> digits.Images:
    return digits.images("train", n=80)


def lies(label_P: np.ndarray) -> np.ndarray:
    return (label_P + 1 + np.arange(len(label_P)) % 9) % 10


def light(ink_X: np.ndarray, keep: int) -> np.ndarray:
    """An image with only its first few non-blank pixels."""
    out = ink_X.copy()
    out[np.nonzero(ink_X)[0][keep:]] = 0
    return out


def brute(
    judge: PixelJudge, ink_X: np.ndarray, shown: tuple[int, ...], turns: tuple[int, ...], a: int, b: int
) -> float:
    """The value of a position by trying everything, in every order."""
    if not turns:
        at = np.array([shown])
        return float(margin(verdict(judge, ink_X[None], at), np.array([a]), np.array([b]))[0])
    values = [brute(judge, ink_X, (*shown, int(x)), turns[1:], a, b) for x in np.nonzero(ink_X)[0] if x not in shown]
    return max(values) if turns[0] > 0 else min(values)


def test_a_judge_reads_a_set_part_by_part(judge: PixelJudge, some: digits.Images) -> None:
    ink_PX = ink_of(some.ink_PX[:3])
    shown_PX = np.zeros(ink_PX.shape, bool)
    shown_PX[:, [10, 20, 30]] = True
    added = judge.bias_H + judge.parts(ink_PX[0])[[10, 20, 30]].sum(0)
    np.testing.assert_allclose(judge.first(ink_PX, shown_PX)[0], added, rtol=1e-4, atol=1e-5)
    changed = ink_PX.copy()
    changed[:, 40] = 1 - changed[:, 40]
    np.testing.assert_array_equal(judge.logits(changed, shown_PX), judge.logits(ink_PX, shown_PX))
    assert judge.logits(ink_PX, shown_PX).shape == (3, 10)


def test_a_judge_is_the_same_from_the_same_seed_and_text() -> None:
    some = digits.images("train", n=40)
    made = [
        train_pixel_judge(some.ink_PX, some.label_P, config=PixelJudgeConfig(steps=5), seed=s).packed()
        for s in (1, 1, 2)
    ]
    assert made[0] == made[1] == judge_from(made[0]).packed()
    assert made[0] != made[2]


def test_a_judge_without_images_is_refused() -> None:
    for ink in (np.zeros((0, 64), int), np.zeros((2, 64), int)):
        with pytest.raises(BadInput, match="no image to train a judge on"):
            train_pixel_judge(ink, np.zeros(len(ink), int), config=PixelJudgeConfig(steps=1), seed=0)


def test_more_pixels_tell_a_trained_judge_more_and_none_tell_an_untrained_one(judge: PixelJudge) -> None:
    test = digits.images("test")
    luck = np.random.default_rng(0).random(test.ink_PX.shape)
    order = np.where(test.ink_PX > 0, luck, 2).argsort(1)
    right = [(verdict(judge, ink_of(test.ink_PX), order[:, :k]).argmax(1) == test.label_P).mean() for k in (1, 3, 8)]
    assert right[0] < right[1] < right[2]
    assert right[2] > 0.45
    blank = train_pixel_judge(test.ink_PX, test.label_P * 0, config=PixelJudgeConfig(steps=1), seed=0)
    assert (verdict(blank, ink_of(test.ink_PX), order[:, :8]).argmax(1) == test.label_P).mean() < 0.25


@pytest.mark.parametrize("how", [at_random, greedy, tree_search(12), exact])
def test_only_non_blank_pixels_are_shown_and_none_twice(how, judge: PixelJudge, some: digits.Images) -> None:
    few = np.stack([light(x, 9) for x in some.ink_PX[:6]])
    table = games(few, some.label_P[:6], lies(some.label_P[:6]), turns=taking_turns(4), seed=0)
    moves = play(judge, table, how, how)
    assert moves.shape == (6, 4)
    assert all(len(set(row)) == 4 for row in moves.tolist())
    assert (np.take_along_axis(few, moves, 1) > 0).all()
    np.testing.assert_array_equal(play(judge, table, how, how), moves)
    order = np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_array_equal(play(judge, table.rows(order), how, how), moves[order])


def test_turns_are_taken_by_whose_they_are(judge: PixelJudge, some: digits.Images) -> None:
    asked: list[tuple[str, int]] = []

    def noted(name):
        def how(judge, table, shown_GX, turn):
            asked.append((name, turn))
            return at_random(judge, table, shown_GX, turn)

        return how

    table = games(some.ink_PX[:2], some.label_P[:2], lies(some.label_P[:2]), turns=(1, -1, -1, 1), seed=0)
    play(judge, table, noted("first"), noted("second"))
    assert asked == [("first", 0), ("second", 1), ("second", 2), ("first", 3)]


def test_greedy_takes_the_best_next_pixel(judge: PixelJudge, some: digits.Images) -> None:
    ink_PX, a, b = some.ink_PX[:4], some.label_P[:4], lies(some.label_P[:4])
    for turns in ((1,), (-1,)):
        table = games(ink_PX, a, b, turns=turns, seed=0)
        chosen = play(judge, table, greedy, greedy)[:, 0]
        for g in range(4):
            told = {int(x): brute(judge, table.ink_GX[g], (int(x),), (), a[g], b[g]) for x in np.nonzero(ink_PX[g])[0]}
            assert told[int(chosen[g])] == pytest.approx((max if turns[0] > 0 else min)(told.values()), abs=1e-4)


@pytest.mark.parametrize("turns", [(1, -1), (1, -1, 1), (-1, 1, -1), (1, 1, 1), (1, -1, 1, -1)])
def test_perfect_play_is_what_trying_everything_finds(turns, judge: PixelJudge, some: digits.Images) -> None:
    ink_X = ink_of(light(some.ink_PX[5], 6)[None])[0]
    first, second = np.array([3, 5, 0, OPEN]), np.array([5, 3, OPEN, 4])
    value, line = solve(judge, ink_X, first, second, turns=turns)
    for pair, (a, b) in enumerate(zip(first, second, strict=True)):
        assert value[pair] == pytest.approx(brute(judge, ink_X, (), turns, a, b), abs=1e-4)
        assert brute(judge, ink_X, tuple(line[pair]), (), a, b) == pytest.approx(value[pair], abs=1e-4), (
            "the line earns it"
        )


def test_a_perfect_debater_is_never_beaten_by_less_than_it_can_hold(judge: PixelJudge, some: digits.Images) -> None:
    few = np.stack([light(x, 12) for x in some.ink_PX[:10]])
    a, b = some.label_P[:10], lies(some.label_P[:10])
    table = games(few, a, b, turns=taking_turns(4), seed=0)

    def lead(moves):
        return margin(verdict(judge, table.ink_GX, moves), a, b)

    best = lead(perfect_play(judge, table))
    np.testing.assert_allclose(lead(play(judge, table, exact, exact)), best, atol=1e-4)
    for other in (at_random, greedy, tree_search(15)):
        assert (lead(play(judge, table, exact, other)) >= best - 1e-4).all(), "the first side holds its value"
        assert (lead(play(judge, table, other, exact)) <= best + 1e-4).all(), "and so does the second"


def test_sets_are_counted_once_each_and_follow_each_other() -> None:
    for m, s in ((6, 0), (6, 2), (7, 4)):
        sets = [tuple(x) for x in _sets(m, s).tolist()]
        assert sorted(sets) == sorted(itertools.combinations(range(m), s))
        bigger = [tuple(x) for x in _sets(m, s + 1).tolist()]
        for one, places in zip(sets, _followers(m, s), strict=True):
            assert {bigger[p] for p in places} == {tuple(sorted((*one, x))) for x in range(m) if x not in one}


def test_more_search_plays_better(judge: PixelJudge, some: digits.Images) -> None:
    a, b = some.label_P, lies(some.label_P)
    table = games(some.ink_PX, a, b, turns=taking_turns(4), seed=0)
    paid = {}
    searching = tree_search(60)
    sides = {"strong": (searching, at_random), "weak": (at_random, at_random), "prey": (at_random, searching)}
    for name, (first, second) in sides.items():
        paid[name] = probability(margin(verdict(judge, table.ink_GX, play(judge, table, first, second)), a, b)).mean()
    assert paid["strong"] > paid["weak"] + 0.1 > paid["prey"] + 0.2


def test_debate_beats_its_placebo_and_the_placebo_is_a_judge_alone(judge: PixelJudge, some: digits.Images) -> None:
    a = np.repeat(some.label_P, 9)
    b = np.concatenate([[x for x in range(10) if x != label] for label in some.label_P])
    table = games(np.repeat(some.ink_PX, 9, axis=0), a, b, turns=taking_turns(4), seed=0)
    luck = np.where(table.ink_GX > 0, np.random.default_rng(0).random(table.ink_GX.shape), 2).argsort(1)[:, :4]
    debate, placebo, alone = (
        (margin(verdict(judge, table.ink_GX, moves), a, b) > 0).mean()
        for moves in (play(judge, table, greedy, greedy), play(judge, table, at_random, at_random), luck)
    )
    assert debate > placebo + 0.05
    assert placebo == pytest.approx(alone, abs=0.06)


def test_an_open_claim_is_the_best_that_is_left() -> None:
    logits = np.log([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    first, second = np.array([0, 0]), np.array([OPEN, OPEN])
    np.testing.assert_allclose(margin(logits, first, second), [np.log(5 / 3), np.log(2 / 5)])
    np.testing.assert_allclose(margin(logits, second, first), [-np.log(5 / 3), -np.log(2 / 5)])


def test_swapping_the_claims_turns_the_margin_round(judge: PixelJudge, some: digits.Images) -> None:
    a, b = some.label_P, lies(some.label_P)
    logits = verdict(judge, ink_of(some.ink_PX), np.tile([27, 28, 35, 36], (len(a), 1)))
    np.testing.assert_array_equal(margin(logits, a, b), -margin(logits, b, a))
    np.testing.assert_allclose(probability(margin(logits, a, b)) + probability(margin(logits, b, a)), 1)


def test_chance_is_even_and_depends_on_all_that_it_is_drawn_for() -> None:
    key = np.arange(500, dtype=np.uint64)
    drawn = chance(key, 1, 2)
    assert drawn.mean() == pytest.approx(0.5, abs=0.01)
    assert drawn.std() == pytest.approx(12**-0.5, abs=0.01)
    for other in (chance(key, 2, 1), chance(key, 1), chance(key + np.uint64(1), 1, 2)):
        assert abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.15


def test_games_about_nothing_are_refused(some: digits.Images) -> None:
    with pytest.raises(BadInput, match="two different claims"):
        games(some.ink_PX[:1], [3], [3], turns=(1, -1), seed=0)
    with pytest.raises(BadInput, match="Give fewer turns"):
        games(light(some.ink_PX[0], 3)[None], [3], [4], turns=taking_turns(4), seed=0)
    with pytest.raises(BadInput, match="Give fewer turns"):
        games(some.ink_PX[:1], [3], [4], turns=(), seed=0)


def test_it_is_an_overseer(judge: PixelJudge) -> None:
    some = digits.images("test", n=6)
    asked = digits.problems_of(some, pixels=4)
    texts = [str(label) for label in some.label_P[:4]] + ["7", "no idea"]
    for how in (greedy, at_random, tree_search(5)):
        overseer = pixel_debate(judge=judge, read=digits.read, debater=how, name="any")
        check_overseer(overseer, asked, Rollouts.of_texts(asked, texts), seed=3)
    signal = pixel_debate(judge=judge, read=digits.read)(asked, Rollouts.of_texts(asked, texts), seed=0)
    assert isinstance(signal.values[5], Unmeasured)
    assert signal.checks == 5 * 9 * 4
    assert signal.said[0].startswith(f"{texts[0]} against ")


def test_an_overseer_whose_chance_hangs_on_the_batch_is_found_out(judge: PixelJudge) -> None:
    some = digits.images("test", n=5)
    asked = digits.problems_of(some, pixels=4)
    calls = itertools.count()

    def moody(judge, table, shown_GX, turn):
        again = dataclasses.replace(table, key_G=table.key_G + np.uint64(next(calls)))
        return at_random(judge, again, shown_GX, turn)

    broken = pixel_debate(judge=judge, read=digits.read, debater=moody)
    found = failures(broken, asked, Rollouts.of_texts(asked, ["1", "2", "3", "4", "5"]), seed=0)
    assert "same seed, same signal" in found


def test_right_labels_outlast_all_rivals_more_often_than_wrong_ones(judge: PixelJudge, some: digits.Images) -> None:
    asked = digits.problems_of(some, pixels=4)
    overseer = pixel_debate(judge=judge, read=digits.read)
    right, wrong = (
        np.array(overseer(asked, Rollouts.of_texts(asked, [str(x) for x in labels]), seed=0).values)
        for labels in (some.label_P, lies(some.label_P))
    )
    assert (right > 0.5).mean() > (wrong > 0.5).mean() + 0.3


@pytest.mark.parametrize("pixels", [0, 3, 10])
def test_an_uneven_debate_is_refused(pixels: int, judge: PixelJudge) -> None:
    with pytest.raises(BadInput, match="Give 2, 4, 6 or 8 pixels"):
        pixel_debate(judge=judge, read=digits.read, pixels=pixels)
