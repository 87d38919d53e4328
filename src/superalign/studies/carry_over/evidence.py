"""Where a behaviour that was trained in one form shows, beside the same training without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(Record):
    """One behaviour, trained in one form, looked for in one form."""

    behaviour: str
    trained_in: str
    tested_in: str
    rate: Estimate  # share of problems that it is about on which it shows
    null: Estimate  # the same after as much training on ordinary replies
    untouched: Estimate  # the same before any
    above: Estimate  # rate minus null
    below_home: Estimate  # rate in the form that it was trained in, minus this one
    over: Estimate  # share of problems that it is not about on which it shows
    apart: Estimate  # rate minus that
    able: Estimate  # share of ordinary replies, apart from the behaviour
    able_null: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended(Record):
    """What examples of another language change: with the behaviour, or of ordinary replies."""

    added: int
    acts: bool  # whether the behaviour is in them
    there: Estimate  # rate in the other language
    home: Estimate
    change: Estimate  # in the other language, against no examples
    home_change: Estimate
    able: Estimate  # in the other language
    over: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Record):
    """What a model did before anything was trained."""

    who: str
    form: str
    able: Estimate  # share of ordinary replies


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
