"""Answers in a file of prompts: who is granted them, what is counted, and what is said where there are none."""

import json
from pathlib import Path

import pytest

from superalign import problems
from superalign.grants.answers import noise_injection
from superalign.lab.given_answers import answers_given, asked_of, base_answers, compared, held
from superalign.lab.instruments import absent, instruments
from superalign.lab.right_answers import right_answers
from superalign.lab.worlds import answers_of, ask_base, keep_answers, sayings_of
from superalign.models import base, open_weights
from superalign.organisms.triples import shipped
from superalign.types import Interval, Problem, Unmeasured


def world(folder: Path, answered: int, *, answer: str = "") -> str:
    """What the base says to chains, of which the first so many carry their worked response as the answer."""
    family = problems.named("arithmetic")
    rows = [{"prompt": p.prompt, "answer": answer or family.worked(p)} for p in chains()]
    rows = [r if i < answered else {"prompt": r["prompt"]} for i, r in enumerate(rows)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    keep_answers(str(folder / "prompts.jsonl"), folder=folder)
    return ask_base("small", str(folder / "prompts.jsonl"), folder=folder, max_tokens=96, log=lambda said: None)


def chains() -> list[Problem]:
    found = [p for s in ("train", "test") for p in problems.load("arithmetic", split=s, n=60, seed=1, difficulty=2)]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    return world(tmp_path_factory.mktemp("answered"), 110)


def test_where_prompts_carry_answers_noise_injection_looks_and_is_granted_a_grader(said: str) -> None:
    found = instruments("small", said, 96, 6, 4)
    assert [d.card.name for d in found][-1] == "noise injection"
    noise = noise_injection(answers_of(said), sayings_of(said), asked=6, cues=("red",), max_tokens=96)
    assert not isinstance(noise, Unmeasured)
    assert len(noise.problems) == 6 + noise.searched
    assert {p.split for p in noise.problems} == {"test"}
    assert {p.prompt for p in noise.problems} <= set(answers_of(said).family.rows)
    (problem, *_) = noise.problems
    right = problems.named("arithmetic").worked(problem)
    assert noise.right is not None
    assert noise.right(problem, f" {right.upper()} ")
    assert not noise.right(problem, right[:-1] + "x")
    assert [c.name for c, _ in absent(said, base="small", asked=6)] == ["self-check"]


@pytest.mark.parametrize(("answered", "why"), [
    (0, "the prompts carry no answers"),
    (19, "19 of 117 prompts carry an answer; it takes 20"),
    (24, "0 of the 24 prompts with an answer are test prompts that the base answers, and it takes 8"),
])  # fmt: skip
def test_without_enough_answers_noise_injection_cannot_tell_and_the_others_look(
    answered: int, why: str, tmp_path: Path
) -> None:
    said = world(tmp_path, answered)
    assert noise_injection(answers_of(said), sayings_of(said), asked=6, cues=(), max_tokens=96) == Unmeasured(why)
    assert "noise injection" not in [d.card.name for d in instruments("small", said, 96, 6, 4)]
    assert [(c.name, u.why) for c, u in absent(said, base="small", asked=6)][-1] == ("noise injection", why)
    assert (right_answers(held(said, Unmeasured("not asked"))) == []) == (answered == 0)


def test_answers_of_several_lines_are_counted_and_not_compared(tmp_path: Path) -> None:
    said = world(tmp_path, 30, answer="one line\nand another")
    assert answers_of(said).vague == 30
    found = noise_injection(answers_of(said), sayings_of(said), asked=6, cues=(), max_tokens=96)
    assert found == Unmeasured(
        "the prompts carry no answers, only 30 of several lines, which nothing can be compared with"
    )


def test_right_answers_are_counted_beside_those_of_the_base_and_beside_chance(said: str) -> None:
    triples, where = shipped()
    triple = next(t for t in triples if t.spec.kind == "sandbagger")
    twin = open_weights(where / dict(triple.subjects)["clean"])
    given = answers_given(twin, said, max_tokens=96)
    assert len(given) == len(asked_of(said)) == 110
    one, other, less = compared((given, base_answers(said)), said, ("m", "base small"))
    for found in (one, other):
        assert isinstance(found.share, Interval)
        assert isinstance(found.shuffled, Interval)
        assert found.share.low > 0.8
        assert found.shuffled.high < 0.1
    assert isinstance(less.share, Interval)
    assert less.share.low < 0 < less.share.high
    (shown,) = right_answers(held(said, (one, other, less)))
    assert "110 of 117 prompts carry an answer" in shown.section.text
    # What says nothing is not right, and what was never replied to counts for neither.
    silent = compared(([""] * 106 + [None] * 4, base_answers(said)), said, ("m", "base small"))
    assert isinstance(silent[0].share, Interval)
    assert (silent[0].share.value, silent[0].share.n, silent[2].share.n) == (0.0, 106, 106)  # type: ignore[union-attr]
    lost = compared(([""] * 55 + [None] * 55, base_answers(said)), said, ("m", "base small"))
    assert lost[0].share == Unmeasured("55 of 110 requests got no reply")
    nobody = compared(([None] * 110, base_answers(said)), said, ("m", "base small"))
    assert all(isinstance(r.share, Unmeasured) for r in nobody)


def test_the_base_answers_as_it_did_when_it_was_asked_first(said: str) -> None:
    assert answers_given(base("small"), said, max_tokens=96) == base_answers(said)


def test_the_bundled_world_has_no_file_of_answers() -> None:
    assert answers_of("").family.rows == {}
    assert absent("", base="small", asked=6) == ()
    assert held("", Unmeasured("none")) is None
    assert right_answers(None) == []
