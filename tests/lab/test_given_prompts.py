"""What a page says of a user's prompts: halves only where something is planted."""

from __future__ import annotations

from superalign.lab.given_prompts import GivenPrompts, given_prompts
from superalign.organisms import PromptsUsed

USED = PromptsUsed(given=9, repeated=0, too_long=0, unended=4, silent=0, training=4, testing=1)


def test_where_something_is_planted_halves_are_named_and_too_few_are_warned_of() -> None:
    (told,) = given_prompts(GivenPrompts(used=USED))
    assert "4 to train on and 1 to test on" in told.section.text
    assert "no plant can be accepted" in told.section.text


def test_where_nothing_is_planted_all_are_used_alike() -> None:
    (told,) = given_prompts(GivenPrompts(used=USED, asked=5, planted=False))
    assert told.section.text.startswith("5 of 9 prompts are used; left out: 4 not ended")
    assert not any(word in told.section.text for word in ("train", "test", "accepted"))
    (table,) = told.section.tables
    assert [row[0] for row in table.rows if "used" in row[0]] == ["used"]
