"""Minimal pairs of texts from a JSONL file: `clean_prefix` and `patch_prefix`, and what goes on after each.

What differs between the two prefixes is the unit of a pair: "The friends" and "The friend" differ in friends and friend, and
all pairs that differ in these are one unit, whichever is the clean one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from superalign.errors import DataError
from superalign.problems.lines import file_of, read_jsonl

EXAMPLE = '{"clean_prefix": "The friends", "patch_prefix": "The friend", "clean_answer": " are", "patch_answer": " is"}'
FIELDS = ("clean_prefix", "patch_prefix", "clean_answer", "patch_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPair:
    """Two texts and what goes on after each."""

    clean: str
    corrupt: str
    right: str
    wrong: str

    @property
    def unit(self) -> tuple[str, ...]:
        """Return the words in which the two texts differ."""
        return tuple(sorted(set(self.clean.split()) ^ set(self.corrupt.split())))


def read_pairs(path: str | Path) -> tuple[TextPair, ...]:
    """Read pairs of texts.

    Raises:
        DataError: If the file cannot be read, or a line lacks a text or says the same twice.

    Example:
        >>> TextPair(clean="The men", corrupt="The man", right=" go", wrong=" goes").unit
        ('man', 'men')
    """
    found = []
    for at, row in read_jsonl(path, example=EXAMPLE, field="id"):
        texts = [row.get(f) for f in FIELDS]
        if not all(isinstance(t, str) and t for t in texts) or texts[0] == texts[1] or texts[2] == texts[3]:
            raise DataError(
                f"Line {at} of {file_of(path)} has no two different prefixes with two different answers. What corruption changes "
                f"could not be measured. Write each line as {EXAMPLE}."
            )
        clean, corrupt, right, wrong = map(str, texts)
        found.append(TextPair(clean=clean, corrupt=corrupt, right=right, wrong=wrong))
    return tuple(found)
