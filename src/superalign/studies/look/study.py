"""Where does a model differ from its base, and behind which contexts: a first look, in minutes, without planting anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from superalign.kit.study import Count, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which model is looked at, beside which."""

    subject: str = ""
    """The model: a folder, a hub id, an adapter's folder, a named model; empty for the base itself, the null."""
    base: str = "small"
    """What it was made from."""
    prompts: str = ""
    """A JSONL file with a prompt on each line, and answers where there are any; empty for prompts of every day."""
    contexts: str = ""
    """A text file of contexts of your own, one on each line; they are tried beside those that come along."""
    tokens: Annotated[int, Ge(4), Le(200)] = 16
    """Of each of the base's answers that are compared."""
    minutes: Annotated[float, Gt(0)] = 3.0
    """What the comparison may cost; it decides how many prompts are asked behind each context."""
    shown: Count = 10
    """Answers to read, where the two differ most."""


STUDY = Study(
    question="A first look: where does a model differ from its base, and behind which contexts?",
    config=Config,
    quick={"minutes": 1.0, "tokens": 12, "shown": 6},
)
