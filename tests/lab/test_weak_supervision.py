"""Weak supervision on planted states: a loud truth, a supervisor who sees something else, and what each control must give."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from superalign.errors import DataError
from superalign.lab.held_answers import Held
from superalign.lab.weak_benches import Claims, bench_of, claims_of, head_on, says_of
from superalign.lab.weak_supervision import (
    ALONE,
    CHAIN,
    CONTROLS,
    CROWD,
    DEALT,
    HALF,
    NAIVE,
    NOISE,
    PAIR,
    PERMUTED,
    SAME,
    TRUTH,
    WAYS,
    Bench,
    Training,
    held_out_loss,
    labels_of,
    learned,
)
from superalign.stats import recovered_gap
from superalign.types import Interval

TRAINING = Training(rate=0.03, passes=4)
N, TEST = 1400, 400
KIND, OTHER = "what it sees", "another author"


@functools.lru_cache
def planted() -> Bench:
    """Truth is loud in the student's states; the supervisor sees it through much noise, the other author denies a third of it."""
    rng = np.random.default_rng(5)
    true_N = rng.random(N) < 0.5
    seen_NF = rng.normal(size=(N, 5))
    seen_NF[:, 0] += 0.7 * (2 * true_N - 1)
    states_ND = rng.normal(size=(N, 20))
    states_ND[:, 3:9] += 1.5 * (2 * true_N[:, None] - 1)
    early_ND = states_ND + rng.normal(size=(N, 20)) * 2
    return Bench(
        true_N=true_N,
        test_N=np.arange(N) >= N - TEST,
        question_N=np.arange(N),
        sees={KIND: seen_NF},
        authors={OTHER: true_N & (rng.random(N) > 0.3)},
        truths={KIND: 200},
        weak=500,
        students=[functools.partial(head_on, early_ND), functools.partial(head_on, states_ND)],
    )


@functools.lru_cache
def held(kind: str, seeds: int = 3) -> Held:
    bench = planted()
    ways = [w for w in (*WAYS, *CONTROLS) if kind == KIND or w not in (CROWD, SAME)]
    test = bench.test_N
    odds = {w: [learned(bench, w, kind, TRAINING, seed=s) for s in range(seeds)] for w in ways}
    odds["supervisor"] = [bench.supervisors(kind, s)[test] for s in range(seeds)]
    return Held(true_P=bench.true_N[test], question_P=bench.question_N[test], odds=odds)


def share(arm: str) -> Interval:
    found = held(KIND).recovered(arm, floor="supervisor", ceiling=TRUTH)
    assert isinstance(found, Interval)
    return found


def test_the_controls_come_out_as_theory_says() -> None:
    assert share(NOISE).high > 0.9
    assert share(PERMUTED).high < 0.2
    assert abs(share(SAME).value) < 0.2
    assert share(ALONE).value > 0.8  # truth is what varies most in these states
    assert share(DEALT).low > share(SAME).high  # errors that no student can predict are not learned


def test_every_way_learns_more_than_the_supervisor_knows_where_truth_is_loud() -> None:
    shares = {way: share(way) for way in WAYS}
    assert all(found.value > 0.6 and found.low > 0.1 for found in shares.values()), shares


def test_all_ways_of_a_seed_share_items_supervisor_and_student_and_repeat() -> None:
    bench = planted()
    first, second = bench.parts(1)
    assert not set(first) & set(second)
    assert not bench.test_N[[*first, *second]].any()
    assert [list(x) for x in bench.parts(1)] == [list(first), list(second)]
    assert list(bench.parts(2)[0]) != list(first)
    one, two = (learned(bench, PAIR, KIND, TRAINING, seed=1) for _ in range(2))
    assert np.array_equal(one, two)


def test_noise_and_dealt_errors_are_as_many_as_the_supervisors() -> None:
    rng = np.random.default_rng(0)
    true, weak = rng.random(300) < 0.5, rng.random(300)
    wrong = ((weak > 0.5) != true).sum()
    noise, dealt = (labels_of(way, weak, true, seed=0) for way in (NOISE, DEALT))
    assert (noise != true).sum() == wrong
    for truth in (True, False):
        assert dealt[true == truth].sum() == (weak > 0.5)[true == truth].sum()
    assert labels_of(PERMUTED, weak, true, seed=0).sum() == (weak > 0.5).sum()


def test_the_confident_half_and_the_chain_are_given_as_many_updates() -> None:
    """Count the items that students are shown, by way."""
    shown: list[int] = []

    def counted(states: np.ndarray, seed: int, rows: np.ndarray) -> torch.nn.Module:
        head = head_on(states, seed, rows)
        head.register_forward_hook(lambda module, args, out: shown.append(len(out)) if out.requires_grad else None)
        return head

    bench = planted()
    states = np.random.default_rng(0).normal(size=(N, 4))
    counting = [functools.partial(counted, states)] * 2
    totals = {}
    for way in (NAIVE, HALF, CHAIN, PAIR):
        shown.clear()
        learned(replace(bench, students=counting), way, KIND, TRAINING, seed=0)
        totals[way] = sum(shown)
    assert max(totals.values()) <= 1.05 * min(totals.values()), totals


def test_settings_are_chosen_without_any_test_truth() -> None:
    bench = planted()
    scrambled = np.where(bench.test_N, ~bench.true_N, bench.true_N)
    losses = [held_out_loss(b, KIND, TRAINING, seed=0)[0] for b in (bench, replace(bench, true_N=scrambled))]
    assert losses[0] == losses[1]


def test_a_supervisor_of_one_class_is_refused() -> None:
    bench = planted()
    with pytest.raises(DataError, match="one class has 0"):
        replace(bench, true_N=np.ones(N, bool)).parts(0)


def test_questions_count_once_however_many_items_they_have() -> None:
    true = np.array([True, False] * 30)
    odds = [np.where(true, 1.0, -1.0) * s for s in (1.0, 2.0)]
    wrong = [np.where(np.arange(60) < 20, -x, x) for x in odds]
    found = Held(true_P=true, question_P=np.arange(60) // 2, odds={"a": odds, "b": wrong})
    accuracy, area = found.accuracy("b"), found.area("a")
    assert isinstance(accuracy, Interval)
    assert accuracy.value == pytest.approx(2 / 3)
    assert accuracy.n <= 30
    assert isinstance(area, Interval)
    assert area.value == 1.0
    assert area.low < 1.0
    more = found.more_right("a", than="b")
    assert isinstance(more, Interval)
    assert more.low > 0
    same = found.more_area("a", than="a")
    assert isinstance(same, Interval)
    assert same.low < 0 < same.high
    gap = recovered_gap(found.right("b"), floor_PS=found.right("b"), ceiling_PS=found.right("a"))
    assert isinstance(gap, Interval)
    assert gap.value == 0


def test_claims_are_different_and_stand_in_one_split_each() -> None:
    source = Claims(topic="programs", students=("small",), before=(), pool=120, test=50, weak=60, seed=3)
    prompts, test = claims_of(source)
    assert len(set(prompts)) == len(prompts) == 170
    assert test.sum() == 50
    bench = bench_of(source)
    assert bench.kinds == ("pairs of characters", "first layers", "another author")
    outright = says_of(source, 0) > 0
    assert (outright == bench.true_N[bench.test_N]).mean() > 0.95  # it has worked the claim out before
