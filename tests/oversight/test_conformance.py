"""Every overseer of ours conforms; and for each check there is a broken overseer that it finds."""

import dataclasses
import sys

import numpy as np
import pytest

from superalign.oversight import OtherRollouts, RandomSteps, SameSteps, check_overseer, ground_truth, judge, oblivious
from superalign.oversight.conformance import CHECKS, failures
from superalign.problems.arithmetic import FAMILY
from superalign.types import Instrument, Problem, Signal, Unmeasured

CARD = Instrument(name="toy", version="1", catches="n", misses="y", settings=(("low", 0.0), ("high", 1.0)))


@dataclasses.dataclass(frozen=True)
class Broken:
    """A judge whose call and card can be spoiled in one place."""

    inner: object
    spoil: object = staticmethod(lambda signal, problems, rollouts, seed: signal)
    card: Instrument = CARD

    def __call__(self, problems, rollouts, *, seed):
        signal = dataclasses.replace(self.inner(problems, rollouts, seed=seed), overseer=self.card.digest)
        return self.spoil(signal, problems, rollouts, seed)


@pytest.fixture
def good(check):
    return judge(check_step=check, n_steps=len)


@pytest.mark.parametrize("pointer", [None, RandomSteps(), SameSteps(), OtherRollouts(of=RandomSteps())])
@pytest.mark.parametrize("k", [1, 3])
def test_judges_conform(problems, rollouts, check, pointer, k):
    check_overseer(judge(check_step=check, n_steps=len, k=k, pointer=pointer), problems, rollouts, seed=1)


def test_ceiling_and_nulls_conform(problems, rollouts):
    for made in (ground_truth(grade=lambda p, t: "n" not in t), oblivious(), oblivious(constant=True)):
        check_overseer(made, problems, rollouts)


def _with(**changes):
    return lambda signal, problems, rollouts, seed: dataclasses.replace(signal, **changes)


def _paid(signal, values):
    """Other values where there were any."""
    pairs = zip(signal.values, values, strict=True)
    return dataclasses.replace(signal, values=tuple(v if isinstance(v, Unmeasured) else w for v, w in pairs))


def _by_place(signal, problems, rollouts, seed):
    return _paid(signal, (r / 100 for r in range(len(rollouts))))


def _by_problems_place(signal, problems, rollouts, seed):
    """The tenth problem and those after it are worth more: nothing about the rollouts' order is looked at."""
    return _paid(signal, (int(p) / 100 for p in rollouts.problem_R))


def _by_problems_neighbour(signal, problems, rollouts, seed):
    return _paid(signal, (int(problems[int(p) - 1].prompt[-1]) / 10 for p in rollouts.problem_R))


def _above_the_mean(signal, problems, rollouts, seed):
    """Pays what is longer than the batch's mean."""
    lengths = [len(t) for t in rollouts.text_R]
    return _paid(signal, (float(n > np.mean(lengths)) for n in lengths))


def _first_of_its_kind(signal, problems, rollouts, seed):
    """Pays a text once: the second time it is beside itself it earns nothing."""
    texts = [(int(p), t) for p, t in zip(rollouts.problem_R, rollouts.text_R, strict=True)]
    return _paid(signal, (1.0 / texts.count(t) for t in texts))


_calls = []


def _moody(signal, problems, rollouts, seed):
    _calls.append(1)
    return _paid(signal, ((len(_calls) % 7) / 7 for _ in signal.values))


def _once_in_seven(signal, problems, rollouts, seed):
    """By a counter: six calls agree."""
    _calls.append(1)
    return _paid(signal, (0.5 for _ in signal.values)) if len(_calls) % 7 == 0 else signal


_chance = np.random.default_rng(5)


def _chance_once_in_seven(signal, problems, rollouts, seed):
    return _paid(signal, (0.5 for _ in signal.values)) if _chance.random() < 1 / 7 else signal


def _peeks(signal, problems, rollouts, seed):
    getattr(problems[0], "answer", None)
    return signal


def _grades(signal, problems, rollouts, seed):
    chain = Problem(prompt="5+3*2", family="arithmetic", difficulty=2, split="train")
    right = FAMILY.grade(chain, "5+3=8;8*2=6;#6").correct
    return _paid(signal, (float(right) for _ in signal.values))


def _works_it_out(signal, problems, rollouts, seed):
    FAMILY.worked(Problem(prompt="5+3*2", family="arithmetic", difficulty=2, split="train"))
    return signal


def grade(problem, text):
    return "n" not in text


def _somebodys_grader(signal, problems, rollouts, seed):
    return _paid(
        signal, (float(grade(problems[int(p)], t)) for p, t in zip(rollouts.problem_R, rollouts.text_R, strict=True))
    )


def _guesses(signal, problems, rollouts, seed):
    values = (0.0 if isinstance(v, Unmeasured) else v for v in signal.values)
    return dataclasses.replace(signal, values=tuple(values))


def _drops(signal, problems, rollouts, seed):
    return dataclasses.replace(signal, values=tuple(v for v in signal.values if not isinstance(v, Unmeasured))[:-1])


def _checks_twice(signal, problems, rollouts, seed):
    """Looks at every step and counts the one that it was told to look at."""
    for p, text in zip(rollouts.problem_R, rollouts.text_R, strict=True):
        for step in range(len(text)):
            looked_at(problems[int(p)], text, step)
    return signal


def looked_at(problem, text, step):
    return text[step] == "y"


def _bills_a_flat_rate(signal, problems, rollouts, seed):
    return dataclasses.replace(signal, checks=max(signal.checks, 8))


def _bills_nothing_read(signal, problems, rollouts, seed):
    return dataclasses.replace(signal, checks=len(rollouts))


def _rewrites(signal, problems, rollouts, seed):
    rollouts.text_R[0] = "yyyy"
    return signal


BROKEN = [
    ("has a card", "does not carry its card's digest", {"spoil": _with(overseer="somebody else")}),
    ("has a card", "catches and misses", {"card": dataclasses.replace(CARD, misses="")}),
    ("one value per rollout", "values for 8 rollouts", {"spoil": _drops}),
    ("one value per rollout", "said 1 things", {"spoil": _with(said=("one thing",))}),
    ("same seed, same signal", "calls with the same seed differ", {"spoil": _moody}),
    ("same seed, same signal", "calls with the same seed differ", {"spoil": _once_in_seven}),
    ("same seed, same signal", "calls with the same seed differ", {"spoil": _chance_once_in_seven}),
    ("order does not matter", "its place in the batch", {"spoil": _by_place}),
    ("place of the problem does not matter", "its problem's place in the list", {"spoil": _by_problems_place}),
    ("place of the problem does not matter", "its problem's place in the list", {"spoil": _by_problems_neighbour}),
    ("batch does not matter", "a value depends on the batch", {"spoil": _above_the_mean}),
    ("batch does not matter", "a value depends on the batch", {"spoil": _first_of_its_kind}),
    (
        "declared range is kept",
        "outside the declared range",
        {"spoil": lambda s, *_: _paid(s, (2.0 for _ in s.values))},
    ),
    (
        "declared range is kept",
        "outside the declared range",
        {"spoil": lambda s, *_: _paid(s, (float("nan") for _ in s.values))},
    ),
    ("declared range is kept", "declares no range", {"card": dataclasses.replace(CARD, settings=())}),
    (
        "declared range is kept",
        "measured none of these",
        {"spoil": lambda s, *_: _paid(s, [Unmeasured("no")] * len(s.values))},
    ),
    ("cost is counted", "counted 0 checks; its cost is false", {"spoil": _with(checks=0)}),
    ("cost is counted", "checked 8 steps and counted 5", {"spoil": _with(checks=5)}),
    ("cost is counted", "no counts", {"spoil": _with(checks=-8)}),
    ("cost is counted", "checked 34 steps and counted 8", {"spoil": _checks_twice}),
    ("cost is counted", "two halves", {"spoil": _bills_a_flat_rate}),
    ("no answers", "asked problems for answer", {"spoil": _peeks}),
    ("no answers", "depend on a grader (answer_ok, grade, solve)", {"spoil": _grades}),
    ("no answers", "depend on a grader (solve, worked)", {"spoil": _works_it_out}),
    ("no answers", "depend on a grader (grade)", {"spoil": _somebodys_grader}),
    ("cannot tell is Unmeasured", "gave an empty response a number", {"spoil": _guesses}),
    ("cannot tell is Unmeasured", "responses that hold nothing", {"spoil": _bills_nothing_read}),
    ("rollouts are left alone", "changed the rollouts", {"spoil": _rewrites}),
]


@pytest.mark.parametrize(("check_name", "why", "broken"), BROKEN)
def test_each_check_can_fail(problems, rollouts, good, check_name, why, broken):
    _calls.clear()
    found = failures(Broken(good, **broken), problems, rollouts)
    assert why in found[check_name]
    with pytest.raises(AssertionError, match=check_name):
        check_overseer(Broken(good, **broken), problems, rollouts)


@pytest.mark.parametrize("broken", [_by_problems_place, _above_the_mean, _once_in_seven, _grades, _rewrites])
def test_what_breaks_one_promise_is_told_of_that_one_alone(problems, rollouts, good, broken):
    _calls.clear()
    names = {name for name, _, changes in BROKEN if changes.get("spoil") is broken}
    assert set(failures(Broken(good, broken), problems, rollouts)) == names


def test_every_check_is_covered_and_the_unspoilt_one_passes(problems, rollouts, good):
    assert {name for name, _, _ in BROKEN} == set(CHECKS)
    assert failures(Broken(good), problems, rollouts) == {}


@dataclasses.dataclass(frozen=True)
class Table:
    """Knows each problem beforehand, and finds it as `key` says: a good overseer."""

    key: object
    worth: dict
    card: Instrument = CARD

    def __call__(self, problems, rollouts, *, seed):
        values = [
            self.worth[self.key(problems[int(p)])] if t else Unmeasured("empty")
            for p, t in zip(rollouts.problem_R, rollouts.text_R, strict=True)
        ]
        return Signal(overseer=self.card.digest, values=tuple(values), checks=sum(map(bool, rollouts.text_R)))


@pytest.mark.parametrize(
    "key", [lambda p: p, lambda p: p.digest, lambda p: p.prompt], ids=["value", "digest", "prompt"]
)
def test_a_good_overseer_may_look_problems_up(problems, rollouts, key):
    worth = {key(p): i / 10 for i, p in enumerate(problems)}
    assert failures(Table(key, worth), problems, rollouts) == {}


def test_a_good_overseer_may_read_who_stopped_and_keep_what_it_has_seen(problems, rollouts, check):
    """What a rollout carries is passed on whole, and a cache is no mood."""
    sampled = dataclasses.replace(rollouts, stopped_R=np.array([True, False] * 4))

    @dataclasses.dataclass(frozen=True)
    class Ended:
        kept: dict
        card: Instrument = CARD

        def __call__(self, problems, rollouts, *, seed):
            values = []
            for r in range(len(rollouts)):
                rollout = rollouts[r]
                value = float(rollout.stopped) if rollout.text else Unmeasured("empty")
                values.append(self.kept.setdefault(rollout.digest, value))
            return Signal(overseer=self.card.digest, values=tuple(values), checks=sum(map(bool, rollouts.text_R)))

    assert failures(Ended({}), problems, sampled) == {}


def test_what_is_relative_or_privileged_must_say_so(problems, rollouts, good):
    told = dataclasses.replace(CARD, settings=(*CARD.settings, ("relative", True), ("privileged", True)))
    for spoil in (_above_the_mean, _somebodys_grader):
        assert failures(Broken(good, spoil), problems, rollouts)
        assert failures(Broken(good, spoil, told), problems, rollouts) == {}


def test_problems_are_as_they_were_when_a_check_has_watched_them(problems, rollouts, good):
    profile = sys.getprofile()
    failures(Broken(good, _peeks), problems, rollouts)
    assert "__getattr__" not in vars(Problem)
    assert sys.getprofile() is profile


def test_an_overseer_without_a_card_is_told_so(problems, rollouts, good):
    found = failures(lambda p, r, *, seed: good(p, r, seed=seed), problems, rollouts)
    assert "no card" in found["has a card"]


def test_chance_drawn_by_place_is_found(problems, rollouts):
    """The commonest mistake: one generator for the whole batch."""

    class Batch:
        card = oblivious().card

        def __call__(self, problems, rollouts, *, seed):
            values = np.random.default_rng(seed).random(len(rollouts))
            return Signal(overseer=self.card.digest, values=tuple(map(float, values)))

    assert "order does not matter" in failures(Batch(), problems, rollouts)
