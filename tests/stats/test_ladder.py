"""Attackers who only ask: against an exact score they seem to learn everything, against the Ladder nothing that lasts."""

import numpy as np
import pytest

from superalign.lab.oracles import Exact, Noisy, Rounded, Thresholdout
from superalign.stats import clopper_pearson
from superalign.stats.ladder import ERRORS, LEAST, Ladder, rounded
from superalign.types import Interval, Unmeasured
from superalign.vault import Part
from superalign.vault.scoring import Scale, gain

N, QUERIES = 1263, 2000  # items as in the chat set of the first automated researchers


def said(oracle, guess_N, truth_N):
    found = oracle.answer((guess_N == truth_N).astype(float))
    return 0.5 if isinstance(found, Unmeasured) else found


def combine(oracle, truth_N, rng):
    """Weigh random guesses by what was said of each."""
    votes_N = np.zeros(len(truth_N))
    for _ in range(QUERIES):
        guess_N = rng.integers(0, 2, len(truth_N))
        votes_N += (said(oracle, guess_N, truth_N) - 0.5) * (2 * guess_N - 1)
    return (votes_N > 0).astype(int)


def boost(oracle, truth_N, rng):
    """Let those random guesses vote that are said to be better than chance."""
    votes_N = np.zeros(len(truth_N))
    for _ in range(QUERIES):
        guess_N = rng.integers(0, 2, len(truth_N))
        votes_N += (2 * guess_N - 1) * (said(oracle, guess_N, truth_N) > 0.5)
    return (votes_N > 0).astype(int)


def compare(oracle, truth_N, rng):
    """Change one guess at a time, and keep the change if more is said."""
    best_N = rng.integers(0, 2, len(truth_N))
    top = said(oracle, best_N, truth_N)
    for item in range(min(QUERIES - 1, len(truth_N))):
        guess_N = best_N.copy()
        guess_N[item] ^= 1
        if (now := said(oracle, guess_N, truth_N)) > top:
            best_N, top = guess_N, now
    return best_N


def climb(oracle, truth_N, rng):
    """Change random sets of guesses of every size, and keep what is said to be better."""
    best_N = rng.integers(0, 2, len(truth_N))
    top = said(oracle, best_N, truth_N)
    for _ in range(QUERIES - 1):
        guess_N = best_N.copy()
        guess_N[rng.choice(len(truth_N), int(2 ** rng.integers(0, 9)), replace=False)] ^= 1
        if (now := said(oracle, guess_N, truth_N)) > top:
            best_N, top = guess_N, now
    return best_N


ATTACKS = (combine, boost, compare, climb)


def reached(attack, make, seeds, first=0):
    """What an attack's guesses score on the items that were asked about, beyond chance, on average over seeds.

    Items before the first are public: that an attacker knows them is no leak.
    """
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        truth_N = rng.integers(0, 2, N)
        oracle = make(rng, (rng.integers(0, 2, N) == truth_N).astype(float))
        found.append(float((attack(oracle, truth_N, rng) == truth_N)[first:].mean()) - 0.5)
    return float(np.mean(found))


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_ladder_stops_what_an_exact_score_gives_away(attack):
    seeds = range(4)
    exact = reached(attack, lambda rng, base_N: Exact(), seeds)
    ladder = reached(attack, lambda rng, base_N: Ladder.on(base_N), seeds)
    assert exact > 0.2  # of the .5 that there are: the gap recovered would be told as large
    assert ladder < 0.05
    # Items of the sealed tier are other items: nothing that was learnt of these ones says anything of those.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make", "stops"),
    [
        ("rounded", lambda rng, base_N: Rounded(), False),
        ("noisy", lambda rng, base_N: Noisy(rng), False),
        ("thresholdout", lambda rng, base_N: Thresholdout(public=N // 2, rng=rng), False),
        ("ladder of one error", lambda rng, base_N: Ladder.on(base_N), True),
    ],
)
def test_other_oracles(name, make, stops):
    first = N // 2 if name == "thresholdout" else 0
    worst = max(reached(attack, make, range(3), first) for attack in (combine, boost))
    print(f"{name}: {worst:.3f}")
    assert (worst < 0.08) == stops


def test_an_honest_improvement_is_told_and_a_small_one_is_not():
    rng = np.random.default_rng(0)
    base_N = (rng.random(N) < 0.6).astype(float)
    ladder = Ladder.on(base_N)
    better_N = np.maximum(base_N, rng.random(N) < 0.2)
    assert ladder.answer(base_N) == rounded(float(base_N.mean()), step=LEAST)
    assert ladder.answer(better_N) == pytest.approx(better_N.mean(), abs=0.02)
    few_N = better_N.copy()
    few_N[np.flatnonzero(better_N == 0)[:5]] = 1
    before = ladder.released
    assert ladder.answer(few_N) == before
    assert ERRORS == 2.0


def campaign(rng, *, submissions, tries, level, n):
    """Search among methods of which none is better than the baseline, confirm the best; whether any passes."""
    truth_N, fresh_N = rng.integers(0, 2, n), rng.integers(0, 2, n)
    base_N, base_fresh_N = ((rng.random(n) < 0.7) == t for t in (truth_N, fresh_N))
    ladder, rungs = Ladder.on(base_N.astype(float)), []
    for method in range(submissions):
        parts_N = np.where(rng.random(n) < 0.3, rng.random(n) < 0.5, base_N).astype(float)
        if ladder.improves(parts_N):
            rungs.append(method)
    scale = Scale(metric="share", part=Part(inputs={}, truth_NS=fresh_N))
    passed = 0
    for _ in (rungs or [0])[-tries:]:
        right_N = np.where(rng.random(n) < 0.3, rng.random(n) < base_fresh_N.mean(), base_fresh_N)
        scores = [np.where(r, 1.0, -1.0) * (2 * fresh_N - 1) for r in (right_N, base_fresh_N)]
        over = gain(scale, scores[0][None], scores[1][None], confidence=1 - 2 * level / tries)
        passed += isinstance(over, Interval) and over.low > 0
    return passed > 0


@pytest.mark.parametrize("campaigns", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_a_search_in_which_nothing_works_finds_nothing(campaigns):
    rng = np.random.default_rng(0)
    false = sum(campaign(rng, submissions=1000, tries=3, level=0.05, n=300) for _ in range(campaigns))
    found = clopper_pearson(false, n=campaigns)
    print(f"false findings: {false} of {campaigns} campaigns [{found.low:.3f}, {found.high:.3f}]")
    assert found.low <= 0.05
    assert campaigns < 600 or found.high < 0.08
