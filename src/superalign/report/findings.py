"""What a study returns: claims, decisions and evidence in plain records, which the page is drawn from.

Nothing here holds a time, so that the same seed gives the same study record, and a resumed run the same ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from superalign.errors import BadInput
from superalign.types import Claim, Decision, Interval, Record, Unmeasured

Cell: TypeAlias = str | int | float | bool | Interval | Unmeasured
PlotKind: TypeAlias = Literal["bars", "intervals", "line", "roc", "timeline", "cells", "points"]

# What each row of a plot must hold; the optional keys are listed under `Plot`.
ROW_KEYS: dict[str, tuple[str, ...]] = {
    "bars": ("label", "value"),
    "intervals": ("label", "value"),
    "line": ("series", "x", "y"),
    "roc": ("series", "x", "y"),
    "timeline": ("label", "start_s", "duration_s"),
    "cells": ("x", "y", "value"),
    "points": ("series", "x", "y"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Record):
    """Rows of words, numbers, intervals and reasons why there is no number."""

    title: str
    columns: tuple[str, ...]  # with units
    rows: tuple[tuple[Cell, ...], ...]
    records: tuple[str, ...] = ()  # one digest per row that its numbers come from, or empty
    sources: tuple[tuple[str, ...], ...] = ()  # one digest per cell where a cell has its own record, else empty

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.columns):
                raise BadInput(
                    f"Row {number} of the table {self.title!r} has {len(row)} cells for {len(self.columns)} columns. "
                    "Numbers would stand under the wrong heading. Give one cell per column."
                )
        if self.records and len(self.records) != len(self.rows):
            raise BadInput(
                f"The table {self.title!r} has {len(self.records)} digests for {len(self.rows)} rows. Numbers would be "
                "linked to the wrong record. Give one digest per row, empty where there is none."
            )
        if self.sources and [len(row) for row in self.sources] != [len(self.columns)] * len(self.rows):
            raise BadInput(
                f"The table {self.title!r} does not have one source for each of its {len(self.rows)} x {len(self.columns)} "
                "cells. Numbers would be linked to the wrong record. Give a digest per cell, empty where there is none."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot(Record):
    """A description of a picture; `plots.draw` draws it.

    Kinds and their rows (keys in brackets may be left out):
        bars, intervals: label, value [low, high, null_low, null_high, group]; value may be Unmeasured.
        line, roc: series, x, y [low, high].
        timeline: label, start_s, duration_s.
        cells: x, y (words), value from 0 to 1 [low, high]: a grid of shaded shares.
        points: series, x, y [low, high, x_low, x_high, curve]; rows with a true `curve` are a line and its band.
    """

    kind: PlotKind
    title: str
    x: str  # axis title with unit
    y: str  # axis title with unit; empty for bars, intervals and timeline
    rows: tuple[Mapping[str, Cell], ...]
    caption: str = ""
    references: tuple[tuple[float, str], ...] = ()  # a value on the measured axis, and what it means
    records: tuple[str, ...] = ()  # digests that it is drawn from

    def __post_init__(self) -> None:
        for row in self.rows:
            missing = [key for key in ROW_KEYS[self.kind] if key not in row]
            if missing:
                raise BadInput(
                    f"A row of the {self.kind} plot {self.title!r} has no {missing[0]!r}. It could not be drawn where "
                    f"it belongs. Give {', '.join(ROW_KEYS[self.kind])} in every row."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Record):
    """One part of the evidence: a text of plain paragraphs, then its plots and tables."""

    title: str
    text: str
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings(Record):
    """Everything that one run found.

    Example:
        >>> Findings(headline="Nothing was measured.", claims=()).uncertain
        ()
    """

    headline: str  # the finding in one sentence, for a reader who is not a specialist
    claims: tuple[Claim, ...]
    decisions: tuple[Decision, ...] = ()
    sections: tuple[Section, ...] = ()
    uncertain: tuple[str, ...] = ()  # what was not checked, or is weaker than it looks
    names: tuple[tuple[str, str], ...] = ()  # digest -> what to call it on the page
    means: str = ""  # one or two sentences under the headline: what to do with it, and what it does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Record):
    """How long one stage took, in seconds of working time since the run began."""

    name: str
    start_s: float
    duration_s: float


# What a stored study is made of; `superalign.canonical.rebuild` takes it.
NOUNS: dict[str, type[Any]] = {
    noun.__name__: noun for noun in (Table, Plot, Section, Findings, Cost, Claim, Decision, Interval)
}
