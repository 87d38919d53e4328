"""The shared notebook: what an answer says of a method, and what is read of it."""

from typing import Any

import pytest

from superalign.researcher.notebook import Entry, Notebook
from superalign.researcher.programs import Program, english
from superalign.types import Answer, Plan, Unmeasured

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
