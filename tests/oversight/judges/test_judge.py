"""Judges: how many steps they look at, which, what they say of them, and what they cannot tell."""

import hashlib

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.oversight import OtherRollouts, Pointed, RandomSteps, SameSteps, ground_truth, judge, oblivious
from superalign.oversight.judges.judge import NO_STEPS, content, key_of
from superalign.types import Rollouts, Unmeasured


def many(problems, text, n):
    """n responses that differ in content only behind what the toy judge counts as a step."""
    texts = [text + str(i) for i in range(n)]
    return Rollouts(problems=problems, problem_R=np.zeros(n, int), text_R=texts)


class Knows:
    """A perfect pointer: to the first n of each text."""

    name = "perfect"

    def __call__(self, problems, rollouts, *, counts, k, seed):
        return Pointed(
            steps=tuple((max(t.find("n"), 0),)[: min(k, n)] for t, n in zip(rollouts.text_R, counts, strict=True))
        )


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_a_judge_checks_at_most_k_steps_and_counts_them(problems, rollouts, k):
    looked = []

    def check(problem, text, step):
        looked.append((problem.prompt, text, step))
        return True

    signal = judge(check_step=check, n_steps=len, k=k)(problems, rollouts, seed=0)
    assert signal.checks == len(looked) == len(set(looked)) == sum(min(k, len(t)) for t in rollouts.text_R)
    assert set(signal.values) == {1.0}


def test_a_judge_that_sees_everything_is_right(problems, rollouts, check):
    signal = judge(check_step=check, n_steps=len, k=9)(problems, rollouts, seed=0)
    assert signal.values == tuple(float("n" not in t) for t in rollouts.text_R)


def test_random_steps_are_uniform_and_fresh_with_every_seed(problems, check):
    def steps(text):
        return sum(c in "yn" for c in text)

    asked = many(problems, "yyny", 4000)
    found = judge(check_step=check, n_steps=steps)(problems, asked, seed=3)
    assert np.mean(found.values) == pytest.approx(0.75, abs=0.03)
    other = judge(check_step=check, n_steps=steps)(problems, asked, seed=4)
    assert np.mean(np.array(found.values) == np.array(other.values)) == pytest.approx(0.75**2 + 0.25**2, abs=0.03)
    pointed = RandomSteps()(problems, asked, counts=[4] * 4000, k=2, seed=0).steps
    assert all(len(set(p)) == 2 for p in pointed)
    np.testing.assert_allclose(np.bincount([s for p in pointed for s in p]) / 8000, 0.25, atol=0.02)


def test_a_good_pointer_finds_what_chance_misses_at_equal_checks(problems, rollouts, check):
    flawed = many(problems, "yyyyyyyn", 400)

    def steps(text):
        return sum(c in "yn" for c in text)

    alone, helped = (
        judge(check_step=check, n_steps=steps, pointer=p)(problems, flawed, seed=0) for p in (None, Knows())
    )
    assert alone.checks == helped.checks == 400
    assert np.mean(helped.values) == 0
    assert np.mean(alone.values) > 0.8


def test_the_placebo_looks_at_the_same_places_whatever_is_there(problems, rollouts, check):
    signal = judge(check_step=check, n_steps=len, pointer=SameSteps())(problems, rollouts, seed=0)
    assert signal.values == tuple(float(t[0] == "y") for t in rollouts.text_R)
    pointed = SameSteps(places=(2,))(problems, rollouts, counts=[1, 2, 3, 4] * 2, k=2, seed=0)
    assert pointed.steps[:4] == ((0,), (0, 1), (2, 0), (2, 0))


def test_the_shuffled_pointer_passes_on_what_was_meant_for_another_problem(problems, rollouts):
    counts = [len(t) for t in rollouts.text_R]
    meant_for = {}

    class Marks:
        name = "marks"

        def __call__(self, problems, rollouts, *, counts, k, seed):
            # Each rollout's own step names it: place in a list of distinct steps.
            texts = list(rollouts.text_R)
            meant_for.update({i: rollouts.problem_R[i] for i in range(len(texts))})
            return Pointed(steps=tuple((i,) for i in range(len(texts))), tokens=7)

    wide = OtherRollouts(of=Marks())(problems, rollouts, counts=[99] * len(counts), k=1, seed=0)
    for r, (source,) in enumerate(wide.steps):
        assert meant_for[source] != rollouts.problem_R[r]
    assert len({s for (s,) in wide.steps}) > len(counts) / 2  # not one pointer for all
    assert wide.tokens == 7
    narrow = OtherRollouts(of=Marks())(problems, rollouts, counts=counts, k=1, seed=0)
    assert all(s < n for (s,), n in zip(narrow.steps, counts, strict=True))


def test_a_lone_rollout_gets_no_pointer_rather_than_its_own(problems, check):
    one = Rollouts.of_texts(problems[:1], ["yn"])
    signal = judge(check_step=check, n_steps=len, pointer=OtherRollouts(of=Knows()))(problems[:1], one, seed=0)
    assert isinstance(signal.values[0], Unmeasured)
    assert signal.checks == 0


def test_nothing_to_check_is_unmeasured_and_free(problems, check):
    two = Rollouts.of_texts(problems[:2], ["", "y"])
    signal = judge(check_step=check, n_steps=len)(problems, two, seed=0)
    assert isinstance(signal.values[0], Unmeasured)
    assert (signal.values[1], signal.checks) == (1.0, 1)


def test_what_it_says_names_the_step_from_one(problems, check):
    said = judge(check_step=check, n_steps=len, pointer=Knows())(
        problems, Rollouts.of_texts(problems[:1], ["yyn"]), seed=0
    )
    assert said.said == ("step 3 is wrong",)


def test_equal_contents_get_equal_values(problems, check):
    twice = Rollouts(problems=problems, problem_R=np.array([0, 0, 1]), text_R=["ynyn", "ynyn", "ynyn"])
    assert content(problems, twice, 0) == content(problems, twice, 1) != content(problems, twice, 2)
    for seed in range(10):
        values = judge(check_step=check, n_steps=len)(problems, twice, seed=seed).values
        assert values[0] == values[1]


def test_the_ceiling_grades_even_empty_texts(problems):
    made = ground_truth(grade=lambda problem, text: text == "yes")
    assert made(problems, Rollouts.of_texts(problems[:2], ["yes", ""]), seed=0).values == (1.0, 0.0)


def test_the_null_pays_without_reading(problems):
    asked = many(problems, "y", 2000)
    coin = oblivious()
    first, again, other = (coin(problems, asked, seed=s).values for s in (0, 0, 1))
    assert first == again
    assert np.mean(first) == pytest.approx(0.5, abs=0.05)
    assert np.corrcoef(first, other)[0, 1] == pytest.approx(0, abs=0.08)
    assert set(oblivious(constant=True)(problems, asked, seed=0).values) == {1.0}


def test_no_checks_is_refused(check):
    with pytest.raises(BadInput, match="looks at nothing"):
        judge(check_step=check, n_steps=len, k=0)


def test_cards_differ_by_what_the_judge_may_do(check):
    cards = {
        judge(check_step=check, n_steps=len, k=k, pointer=p).card.digest for k in (1, 2) for p in (None, SameSteps())
    }
    assert len(cards) == 4


# ---- what the rules say, word for word and at their edges


def test_the_digest_of_a_content_is_its_problem_and_its_text_and_nothing_else(problems):
    two = Rollouts(problems=problems[:2], problem_R=np.array([1, 0]), text_R=["yn", "ny"])
    assert content(problems[:2], two, 0) == problems[1].prompt.encode() + b"\x00yn"
    assert content(problems[:2], two, 1) == problems[0].prompt.encode() + b"\x00ny"
    assert key_of(0, b"x") != key_of(1, b"x") != key_of(-1, b"x")
    assert len(key_of(0, b"x")) == 16


def test_which_steps_chance_points_to_stays_what_it_is(problems):
    five = Rollouts(problems=problems[:1], problem_R=np.zeros(5, int), text_R=[f"yy{i}" for i in range(5)])
    pointed = RandomSteps()(problems[:1], five, counts=[0, 1, 3, 4, 9], k=2, seed=7).steps
    assert [len(p) for p in pointed] == [0, 1, 2, 2, 2]
    for r, (steps, n) in enumerate(zip(pointed, [0, 1, 3, 4, 9], strict=True)):
        key = key_of(7, content(problems[:1], five, r))
        ranks = sorted(range(n), key=lambda i: hashlib.blake2b(key + i.to_bytes(4, "little")).digest())
        assert list(steps) == ranks[:2]


@pytest.mark.parametrize(
    ("text", "steps", "value", "said", "checks"),
    [
        ("yyn", (0, 1), 1.0, "right: step 1, 2", 2),
        ("yyn", (2, 0), 0.0, "step 3 is wrong", 2),
        ("nyn", (2, 0), 0.0, "step 3 is wrong", 2),  # the first that was looked at
        ("nyn", (0, 1, 2), 0.0, "step 1 is wrong", 2),  # no more than k are looked at
        ("yyn", (0, 1, 2), 1.0, "right: step 1, 2", 2),
        ("n", (0,), 0.0, "step 1 is wrong", 1),
    ],
)
def test_a_judge_says_what_it_saw_at_the_steps_it_was_pointed_to(problems, check, text, steps, value, said, checks):
    class Points:
        name = "points"

        def __call__(self, problems, rollouts, *, counts, k, seed):
            return Pointed(steps=(steps,), said=("look there",), tokens=5)

    one = Rollouts.of_texts(problems[:1], [text])
    signal = judge(check_step=check, n_steps=len, k=2, pointer=Points())(problems[:1], one, seed=0)
    assert (signal.values, signal.said) == ((value,), (f"look there; {said}",))
    assert (signal.checks, signal.tokens) == (checks, 5)


def test_why_nobody_can_tell_is_said_and_costs_nothing(problems, check):
    class Nowhere:
        name = "nowhere"

        def __call__(self, problems, rollouts, *, counts, k, seed):
            return Pointed(steps=((), (), (0,)), said=("a", "b", "c"))

    three = Rollouts(problems=problems[:1], problem_R=np.zeros(3, int), text_R=["", "y", "y"])
    signal = judge(check_step=check, n_steps=len, pointer=Nowhere())(problems[:1], three, seed=0)
    assert signal.values == (NO_STEPS, Unmeasured("nobody pointed to a step"), 1.0)
    assert (signal.said, signal.checks, signal.tokens) == (("", "", "c; right: step 1"), 1, 0)


def test_a_pointer_of_another_rollout_goes_round_by_length_and_is_cut_to_fit(problems):
    class Own:
        name = "own"

        def __call__(self, problems, rollouts, *, counts, k, seed):
            return Pointed(steps=((0, 5), (1, 6), (2, 7)), tokens=3)

    texts, counts = ["y", "yy", "yyy"], [1, 2, 3]
    three = Rollouts(problems=problems[:2], problem_R=np.array([0, 1, 0]), text_R=texts)
    made = OtherRollouts(of=Own())(problems[:2], three, counts=counts, k=2, seed=0)
    # Sorted by length; each takes the next one of another problem. A place beyond its last step becomes the last, once.
    assert made.steps == ((0,), (1,), (1, 2))
    assert made.tokens == 3
    assert OtherRollouts(of=Own())(problems[:2], three, counts=[0, 2, 3], k=2, seed=0).steps[0] == ()


@pytest.mark.parametrize("k", [-1, 0])
def test_a_judge_needs_a_check(check, k):
    with pytest.raises(BadInput, match=f"{k} checks"):
        judge(check_step=check, n_steps=len, k=k)


def test_cards_say_what_is_looked_at_and_what_is_free(check):
    one, two = (judge(check_step=check, n_steps=len, k=k).card for k in (1, 2))
    assert (one.name, two.name) == ("judge, 1 check, random steps", "judge, 2 checks, random steps")
    assert dict(two.settings) == {"k": 2, "pointer": "random steps", "low": 0.0, "high": 1.0}
    ceiling, null = ground_truth(grade=lambda p, t: True).card, oblivious().card
    assert dict(ceiling.settings) == {"low": 0.0, "high": 1.0, "judges_empty": True, "privileged": True}
    assert dict(null.settings) == {"low": 0.0, "high": 1.0, "judges_empty": True, "free": True}
    assert (null.name, oblivious(constant=True).card.name) == (
        "content-independent, coin",
        "content-independent, constant",
    )


def test_the_ceiling_and_the_coin_count_what_they_read(problems):
    two = Rollouts.of_texts(problems[:2], ["yes", "no"])
    truth = ground_truth(grade=lambda problem, text: text == "yes")(problems[:2], two, seed=0)
    assert (truth.values, truth.said, truth.checks) == ((1.0, 0.0), ("right", "wrong"), 2)
    coin = oblivious()(problems[:2], two, seed=5)
    assert coin.values == tuple(float(key_of(5, content(problems[:2], two, r))[0] & 1) for r in range(2))
    assert (coin.checks, coin.said) == (0, ())
