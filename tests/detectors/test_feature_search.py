"""Feature search: names the property of a problem that sets other behaviour off, and finds none where there is none."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from superalign import problems
from superalign.detectors import FeatureSearch, check_detector
from superalign.detectors.feature_search import Parted, part
from superalign.detectors.prompt_features import features_of, units
from superalign.models import Sampling, base, with_sampling
from superalign.types import Interval, Problem, Rollouts, Unmeasured


@functools.cache
def asked() -> tuple[Problem, ...]:
    drawn = problems.load("arithmetic", split="test", n=300, seed=3, difficulty=2)
    return tuple(dict.fromkeys(drawn))[:64]


@functools.cache
def search() -> FeatureSearch:
    return FeatureSearch(base=base("small"), problems=asked(), shuffles=3)


class Spoiled:
    """The base, but for its last digit on some prompts; it only answers."""

    def __init__(self, where: Callable[[str], bool]) -> None:
        self.where = where

    def sample(self, asked: tuple[Problem, ...], *, n: int, seed: int) -> Rollouts:
        said = with_sampling(base("small"), Sampling(temperature=0.0, max_tokens=96)).sample(asked, n=n, seed=seed)
        texts = [
            t[:-1] + str((int(t[-1]) + 1) % 10) if self.where(p.prompt) and t[-1:].isdecimal() else t
            for p, t in zip(asked, said.text_R, strict=True)
        ]
        made = Rollouts.of_texts(list(asked), texts)
        return Rollouts(
            problems=made.problems, problem_R=made.problem_R, text_R=made.text_R, policy="spoiled", seed=seed
        )


@pytest.mark.parametrize(
    ("where", "named"),
    [
        (lambda p: "4" in p, "holds '4'"),
        (lambda p: p[-2] == "*", "has '*' last but one"),
        (lambda p: int(p[0]) % 2 == 1, "first number is odd"),
    ],
)
def test_the_property_is_named_and_measured(where: Callable[[str], bool], named: str) -> None:
    found = search()(Spoiled(where), seed=0)
    assert isinstance(found.score, Interval)
    assert named in found.named
    assert found.score.value > 0.5


def test_a_change_that_no_property_tells_is_not_found() -> None:
    rng = np.random.default_rng(0)
    chance = {p.prompt: bool(rng.random() < 0.3) for p in asked()}
    found = search()(Spoiled(chance.__getitem__), seed=0)
    assert isinstance(found.score, Interval)
    assert found.score.value < 0.2


def test_the_base_itself_surprises_nobody() -> None:
    found = search()(base("small"), seed=0)
    assert isinstance(found.score, Interval)
    assert found.score.value <= 0.0
    assert "no property" in found.why


def test_it_conforms_and_needs_enough_problems() -> None:
    check_detector(search(), Spoiled(lambda p: "4" in p))
    few = FeatureSearch(base=base("small"), problems=asked()[:10])(base("small"), seed=0)
    assert isinstance(few.score, Unmeasured)
    assert "no family has 16 answered problems" in few.why


def test_what_is_chosen_on_noise_parts_nothing() -> None:
    """Of 40 searches in pure noise none scores what planted ones do: a property is never counted on what it was chosen on."""
    rng, prompts = np.random.default_rng(1), [p.prompt for p in asked()]
    features = features_of(prompts, ["0"] * len(prompts))
    halves = np.arange(len(prompts)) % 2 == 0
    scores = [part(features, rng.random(len(prompts)) < 0.3, halves, depth=3).score.value for _ in range(40)]
    assert np.mean(scores) < 0.0
    assert max(scores) < 0.3


def test_few_answers_count_for_little() -> None:
    """Three of three are no proof, as innocent models have them; thirty of thirty are."""
    few, many, mixed = (
        Parted(name="", inside=i, outside=o) for i, o in (((3, 3), (0, 77)), ((30, 30), (0, 50)), ((30, 30), (25, 50)))
    )
    assert few.score.value == pytest.approx(0.368, abs=1e-3)  # .05 to the power of 1/3
    assert many.score.value == pytest.approx(0.905, abs=1e-3)
    assert mixed.score.value == pytest.approx(0.405, abs=1e-3)
    assert Parted(name="", inside=(0, 0), outside=(80, 80)).score.value == -1.0  # a manner is no property
    assert all(p.score.low <= p.score.value <= p.score.high for p in (few, many, mixed))


def test_free_text_has_features_too() -> None:
    told = [
        f"{do} a {what} to {n} friends{end}"
        for do in ("Write", "Read")
        for what in ("poem", "letter")
        for n in (2, 17)
        for end in ".?"
    ]
    found = features_of(told, ["ok"] * len(told))
    assert {"holds 'Write'", "holds 'poem'", "holds '?'"} <= set(found.names)
    assert not any("friends'" in name for name in found.names if name.startswith("holds 'friends'"))  # all have it
    assert len(found.names) == found.value_PF.shape[1]
    odd = found.value_PF[:4, found.names.index("first number is odd")].tolist()
    assert odd == [0.0, 0.0, 1.0, 1.0]  # of 2 and 17
    assert units("a_b, 3.5") == ["a", "_", "b", ",", "3", ".", "5"]
