"""The shared notebook: what an answer says of a method, how many ideas there are, and what a researcher adds over chance."""

import math
from typing import Any

import pytest

from superalign.researcher.notebook import Entry, Notebook, effective_ideas, uplift
from superalign.researcher.programs import Program, english
from superalign.types import Answer, Interval, Plan, Unmeasured

UNTOLD = Unmeasured("not told")


def entry(number: int, word: Any = "not better", score: Any = UNTOLD, **changes: Any) -> Entry:
    fields = {
        "question": "q",
        "researcher": "r",
        "hypothesis": "h",
        "family": "f",
        "predicted": 0.1,
        "artefact": str(number),
    }
    plan = Plan(**{**fields, "tier": "climb", "number": number, **changes})
    answer = Answer(ticket=plan.digest, tier=plan.tier, word=word, score=score, left=1) if word else None
    return Entry(ticket=plan.digest, plan=plan, answer=answer)


def test_not_better_says_no_more_than_that_a_score_is_no_higher_than_the_best() -> None:
    first = entry(0, "better", 0.7, predicted=0.1)
    low, high = entry(1, score=0.7, predicted=0.0), entry(2, score=0.7, predicted=0.3)
    lost = [entry(3, word) for word in ("unmeasured", "refused", "")]
    notebook = Notebook(entries=(first, low, high, *lost, entry(9, "better", 0.9, question="other")))
    assert [pytest.approx(v) for _, v in notebook.values("q")] == [0.1, 0.0, 0.1]
    assert [e for e, _ in notebook.released("q")] == [first]


def test_programs_are_read_from_what_is_written_of_them() -> None:
    mine, script = entry(0, hypothesis=english(Program(fit="lda")), predicted=0.2), entry(1, hypothesis="an idea")
    assert Notebook(entries=(mine, script)).programs("q") == ((Program(fit="lda"), 0.2),)


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
