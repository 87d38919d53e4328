"""A real model on real text: it holds what is true better than it says it. Which protocol brings out how much of that?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, MinLen

from superalign.kit.study import Count, Study, check_problems

KINDS = ("statements", "choices", "steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Who judges and who speaks, and on which text."""

    problems: str = ""
    """Text that is true or false: statements:PATH with negations; choices:PATH, answers to questions; steps:PATH, solutions."""
    policy: str = "smollm2"
    """The model that judges, and whose states are read."""
    agent: str = ""
    """The model that argues and thinks aloud; the policy if not given."""
    topics: Annotated[tuple[str, ...], MinLen(1)] = ("cities", "sp_en_trans", "facts", "animal_class")
    """Topics of statements, as their files are called; questions and solutions are drawn from all."""
    head: Annotated[int, Ge(16)] = 80
    """Training statements of a topic and polarity that the trained head is fitted to, and judges are tuned on."""
    train: Annotated[int, Ge(8)] = 8
    """Further training statements of each, by which thresholds are set."""
    test: Annotated[int, Ge(16)] = 24
    """Test statements of each."""
    votes: Count = 3
    """Thoughts that are sampled of each statement, for voting; the first is the agent's own."""
    words: Count = 16
    """Tokens of a thought or an argument at most."""
    updates: Count = 40
    """Of each tuned judge, 16 statements at a time."""
    longest: Count = 800
    """Characters of a statement, question or solution; longer ones are left out."""
    every: Count = 3
    """Layers from one that is read to the next."""


def check(config: Config) -> None:
    """Refuse anything but text that is known to be true or false."""
    names = "no text that is known to be true or false"
    check_problems(config.problems, KINDS, "Nothing could be judged", names=names)


STUDY = Study(
    question="A real model holds truth better than it says it: which protocol brings out how much, on real text?",
    paper="Kenton et al., On scalable oversight with weak LLMs judging strong LLMs, 2024 (arXiv 2407.04622)",
    config=Config,
    quick={
        "topics": ("cities", "sp_en_trans"),
        "head": 64,
        "test": 16,
        "votes": 2,
        "words": 12,
        "updates": 16,
        "every": 6,
    },
    check=check,
)
