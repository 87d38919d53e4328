"""Asking a tiny chat model inside templates: turns that it fills itself, and the same replies at every asking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.errors import BadInput
from superalign.lab.compliance import OUTCOMES
from superalign.lab.template_replies import ReplyJob, ask, filled, opened, requests_of, rows_for
from superalign.models import Sampling, sample_prompts, with_sampling
from superalign.problems.templates import BUILT_IN, PLAIN

TOLD = ("Name a river in Europe.", "How do I boil an egg?", "Name a river in Asia.")


def job(model: str, template: int = -1, **more: object) -> ReplyJob:
    given = {"model": model, "base": model, "requests": TOLD, "n": 1, "tokens": 6, "seed": 3, **more}
    return ReplyJob(template=PLAIN if template < 0 else BUILT_IN[template], **given)  # type: ignore[arg-type]


def test_an_open_turn_is_filled_with_the_likeliest_reply_to_what_stands_before_it(tiny_chat: str) -> None:
    model = opened(tiny_chat, tiny_chat)
    foot = next(t for t in BUILT_IN if t.name == "foot in the door")
    chats = [foot.around(text) for text in TOLD]
    out = filled(model, chats, tokens=6, seed=0)
    greedy = with_sampling(model, Sampling(temperature=0.0, max_tokens=6))
    for chat, done in zip(chats, out, strict=True):
        assert done[1] == ("assistant", sample_prompts(greedy, [chat[0][1]], n=1, seed=5).text_R[0])
        assert done[1][1]
        assert (done[0], done[2]) == (chat[0], chat[2])


def test_what_stands_before_the_request_is_said_once_for_all(tiny_chat: str) -> None:
    model = opened(tiny_chat, tiny_chat)
    warm = next(t for t in BUILT_IN if t.name == "warm-up")
    out = filled(model, [warm.around(text) for text in TOLD], tokens=6, seed=0)
    assert len({chat[1] for chat in out}) == 1
    assert len({chat[2] for chat in out}) == 3


def test_turns_that_are_given_are_left_and_are_read_by_the_model(tiny_chat: str) -> None:
    model = opened(tiny_chat, tiny_chat)
    given = next(t for t in BUILT_IN if t.name == "given consent")
    chats = [given.around(text) for text in TOLD]
    assert filled(model, chats, tokens=6, seed=0) == chats
    short = with_sampling(model, Sampling(max_tokens=6))
    inside = sample_prompts(short, chats, n=1, seed=0)
    alone = sample_prompts(short, [(chat[-1],) for chat in chats], n=1, seed=0)
    assert list(alone.text_R) == list(sample_prompts(short, TOLD, n=1, seed=0).text_R)
    assert list(inside.text_R) != list(alone.text_R)


def test_the_same_is_asked_twice_with_the_same_outcome_and_in_any_lot(tiny_chat: str) -> None:
    once, again = ask(job(tiny_chat, n=4)), ask(job(tiny_chat, n=4, time="again"))
    assert once.at == again.at
    assert len(once.at) == 3
    assert all(len(some) == 4 and set(some) <= set(range(len(OUTCOMES))) for some in once.at)
    assert ask(job(tiny_chat, n=4, requests=TOLD[1:])).at == once.at[1:]


def test_a_chat_template_that_takes_one_turn_refuses_several_in_one_message(tiny_chat: str, tmp_path: Path) -> None:
    one = tmp_path / "one.jinja"
    one.write_text(
        "{% if messages|length > 2 %}{{ raise_exception('one turn alone') }}{% endif %}"
        "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    name = f"{tiny_chat}?template={one}"
    consent = next(i for i, t in enumerate(BUILT_IN) if t.name == "given consent")
    with pytest.raises(BadInput, match=r"cannot write a chat of 3 turns \(one turn alone\)"):
        ask(job(name, consent))


def test_long_templates_are_asked_in_smaller_lots() -> None:
    assert rows_for([(("user", "x" * 100),)], 24) == 64
    assert 4 <= rows_for([(("user", "x" * 8000),)], 24) < 16


def test_requests_are_different_of_every_harm_and_from_both_halves(tmp_path: Path) -> None:
    rows = [{"text": f"Request number {i}?", "harm": harm} for harm in ("harmful", "harmless") for i in range(200)]
    rows = [row | {"text": f"{row['harm']} {row['text']}"} for row in rows]
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [*rows, *rows[:50]]))
    found = requests_of(f"instructions:{path}", each=10, seed=0)
    assert len({r.text for r in found}) == len(found) == 40
    assert {(r.harm, r.test) for r in found} == {(h, t) for h in ("harmful", "harmless") for t in (True, False)}
    assert (
        found
        == requests_of(f"instructions:{path}", each=10, seed=0)
        != requests_of(f"instructions:{path}", each=10, seed=1)
    )
