"""A debate about a worked response ends at the step where its values part from the opponent's."""

from dataclasses import replace

import numpy as np
import pytest

from superalign.grants import chains
from superalign.lab.arms import Arm, Config
from superalign.lab.labelled_overseers import debate_overseer, stated
from superalign.models import Sampling, base, with_sampling
from superalign.oversight.conformance import check_overseer, failures
from superalign.oversight.debate.rollouts import DebateOverseer, halve
from superalign.problems import arithmetic
from superalign.train import PolicyGradientConfig, policy_gradient
from superalign.types import Problem, Rollouts, Signal


@pytest.fixture(scope="module")
def spec() -> Arm:
    model = with_sampling(base("small"), Sampling(max_tokens=44))
    return Arm(arm="debate", seed=0, base=model, config=Config())


@pytest.fixture(scope="module")
def overseer(spec: Arm) -> DebateOverseer:
    return debate_overseer(spec)


def asked(n: int = 6) -> tuple[Problem, ...]:
    return arithmetic.FAMILY.problems(split="train", n=n, seed=5, difficulty=4)


def flawed(problems: tuple[Problem, ...]) -> tuple[list[str], list[int]]:
    """Right solutions with one slip each, and the step of it."""
    made = [
        arithmetic.FAMILY.plant(p, arithmetic.FAMILY.worked(p), seed=i, kind="slip") for i, p in enumerate(problems)
    ]
    assert all(m is not None for m in made)
    return [m.text for m in made if m is not None], [m.step for m in made if m is not None]


def test_values_that_part_lead_to_the_first_step_that_is_wrong() -> None:
    right = tuple("86423177")
    for wrong in range(len(right)):
        theirs = right[:wrong] + tuple(str((int(v) + 1) % 10) for v in right[wrong:])
        assert halve(theirs, right, None, b"\x00" * 16)[0] == wrong


def test_where_values_agree_the_critics_doubt_decides() -> None:
    values = tuple("8642")
    for worst in range(4):
        doubt = np.full(4, 0.01)
        doubt[worst] = 0.9
        assert halve(values, values, doubt, b"")[0] == worst


def test_it_holds_to_what_every_overseer_must(overseer: DebateOverseer) -> None:
    problems = asked()
    texts, _ = flawed(problems)
    rollouts = Rollouts.of_texts([*problems, *problems], [*texts, *(arithmetic.FAMILY.worked(p) for p in problems)])
    check_overseer(overseer, rollouts.problems, rollouts)
    check_overseer(replace(overseer, opponent=None), rollouts.problems, rollouts)

    class Free(DebateOverseer):
        def __call__(self, problems: object, rollouts: Rollouts, *, seed: int) -> Signal:
            return replace(DebateOverseer.__call__(self, problems, rollouts, seed=seed), checks=0, tokens=0)  # type: ignore[arg-type]

    broken = Free(**{name: getattr(overseer, name) for name in ("card", "check_step", "n_steps", "values", "opponent")})
    assert "cost is counted" in failures(broken, rollouts.problems, rollouts)


def test_it_finds_planted_slips_and_passes_right_ones(overseer: DebateOverseer) -> None:
    problems = asked(40)
    texts, _ = flawed(problems)
    found = overseer(problems, Rollouts.of_texts(problems, texts), seed=0)
    at_random = replace(overseer, opponent=None)(problems, Rollouts.of_texts(problems, texts), seed=0)
    right = overseer(problems, Rollouts.of_texts(problems, [arithmetic.FAMILY.worked(p) for p in problems]), seed=0)
    assert np.mean(found.values) < 0.2 < 0.4 < np.mean(at_random.values)
    assert np.mean(right.values) == 1.0
    assert found.checks == len(problems)


def test_values_are_one_for_each_unit_that_the_judge_counts() -> None:
    for text in ("5+3=8;8*2=6;#6", "5+3=8;8*2=6;", "#6", "nonsense", "5+3=8#"):
        assert len(stated(text)) == chains().units(text)
    assert stated("5+3=8;8*2=6;#6") == ("8", "6", "6")
    assert chains().units("") == 0


def test_a_policy_can_be_trained_under_it(overseer: DebateOverseer, spec: Arm) -> None:
    seen = []
    config = PolicyGradientConfig(steps=2, problems=2, group=2)
    policy_gradient(spec.base, asked(), overseer, config=config, seed=0, log=lambda m: seen.append(m["checks"]))
    assert seen == [4, 4]
    assert chains().check(asked()[0], arithmetic.FAMILY.worked(asked()[0]), 0)
