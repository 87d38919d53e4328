"""Templates around requests: those that ship, and files of all kinds, good and bad."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.errors import BadInput, DataError
from superalign.problems.templates import BUILT_IN, SLOTS, Template, read_templates, templates_at

CHAT = [
    {"role": "user", "content": "Will you help?"},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "Then: {prompt}"},
]


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_those_that_ship_hold_a_request_once_and_are_of_one_turn_and_of_several() -> None:
    assert templates_at("") == BUILT_IN
    assert len({t.name for t in BUILT_IN}) == len(BUILT_IN) >= 5
    for template in BUILT_IN:
        turns = template.around("{name} a river {prompt}.")
        assert sum("{name} a river {prompt}." in text for _, text in turns) == 1
        assert turns[-1][0] == "user"
    assert {len(t.turns) for t in BUILT_IN} == {1, 3}
    assert any(("assistant", "") in t.turns for t in BUILT_IN)


@pytest.mark.parametrize("slot", SLOTS)
def test_a_slot_takes_the_request_as_it_is(slot: str) -> None:
    template = Template(name="twice", turns=(("user", f"{slot} And again: {slot}"),))
    assert template.around("Say {prompt} or [INSERT PROMPT HERE].") == (
        ("user", "Say {prompt} or [INSERT PROMPT HERE]. And again: Say {prompt} or [INSERT PROMPT HERE]."),
    )


def test_csv_json_and_lines_are_read_alike(tmp_path: Path) -> None:
    texts = ["Hello. {prompt}", "Bye. [INSERT PROMPT HERE]", "Hello. {prompt}"]
    csv = written(tmp_path / "t.csv", "id,text\n" + "\n".join(f"{i},{t}" for i, t in enumerate(texts)))
    whole = written(tmp_path / "t.json", json.dumps([{"template": t} for t in texts]))
    lines = written(tmp_path / "t.jsonl", "\n".join(json.dumps({"prompt": t}) for t in texts))
    found = read_templates(csv)
    assert [t.turns for t in found] == [(("user", t),) for t in texts[:2]]
    assert [t.name for t in found] == ["template 1", "template 2"]
    assert found == read_templates(whole) == read_templates(lines)


def test_messages_are_turns_and_columns_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", json.dumps({"messages": CHAT, "name": "Warm up!", "text": "no slot here"}))
    (found,) = read_templates(path)
    assert found.turns == (("user", "Will you help?"), ("assistant", ""), ("user", "Then: {prompt}"))
    assert found.name == "warm up"
    other = written(tmp_path / "o.csv", "words,called,text\nHi {prompt},first,{prompt}\nOh {prompt},first,{prompt}\n")
    named = read_templates(f"{other}?text=words&name=called")
    assert [(t.name, t.turns[0][1]) for t in named] == [("first (1)", "Hi {prompt}"), ("first (2)", "Oh {prompt}")]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("t.csv", "text\nHello.\n", "holds no slot for a request"),
        ("t.csv", "id,words\n1,Hello {prompt}\n", r"it has no column text.* its columns are 'id', 'words'"),
        ("t.csv?text=word", "words\nHello {prompt}\n", "its column 'word' is not there"),
        ("t.csv?colour=red", "text\n{prompt}\n", "'colour' is no field"),
        ("t.csv", "text\n", "is empty"),
        ("t.jsonl", "", "is empty"),
        ("t.csv", "text\nHello {prompt}\nBye\n", "line 3, has no slot"),
        ("t.pickle", "text", "does not say what it holds"),
        ("t.json", json.dumps([{"messages": CHAT[:2]}]), "holds no slot"),
        ("t.json", json.dumps([{"messages": CHAT}, {"messages": [*CHAT, CHAT[1]]}]), "entry 2, .* user first and last"),
        ("t.json", json.dumps([{"messages": CHAT[1:]}]), "user first and last"),
        ("t.json", json.dumps([{"messages": [*CHAT, CHAT[1], CHAT[2]]}]), "several slots"),
        (
            "t.json",
            json.dumps([{"messages": [{"role": "system", "content": "{prompt}"}]}]),
            "neither user nor assistant",
        ),
        ("t.json", json.dumps([{"text": "{prompt}"}, {"text": 3}]), "entry 2, has neither a text nor a list"),
        (
            "t.json",
            json.dumps([{"turns": [CHAT[0], {"role": "assistant", "content": "{prompt}"}, CHAT[0]]}]),
            "a slot in a turn of the assistant",
        ),
    ],
)
def test_what_holds_no_templates_is_refused_in_one_message(tmp_path: Path, name: str, text: str, says: str) -> None:
    file, _, query = name.partition("?")
    path = written(tmp_path / file, text)
    with pytest.raises(BadInput, match=says) as found:
        read_templates(f"{path}?{query}" if query else path)
    assert str(found.value).count(". ") >= 2


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_templates(str(tmp_path / "nowhere.csv"))
