"""Parts of a page: claims, curves, bars and tables from typed evidence, the same way in every study.

A part is a section with the claims that are made in it. A page is a list of parts under a headline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, get_type_hints

import numpy as np

from superalign.kit.evidence import Curve, Estimate, measured
from superalign.report import Cell, Findings, Plot, Section, Table
from superalign.report.claims import claim_above, descriptive
from superalign.stats import difference
from superalign.types import Claim, Decision, Interval, Unmeasured

Reference: TypeAlias = tuple[float, str]  # a value on the measured axis, and what it means
CHANCE: Reference = (0.5, "chance")
NOTHING: Reference = (0.0, "nothing")


@dataclass(frozen=True, slots=True)
class Part:
    """A section, and what is claimed in it."""

    section: Section
    claims: tuple[Claim, ...] = ()

    def with_claims(self, *claims: Claim) -> Part:
        """Return the part with further claims."""
        return replace(self, claims=(*self.claims, *claims))

    def drawn_from(self, record: str) -> Part:
        """Return the part with every plot and table that names no record drawn from this one, by its digest."""
        plots = tuple(replace(p, records=p.records or (record,)) for p in self.section.plots)
        tables = tuple(replace(t, records=t.records or (record,) * len(t.rows)) for t in self.section.tables)
        return replace(self, section=replace(self.section, plots=plots, tables=tables))


def part(title: str, text: str, *pieces: Claim | Plot | Table) -> Part:
    """Make a section of plots and tables, with its claims.

    Args:
        title: Of the section.
        text: Plain paragraphs, with an empty line between two of them.
        pieces: Claims, plots and tables; each kind keeps its order. A plot without rows is left out.

    Example:
        >>> part("Cost", "What it costs.", table("Cost", ("s",), [(1.0,)])).section.tables[0].rows
        ((1.0,),)
    """
    section = Section(
        title=title,
        text=text,
        plots=tuple(p for p in pieces if isinstance(p, Plot) and p.rows),
        tables=tuple(t for t in pieces if isinstance(t, Table)),
    )
    return Part(section, tuple(c for c in pieces if isinstance(c, Claim)))


def claim(name: str, found: Estimate, *, null: Estimate, unit: str, why: str, bar: float = 0.0) -> Claim:
    """Claim that an estimate lies above a bar, and that its null does not; see `superalign.report.claims.above`."""
    return claim_above(name, found, unit=unit, null=null, why=why, bar=bar)


def claims(
    rows: Mapping[str, tuple[Estimate, Estimate]], *, unit: str, why: str, bar: float = 0.0
) -> tuple[Claim, ...]:
    """Claim the same of several estimates, each with its null: name -> (estimate, null); see `claim`.

    Example:
        >>> [c.name for c in claims({"It grows": (Unmeasured("one seed"),) * 2}, unit="share", why="after minus before")]
        ['It grows']
    """
    return tuple(claim(name, found, null=null, unit=unit, why=why, bar=bar) for name, (found, null) in rows.items())


def more(name: str, pair: Iterable[np.ndarray], *, unit: str, why: str) -> Claim:
    """Claim that a difference of shares, mean over items and seeds, lies above zero; see `claim`.

    Args:
        name: What is claimed.
        pair: The difference and its null, (P, S) each.
        unit: Of the difference.
        why: How both were measured.

    Example:
        >>> rise = np.linspace(0.25, 0.75, 20)[:, None]
        >>> more("It grows", (rise, rise - rise.mean()), unit="share", why="after minus before").holds
        True
    """
    found, null = map(difference, pair)
    return claim(name, found, null=null, unit=unit, why=why)


def description(name: str, found: Estimate, *, null: Estimate, unit: str, why: str) -> Claim:
    """Report a number that no hypothesis was stated about."""
    return descriptive(name, found, unit=unit, null=null, why=why)


def null_control(name: str, found: Estimate, *, unit: str) -> Claim:
    """Claim that nothing is gained where there should be nothing to gain.

    Example:
        >>> null_control("No gain", Interval(value=0.1, low=-0.1, high=0.3, n=9), unit="share").holds
        True
    """
    why = "a null control: holds if its interval does not lie above zero"
    holds = found if isinstance(found, Unmeasured) else found.low <= 0
    return descriptive(name, found, unit=unit, null=Unmeasured("it is a null itself"), why=why, holds=holds)


def not_above(name: str, found: Estimate, level: float, *, unit: str, why: str) -> Claim:
    """Claim that an estimate is not shown to lie above a level: a claim about a null control itself, which is its own null.

    Example:
        >>> not_above("Quiet", Interval(value=0.1, low=0.02, high=0.3, n=20), 0.05, unit="share", why="").holds
        True
    """
    holds = found if isinstance(found, Unmeasured) else found.low <= level
    return descriptive(name, found, unit=unit, null=found, why=why, holds=holds)


def beyond_chance(
    name: str, found: Estimate, *, shuffled: Estimate, unit: str, why: str, bar: float = float("-inf")
) -> Claim:
    """Claim that an effect is larger than shuffling gives, and lies above a bar: a permutation test.

    Args:
        name: What is claimed.
        found: The effect.
        shuffled: The effect under shuffles: between which values 95 % of them lie.
        unit: Of both.
        why: How both were measured.
        bar: What the whole interval of the effect must lie above.

    Example:
        >>> chance = Interval(value=0.1, low=0.05, high=0.2, n=20)
        >>> found = Interval(value=0.3, low=-0.1, high=0.7, n=20)
        >>> beyond_chance("It matters", found, shuffled=chance, unit="nats", why="").holds
        True
    """
    missing = next((x for x in (found, shuffled) if isinstance(x, Unmeasured)), None)
    beyond = missing is None and found.value > shuffled.high and found.low > bar  # type: ignore[union-attr]
    holds = beyond if missing is None else missing
    return descriptive(name, found, unit=unit, null=shuffled, why=why, holds=holds)


def beyond(
    rows: Mapping[str, tuple[Estimate, Estimate]], *, unit: str, why: str, bar: float = float("-inf")
) -> tuple[Claim, ...]:
    """Claim of several effects that each is larger than shuffling gives: name -> (effect, shuffled); see `beyond_chance`.

    Example:
        >>> [c.name for c in beyond({"It matters": (Unmeasured("one seed"),) * 2}, unit="nats", why="")]
        ['It matters']
    """
    return tuple(beyond_chance(k, found, shuffled=s, unit=unit, why=why, bar=bar) for k, (found, s) in rows.items())


def below(name: str, found: Estimate, level: float, *, null: Estimate, unit: str, why: str) -> Claim:
    """Claim that the whole interval of an estimate lies below a level; what stands beside it decides nothing.

    Example:
        >>> one = Interval(value=0.02, low=0.01, high=0.03, n=20)
        >>> below("Little", one, 0.05, null=Unmeasured("none"), unit="share", why="").holds
        True
    """
    holds = found if isinstance(found, Unmeasured) else found.high < level
    return descriptive(name, found, unit=unit, null=null, why=why, holds=holds)


def curves(
    title: str, series: Mapping[str, Curve], *, x: str, y: str, caption: str = "", reference: Reference | None = None
) -> Plot:
    """Draw lines with bands; points that could not be measured are left out.

    Args:
        title: Of the plot.
        series: Name -> its curve.
        x: Title of the axis below, with unit.
        y: Title of the axis beside it, with unit.
        caption: What the bands are, and what else is to be known.
        reference: A value on the measured axis, and what it means.

    Example:
        >>> curves("Cost", {"a": Curve((0.0,), (1.5,))}, x="updates", y="s").rows
        ({'series': 'a', 'x': 0.0, 'y': 1.5},)
    """
    rows = tuple(
        {"series": name, "x": at, **_ends("y", found)}
        for name, curve in series.items()
        for at, found in zip(curve.x, curve.y, strict=True)
        if not isinstance(found, Unmeasured)
    )
    return Plot(kind="line", title=title, x=x, y=y, rows=rows, caption=caption, references=_references(reference))


def intervals(
    title: str,
    rows: Mapping[str, Estimate | float],
    *,
    x: str,
    nulls: Mapping[str, Estimate | float] | None = None,
    groups: Mapping[str, str] | None = None,
    caption: str = "",
    reference: Reference | None = None,
    records: Sequence[str] = (),
) -> Plot:
    """Draw one estimate a row, with its null in grey under it.

    Args:
        title: Of the plot.
        rows: Label -> estimate; the reason stands in the row where there is none.
        x: Title of the measured axis, with unit.
        nulls: Label -> its null.
        groups: Label -> what decides its colour.
        caption: What the lines are.
        reference: A value on the measured axis, and what it means.
        records: Digests that it is drawn from.
    """
    drawn = tuple(
        {"label": label, **_ends("value", found), **_null((nulls or {}).get(label)), **_group(groups, label)}
        for label, found in rows.items()
    )
    return Plot(
        kind="intervals", title=title, x=x, y="", rows=drawn, caption=caption, references=_references(reference),
        records=tuple(records),
    )  # fmt: skip


def bars(
    title: str,
    rows: Mapping[str, Estimate | float],
    *,
    x: str,
    groups: Mapping[str, str] | None = None,
    caption: str = "",
    reference: Reference | None = None,
    records: Sequence[str] = (),
) -> Plot:
    """Draw one bar a row, from zero, with its interval; arguments as those of `intervals`."""
    plot = intervals(title, rows, x=x, groups=groups, caption=caption, reference=reference, records=records)
    return replace(plot, kind="bars")


def points(
    title: str,
    series: Mapping[str, Curve],
    *,
    x: str,
    y: str,
    fitted: Mapping[str, Curve] | None = None,
    across: Mapping[str, Sequence[Estimate]] | None = None,
    caption: str = "",
    reference: Reference | None = None,
) -> Plot:
    """Draw points with whiskers, and curves with bands through them.

    Args:
        title: Of the plot.
        series: Name -> its points.
        x: Title of the axis below, with unit.
        y: Title of the axis beside it, with unit.
        fitted: Name -> the curve through the points of that name.
        across: Name -> how surely each of its points lies where it does along the axis below; no point of it may be unmeasured.
        caption: What whiskers and bands are.
        reference: A value on the measured axis, and what it means.
    """
    dots = curves(title, series, x=x, y=y, caption=caption, reference=reference)
    lines = curves(title, fitted or {}, x=x, y=y)
    sure: dict[tuple[Cell, Cell], Estimate] = {
        (n, at): i for n, some in (across or {}).items() for at, i in zip(series[n].x, some, strict=True)
    }
    drawn = [{**row, **_across(sure.get((row["series"], row["x"])))} for row in dots.rows]
    return replace(dots, kind="points", rows=(*drawn, *({**row, "curve": True} for row in lines.rows)))


def cells(title: str, shares: Mapping[tuple[str, str], Estimate], *, x: str, y: str, caption: str = "") -> Plot:
    """Draw a grid of shaded shares.

    Args:
        title: Of the plot.
        shares: (column, row) -> a share from 0 to 1.
        x: What the columns are.
        y: What the rows are.
        caption: What is to be known.
    """
    rows = tuple({"x": column, "y": row, **_ends("value", found)} for (column, row), found in shares.items())
    return Plot(kind="cells", title=title, x=x, y=y, rows=rows, caption=caption)


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    records: Sequence[str] = (),
    sources: Iterable[Sequence[str]] = (),
) -> Table:
    """Make a table.

    Args:
        title: Of the table.
        columns: With units.
        rows: A cell for each column.
        records: One digest per row that its numbers come from; empty where there is none.
        sources: One digest per cell where a cell has a record of its own, else empty.
    """
    return Table(
        title=title,
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in rows),
        records=tuple(records),
        sources=tuple(tuple(row) for row in sources),
    )


def table_of(title: str, rows: Mapping[str, Mapping[str, Cell]], *, of: str, records: Sequence[str] = ()) -> Table:
    """Make a table of named rows that all have the same columns.

    Args:
        title: Of the table.
        rows: Name -> column, with unit -> cell.
        of: What the names are: the first column's title.
        records: Digests, one for each row.

    Example:
        >>> table_of("Cost", {"a": {"s": 1.5}}, of="arm").rows
        (('a', 1.5),)
    """
    columns = dict.fromkeys(column for cells in rows.values() for column in cells)
    body = [(name, *(cells[c] for c in columns)) for name, cells in rows.items()]
    return table(title, (of, *columns), body, records=records)


def listed(title: str, kind: type[Any], records: Iterable[object], *, without: Sequence[str] = ()) -> Table:
    """Make a table of records: a column for each field, under the words that its annotation holds, or under its name.

    Args:
        title: Of the table.
        kind: Of the records: a dataclass, whose `accuracy: Annotated[Estimate, "share that is right"]` has a title of its own.
        records: One a row.
        without: Fields that are not shown.

    Example:
        >>> listed("Sizes", Interval, [Interval(value=0.5, low=0.25, high=0.75, n=9)], without=("low", "high")).columns
        ('value', 'n')
    """
    hints = get_type_hints(kind, include_extras=True)
    names = [f.name for f in fields(kind) if f.name not in without]
    columns = [str(getattr(hints[n], "__metadata__", (n.replace("_", " "),))[0]) for n in names]
    return table(title, columns, ([getattr(r, n) for n in names] for r in records))


def findings(
    headline: str,
    parts: Sequence[Part],
    *,
    means: str = "",
    limits: Sequence[str] = (),
    decisions: Sequence[Decision] = (),
    names: Mapping[str, str] | None = None,
) -> Findings:
    """Put a page together.

    Args:
        headline: The finding in one sentence, for a reader who is not a specialist.
        parts: In their order on the page.
        means: One or two sentences: what to do with it, and what it does not say.
        limits: What was not checked, or is weaker than it looks.
        decisions: About releases.
        names: Digest -> what to call it on the page.
    """
    return Findings(
        headline=headline,
        means=means,
        claims=tuple(c for p in parts for c in p.claims),
        sections=tuple(p.section for p in parts),
        uncertain=tuple(limits),
        decisions=tuple(decisions),
        names=tuple((names or {}).items()),
    )


def in_words(found: Estimate) -> str:
    """Write an estimate inside a sentence.

    Example:
        >>> in_words(Interval(value=0.5, low=0.25, high=0.75, n=9))
        '0.500 [0.250, 0.750]'
    """
    return found.why if isinstance(found, Unmeasured) else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def median(found: Iterable[Estimate]) -> str:
    """Write the middle one of several estimates inside a sentence."""
    known = [x.value for x in measured(found)]
    return f"{np.median(known):.2f}" if known else "an unmeasured value"


def percent(found: Estimate, *, sign: str = "", digits: int = 1) -> str:
    """Write the middle of a share inside a sentence; with `sign="+"` that of a difference.

    Example:
        >>> percent(Interval(value=0.5, low=0.25, high=0.75, n=9), sign="+")
        '+50.0%'
    """
    return "an unmeasured share" if isinstance(found, Unmeasured) else f"{found.value:{sign}.{digits}%}"


def _ends(key: str, found: Estimate | float) -> dict[str, Cell]:
    if isinstance(found, Interval):
        return {key: found.value, "low": found.low, "high": found.high}
    return {key: found}


def _across(found: Estimate | None) -> dict[str, Cell]:
    return {"x_low": found.low, "x_high": found.high} if isinstance(found, Interval) else {}


def _null(found: Estimate | float | None) -> dict[str, Cell]:
    if found is None or isinstance(found, Unmeasured):
        return {}
    return {f"null_{key}": cell for key, cell in _ends("value", found).items()}


def _group(groups: Mapping[str, str] | None, label: str) -> dict[str, Cell]:
    return {"group": groups[label]} if groups and label in groups else {}


def _references(reference: Reference | None) -> tuple[Reference, ...]:
    return () if reference is None else (reference,)
