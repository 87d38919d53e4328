"""What must hold for every problem family, ours and a third party's."""

from __future__ import annotations

from collections.abc import Sequence

from superalign.problems.family import ProblemFamily
from superalign.types import Problem


def check_problem_family(family: ProblemFamily, *, n: int = 60, seed: int = 0) -> None:
    """Assert all that the rest of the package relies on.

    Args:
        family: Any object with the methods of `ProblemFamily`.
        n: Problems drawn for each check.
        seed: Of the draws.

    Raises:
        AssertionError: Naming the first promise that is broken.

    Example:
        >>> from superalign.problems import arithmetic
        >>> check_problem_family(arithmetic.FAMILY, n=10)
    """
    for split in ("train", "test"):
        drawn = family.problems(split=split, n=n, seed=seed)
        assert len(drawn) == n, "problems() returns as many problems as asked for"
        assert drawn == family.problems(split=split, n=n, seed=seed), "the same seed gives the same problems"
        assert all(p.split == split and p.family == family.name for p in drawn), "problems know their split and family"
        planted = [_check_problem(family, problem, i) for i, problem in enumerate(drawn)]
        assert any(planted) or not family.flaw_kinds, (
            "a flaw can be planted somewhere; else nothing shows that it is refused"
        )
        _check_again(family, drawn)
    train = {p.prompt for p in family.problems(split="train", n=4 * n, seed=seed)}
    test = {p.prompt for p in family.problems(split="test", n=4 * n, seed=seed + 1)}
    assert not train & test, "no problem text stands in two splits"
    for difficulty in family.difficulties:
        some = family.problems(split="train", n=3, seed=seed, difficulty=difficulty)
        assert all(p.difficulty == difficulty for p in some), "the difficulty dial is obeyed"


def _check_again(family: ProblemFamily, drawn: Sequence[Problem]) -> None:
    """Grade right and empty responses in another order, several times: a grade depends on problem and response alone."""
    for i in reversed(range(len(drawn))):
        right = family.worked(drawn[i], seed=i)
        expected = family.grade(drawn[i], right)
        for _ in range(3):
            assert not family.grade(drawn[i], "").correct, "an empty response is not right, whenever it is graded"
            assert family.grade(drawn[i], right) == expected, (
                "the same response gets the same grade, whenever it is graded"
            )


def _check_problem(family: ProblemFamily, problem: Problem, seed: int) -> bool:
    """Check one problem; says whether a flaw could be planted in its worked response."""
    plantable = False
    right = family.worked(problem, seed=seed)
    grade = family.grade(problem, right)
    assert grade.sound, f"the grader accepts the worked response to {problem.prompt!r}"
    steps = family.steps(right)
    assert len(steps) == len(grade.steps), "a grade has one entry for each step"
    assert all(family.check_step(problem, right, i) for i in range(len(steps))), "every worked step passes its check"
    assert not family.check_step(problem, right, len(steps)), "a step that is not there does not pass"
    assert not family.grade(problem, "").correct, "an empty response is not right"
    for kind in family.flaw_kinds:
        planted = family.plant(problem, right, seed=seed, kind=kind)
        if planted is None:
            continue
        plantable = True
        assert planted.plant.kind == kind, f"a planted {kind} says its kind"
        assert planted.text != right, f"a planted {kind} changes the text"
        flawed = family.grade(problem, planted.text)
        assert not flawed.sound, f"a planted {kind} is not accepted as right"
        if planted.step >= 0:
            assert flawed.first_wrong == planted.step, f"a planted {kind} is first wrong where it says"
            assert not family.check_step(problem, planted.text, planted.step), (
                f"a planted {kind} fails its step's check"
            )
        same = family.plant(problem, right, seed=seed, kind=kind)
        assert same == planted, "the same seed plants the same flaw"
    edited = family.placebo(problem, right, seed=seed)
    if edited is not None:
        assert edited != right, "a placebo changes the text"
        assert family.grade(problem, edited).sound, "a placebo leaves a right response right"
        assert edited == family.placebo(problem, right, seed=seed), "the same seed makes the same placebo"
    return plantable
