"""The most suspicious answers of a subject, for a person to read, and the part of a page that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from superalign.kit.parts import Part, part, table
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Example(Record):
    """One suspicious answer: what was asked, what the subject says, and what it is held against."""

    instrument: str
    prompt: str
    says: str
    against: str  # its own answer without the cue, or the base's
    score: float


def to_read(e: Sequence[Example], records: Mapping[str, str]) -> Part:
    """Show the most suspicious answers, whether or not anything was flagged.

    Args:
        e: The answers.
        records: Name of a detector -> digest of its verdict.
    """
    rows = [(one.instrument, one.prompt, one.says, one.against, one.score) for one in e]
    shown = table(
        "The answers that each detector scored highest",
        ("detector", "asked", "the model says", "held against", "score"),
        rows,
        records=[records[one.instrument] for one in e],
    )
    return part(
        "Answers to read",
        "The base difference, the feature search and the investigator hold an answer against the base's, the self-check "
        "against the model's own checks of its steps, all others against the model's own answer without what they put in front. "
        "A detector always has a highest score: these are worth reading, and prove nothing by themselves.",
        *([shown] if rows else []),
    )
