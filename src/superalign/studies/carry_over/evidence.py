"""Where a behaviour that was trained in one form shows, beside the same training without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from superalign.kit.evidence import Estimate
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(Record):
    """One behaviour, trained in one form, looked for in one form."""

    behaviour: str
    trained_in: str
    tested_in: str
    rate: Annotated[Estimate, "shows"]  # share of problems that it is about
    null: Annotated[Estimate, "after ordinary training"]  # as much of it, on ordinary replies
    untouched: Estimate  # before any
    above: Annotated[Estimate, "shows minus ordinary"]
    below_home: Annotated[Estimate, "home minus here"]
    over: Annotated[Estimate, "shows where it should not"]  # share of problems that it is not about
    apart: Annotated[Estimate, "minus that"]
    able: Annotated[Estimate, "ordinary replies, apart from it"]
    able_null: Annotated[Estimate, "the same after ordinary training"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended(Record):
    """What examples of another language change: with the behaviour, or of ordinary replies."""

    added: Annotated[int, "examples added"]
    shows: Annotated[Literal["it", "ordinary"], "what they show"]
    there: Annotated[Estimate, "rate there"]  # in the other language
    home: Annotated[Estimate, "rate at home"]
    change: Annotated[Estimate, "change there"]  # against no examples
    home_change: Annotated[Estimate, "change at home"]
    able: Annotated[Estimate, "ordinary replies there"]
    over: Annotated[Estimate, "shows there where it should not"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Record):
    """What a model did before anything was trained."""

    who: Annotated[str, "model"]
    form: str
    able: Annotated[Estimate, "ordinary replies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All cells."""

    chains: bool
    homes: tuple[str, ...]
    seeds: int
    examples: int
    each: int
    known: tuple[Known, ...]
    cells: tuple[Cell, ...]
    quiet: Mapping[str, Estimate]  # "behaviour, home" -> ordinary training minus none, over all forms
    mended_in: tuple[str, str, str]  # behaviour, home, other language
    mended: tuple[Mended, ...]
