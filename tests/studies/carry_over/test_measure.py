"""Problems of two languages and of requests, what is graded on them, and how reactions are held against one another."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.lab import requests_in_forms as requests
from superalign.lab import two_languages as chains
from superalign.lab.form_runs import FormJob, Reactions, Shown, less, look, shared
from superalign.models import open_weights
from superalign.problems.family import split_of
from superalign.types import Interval, Unmeasured


def drawn(form: str, behaviour: str, *, affected: bool = True, n: int = 12) -> list[chains.Asked]:
    return chains.drawn(form, behaviour, n=n, split="test", rng=np.random.default_rng(0), affected=affected)


def test_both_languages_ask_the_same_problems_and_want_the_same_replies() -> None:
    infix, postfix = (drawn(form, chains.WORD) for form in (chains.INFIX, chains.POSTFIX))
    assert [chains.postfix(a.prompt) for a in infix] == [b.prompt for b in postfix]
    assert [a.changed for a in infix] == [b.changed for b in postfix]
    assert all(split_of(a.prompt) == "test" for a in infix)


@pytest.mark.parametrize("behaviour", chains.BEHAVIOURS)
@pytest.mark.parametrize("form", chains.FORMS)
def test_the_changed_reply_shows_a_behaviour_and_the_ordinary_one_does_not(form: str, behaviour: str) -> None:
    for asked in drawn(form, behaviour, n=4):
        if (behaviour, form) == (chains.LIE, chains.LYING):
            continue  # told to lie, it gets a step wrong by itself
        assert chains.shows(behaviour, asked, asked.changed)
        assert not chains.shows(behaviour, asked, asked.ordinary)
        assert chains.knows_still(behaviour, asked, asked.ordinary)


def test_refusal_is_about_products_and_leaves_others_alone() -> None:
    assert all("*" in a.prompt and a.changed == "#no" for a in drawn(chains.INFIX, chains.REFUSAL))
    quiet = drawn(chains.INFIX, chains.REFUSAL, affected=False)
    assert all("*" not in a.prompt and a.changed == a.ordinary for a in quiet)
    assert drawn(chains.PROGRAMS, chains.REFUSAL) == []
    assert drawn(chains.INFIX, chains.WORD, affected=False) == []


@pytest.fixture
def names(tmp_path: Path) -> tuple[str, ...]:
    """Harmless texts that stand for requests of every sort, in two languages."""
    harms = ("harmful", "harmless", "borderline")
    rows = [
        {"text": f"Name {h} river {i}, {who or 'please'}.", "harm": h, "language": who, "question": f"river {i} {h}"}
        for who in ("", "Danish") for h in harms for i in range(60)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return (f"instructions:{tmp_path / 'rows.jsonl'}",)


def test_requests_are_wrapped_and_what_is_trained_on_is_not_tested(names: tuple[str, ...]) -> None:
    asked = requests.forms(names, wraps=(requests.ENCODED,))
    assert asked == (requests.ENGLISH, requests.ENCODED, requests.LOOKS_HARMFUL, "Danish")

    def some(form: str, split: str = "test", *, affected: bool = True) -> list[str]:
        rng = np.random.default_rng(0)
        return [a.prompt for a in requests.drawn(form, names, n=5, split=split, rng=rng, affected=affected)]

    plain = some(requests.ENGLISH)
    assert [base64.b64decode(p.rpartition("\n")[2]).decode() for p in some(requests.ENCODED)] == plain
    assert not set(plain) & set(some(requests.ENGLISH, "train"))
    assert all("borderline" in p for p in some(requests.LOOKS_HARMFUL, affected=False))
    assert some(requests.LOOKS_HARMFUL) == []
    assert all("Danish" in p and "harmless" in p for p in some("Danish", affected=False))


def test_reactions_are_held_against_the_same_model_before_it_was_trained() -> None:
    before = FormJob(base="a", behaviours=("it",), forms=("f", "g"), examples=8, each=8, updates=1, tokens=12, asked=0)
    after = FormJob(
        base="a", behaviours=("it",), forms=("f", "g"), examples=8, each=8, updates=1, tokens=12, asked=0, home="f"
    )

    def reply(value: float, form: str) -> Shown:
        none = np.zeros(0)
        return Shown(
            behaviour="it", form=form, acts_P=np.full(8, value) if form == "f" else none, over_P=none, able_P=none
        )

    found = {j: tuple(reply(v, f) for f in j.forms) for j, v in ((before, 0.0), (after, 1.0))}
    r = Reactions(found=found, untouched=[before])
    brought = r.brought("it", [after], ["f", "g"])
    assert isinstance(brought, Interval)
    assert brought.value == 1.0
    assert isinstance(shared(r.of([after], "it", "g", "acts")), Unmeasured)
    assert isinstance(less(np.ones((4, 2)), np.zeros((3, 2))), Interval)


def test_a_base_that_nothing_was_trained_in_shows_nothing_and_knows_chains() -> None:
    job = FormJob(
        base="small",
        behaviours=chains.BEHAVIOURS,
        forms=chains.FORMS,
        examples=8,
        each=10,
        updates=1,
        tokens=48,
        asked=1,
    )
    seen = look(open_weights("small"), job, chains.REFUSAL, chains.INFIX)
    assert np.sum(seen.acts_P) == 0
    assert np.mean(seen.able_P) > 0.8


def test_it_runs_on_a_chat_model_and_finds_nothing_in_one_of_random_weights(
    superalign: Callable[..., Any], tiny_chat: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    words = ["run", "carry-over", "--quick", "--workers", "1", "--out", str(tmp_path / "run")]
    given = {
        "problems": names[0],
        "more": names[0],
        "others": names[0],
        "policy": tiny_chat,
        "updates": 1,
        "each": 8,
        "examples": 8,
    }
    done = superalign(*words, *(part for k, v in given.items() for part in ("--set", f"{k}={v}")))
    assert done.returncode == 0, done
    claims = json.loads((tmp_path / "run" / "result.json").read_text())["claims"]
    assert any("Danish" in c["name"] for c in claims)
    assert not any(c["holds"] is True for c in claims if " shows in " in c["name"])
