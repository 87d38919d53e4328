"""Every overseer of ours conforms; and for each check there is a broken overseer that it finds."""

import dataclasses

import numpy as np
import pytest

from superalign.oversight import OtherRollouts, RandomSteps, SameSteps, check_overseer, ground_truth, judge, oblivious
from superalign.oversight.conformance import CHECKS, failures
from superalign.types import Instrument, Unmeasured

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


def _by_place(signal, problems, rollouts, seed):
    return dataclasses.replace(signal, values=tuple(r / 100 for r in range(len(rollouts))))


_calls = []


def _moody(signal, problems, rollouts, seed):
    _calls.append(1)
    return dataclasses.replace(signal, values=tuple((len(_calls) % 7) / 7 for _ in signal.values))


def _peeks(signal, problems, rollouts, seed):
    getattr(problems[0], "answer", None)
    return signal


def _guesses(signal, problems, rollouts, seed):
    return dataclasses.replace(signal, values=tuple(0.0 if isinstance(v, Unmeasured) else v for v in signal.values))


def _drops(signal, problems, rollouts, seed):
    return dataclasses.replace(signal, values=tuple(v for v in signal.values if not isinstance(v, Unmeasured))[:-1])


def _free_repeats(signal, problems, rollouts, seed):
    return dataclasses.replace(signal, checks=5)


BROKEN = [
    ("has a card", {"spoil": _with(overseer="somebody else")}),
    ("has a card", {"card": dataclasses.replace(CARD, misses="")}),
    ("one value per rollout", {"spoil": _drops}),
    ("one value per rollout", {"spoil": _with(said=("one thing",))}),
    ("same seed, same signal", {"spoil": _moody}),
    ("order does not matter", {"spoil": _by_place}),
    ("declared range is kept", {"spoil": lambda s, *_: dataclasses.replace(s, values=(2.0,) * len(s.values))}),
    ("declared range is kept", {"card": dataclasses.replace(CARD, settings=())}),
    (
        "declared range is kept",
        {"spoil": lambda s, *_: dataclasses.replace(s, values=(Unmeasured("no"),) * len(s.values))},
    ),
    ("cost is counted", {"spoil": _with(checks=0)}),
    ("cost is counted", {"spoil": _free_repeats}),
    ("no answers", {"spoil": _peeks}),
    ("cannot tell is Unmeasured", {"spoil": _guesses}),
]


@pytest.mark.parametrize(("check_name", "broken"), BROKEN)
def test_each_check_can_fail(problems, rollouts, good, check_name, broken):
    found = failures(Broken(good, **broken), problems, rollouts)
    assert check_name in found
    with pytest.raises(AssertionError, match=check_name):
        check_overseer(Broken(good, **broken), problems, rollouts)


def test_every_check_is_covered_and_the_unspoilt_one_passes(problems, rollouts, good):
    assert {name for name, _ in BROKEN} == set(CHECKS)
    assert failures(Broken(good), problems, rollouts) == {}


def test_an_overseer_without_a_card_is_told_so(problems, rollouts, good):
    found = failures(lambda p, r, *, seed: good(p, r, seed=seed), problems, rollouts)
    assert "no card" in found["has a card"]


def test_chance_drawn_by_place_is_found(problems, rollouts):
    """The commonest mistake: one generator for the whole batch."""

    class Batch:
        card = oblivious().card

        def __call__(self, problems, rollouts, *, seed):
            values = np.random.default_rng(seed).random(len(rollouts))
            return oblivious()(problems, rollouts, seed=seed).__class__(
                overseer=self.card.digest, values=tuple(map(float, values))
            )

    assert set(failures(Batch(), problems, rollouts)) == {"order does not matter"}
