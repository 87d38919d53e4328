"""What researchers add: how many ideas there are, uplift over chance, and rungs an hour of a person and of a program."""

import math
from typing import Any

import pytest

from superalign.lab.hours import timed
from superalign.lab.pace import Pace, effective_ideas, pace_table, paces, uplift
from superalign.researcher.notebook import Entry, Notebook
from superalign.types import Interval, Unmeasured
from tests.researcher.test_notebook import entry


def test_the_effective_number_of_ideas() -> None:
    assert effective_ideas(["a", "b", "c", "d"]) == pytest.approx(4)
    assert effective_ideas(["a"] * 98 + ["b"] * 2) == pytest.approx(
        math.exp(-0.98 * math.log(0.98) - 0.02 * math.log(0.02))
    )


def test_uplift_over_random_has_an_interval_over_questions() -> None:
    def of(question: str, wins: int) -> list[Entry]:
        made = [
            entry(i, "better" if i < wins else "not better", 0.5, question=question, researcher="a") for i in range(4)
        ]
        return made + [entry(i, "not better", 0.5, question=question, researcher="random") for i in range(4)]

    found = uplift(Notebook(entries=(*of("p", 1), *of("q", 2), *of("s", 1))), "a")
    assert isinstance(found, Interval)
    assert found.value == pytest.approx(1 / 3)
    assert found.n == 3
    assert isinstance(uplift(Notebook(entries=tuple(of("p", 1))), "a"), Unmeasured)


def climbed(question: str, who: str, words: str, seconds: float = 0.0) -> list[Entry]:
    """Submissions of somebody to a question, + for a rung."""
    said: dict[str, Any] = {"hypothesis": timed("h", seconds)} if seconds else {}
    word = {"+": "better", "-": "not better"}
    return [entry(i, word[w], 0.5, question=question, researcher=who, **said) for i, w in enumerate(words)]


def test_rungs_an_hour_of_a_person_beside_a_program() -> None:
    """A person thinks half an hour over each submission; a program takes 36 s of processor time for each."""
    entries = []
    for question, mine in (("p", "++-"), ("q", "+-"), ("twin", "--")):
        entries += climbed(question, "person", mine, 1800) + climbed(
            question, "random", "+---" if question != "twin" else "----"
        )
    found = paces(Notebook(entries=tuple(entries)), {"random": 36.0}, {"p": False, "q": False, "twin": True})
    by = {(p.researcher, p.twins): p for p in found}
    person, program = by["person", False], by["random", False]
    assert (person.questions, person.submissions, person.rungs, person.hours) == (2, 5, 3, 2.5)
    assert isinstance(person.by_hour, Interval)
    assert person.by_hour.value == pytest.approx((2 / 1.5 + 1 / 1) / 2)  # over questions
    assert program.rungs / 0.08 == pytest.approx(25)
    assert isinstance(program.uplift, Unmeasured)  # over itself
    assert isinstance(person.uplift, Interval)
    assert person.uplift.value == pytest.approx((2 / 1.5 + 1) / 2 - 25)
    assert (by["person", True].rungs, by["random", True].rungs) == (0, 0)  # the null
    assert len(pace_table(found).rows) == 4


def test_hours_that_nobody_told_are_unmeasured() -> None:
    entries = climbed("p", "person", "+-") + climbed("q", "person", "+", 60)
    (found, _) = paces(Notebook(entries=tuple(entries)), {}, {"p": False, "q": False})
    assert isinstance(found, Pace)
    assert (found.submissions, found.rungs) == (3, 2)
    assert isinstance(found.hours, Unmeasured)
    assert isinstance(found.by_hour, Unmeasured)
