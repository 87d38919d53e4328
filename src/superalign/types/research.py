"""What a researcher and the vault say to one another: questions, plans, answers, findings. No scores of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from superalign.types.base import Interval, Record, Unmeasured

Tier: TypeAlias = Literal["climb", "confirm", "sealed"]
Metric: TypeAlias = Literal["area", "share", "recall", "judged"]
Form: TypeAlias = Literal["code", "weights"]
# All that the vault ever says. What went wrong is a word of this list: an error's text could carry data.
Word: TypeAlias = Literal[
    "better",  # climb: above the best so far by more than a step; the score follows
    "not better",  # climb: the best score so far is repeated
    "passed",  # confirm
    "not passed",
    "revealed",  # sealed: opened, once
    "unmeasured",  # it crashed, ran out of time or memory, or gave no scores; charged all the same
    "unchanged",  # this artefact, or one that behaves alike, was submitted before; charged all the same
    "refused",  # a monitor, or a person, did not let it run
    "used up",  # no budget is left in this tier
    "not allowed",  # not registered, registered for another artefact or tier, or opened before
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Record):
    """One dial of the search space of a question."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Record):
    """A research problem as a researcher sees it: nothing here says whether it can be solved."""

    name: str  # opaque: a question and its impossible twin differ in a number that was drawn
    kind: str  # which of the research problems it is
    asks: str  # in words
    metric: Metric
    # An artefact is code that defines `solve(public, inputs, seed) -> scores`; both are dicts of arrays.
    arrays: tuple[tuple[str, str], ...]  # name of an array -> what it holds, with its shape
    published: str  # the baseline that a finding must beat: method, paper and year
    baseline: str  # its source
    space: tuple[Choice, ...] = ()
    climbs: int = 0  # submissions that the vault answers, of whoever shares its answers
    tries: int = 0  # at confirmation


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Record):
    """What is to be submitted, and what is expected of it, before there is an answer. Its digest is the ticket."""

    question: str
    researcher: str
    hypothesis: str
    family: str  # of methods, in a word: diversity is counted over these
    predicted: float  # gain over the baseline that is expected
    artefact: str  # sha256 of its bytes
    tier: Tier
    number: int  # of the researcher's own plans: the same artefact twice is two plans
    cites: tuple[str, ...] = ()  # tickets that it builds on


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Record):
    """All that comes back for a ticket."""

    ticket: str
    tier: Tier
    word: Word
    score: float | Unmeasured  # climb: the best released so far, rounded to a step; else that there is none
    left: int  # submissions of this tier that are still answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Record):
    """What the sealed tier showed of one registered claim, published whatever its sign, and signed by the vault."""

    ticket: str
    question: str
    gain: Interval | Unmeasured  # over the published baseline, on a family that was never searched
    baseline: Interval | Unmeasured
    replicated: bool | Unmeasured  # the interval excludes zero, on seeds that the vault drew
    head: str = ""  # of the vault's ledger when it was opened
    signature: str = ""  # Ed25519 over the digest of the rest, in hex
