"""Pictures from descriptions: altair to inline SVG, without a network, in colours that the page's style decides.

Each picture is drawn for a wide and for a narrow screen; the page shows the one that fits, so text stays readable.
"""

from __future__ import annotations

import itertools
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert
from altair.utils import schemapi

from superalign.report import words
from superalign.report.findings import Cell, Plot
from superalign.types import Unmeasured

WIDE, NARROW = 700, 340  # pixels
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
INK, MUTED, GRID, PAPER = "#20242a", "#5f666e", "#dfe2e6", "#fdfdfb"
# Okabe and Ito, 2008: told apart with every common colour blindness. Their yellow is left out: too pale on white.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
# What a bar is keeps its colour from picture to picture, in whatever order the bars stand.
ROLES = {"protocol": SERIES[0], "baseline": SERIES[1], "ceiling": SERIES[2], "null control": SERIES[3]}
# The page's style gives these names other values on a dark screen; the value after the comma is for other viewers.
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"} | {c: f"c{i}" for i, c in enumerate(SERIES)}
LABEL_MAX = 40  # characters; longer labels stand above their row

Row = dict[str, Any]
At = Callable[[str], Any]  # a field on the measured axis
Marks = Callable[[alt.Chart, At, float], list[Any]]


def draw(plot: Plot, *, width: int, key: str) -> str:
    """Draw one picture.

    Args:
        plot: What to draw.
        width: Of the screen that it is for, in pixels.
        key: A word that no other picture on the page has; it keeps their inner names apart.

    Returns:
        An SVG element with no outside references.

    Example:
        >>> plot = Plot(kind="bars", title="Uplift", x="accuracy", y="", rows=({"label": "judge", "value": 0.9},))
        >>> draw(plot, width=NARROW, key="a")[:4]
        '<svg'
    """
    return _inline(vl_convert.vegalite_to_svg(specify(plot, width=width)), key=key, title=plot.title)


def specify(plot: Plot, *, width: int, validate: bool = False) -> dict[str, Any]:
    """Write a picture as Vega-Lite; checking it against the schema takes half a second, so tests do it."""
    with schemapi.debug_mode(False), alt.data_transformers.enable(consolidate_datasets=False):
        spec: dict[str, Any] = _KINDS[plot.kind](plot, width).to_dict(validate=validate)
    return spec | {"config": _CONFIG}


_AXIS = {
    "domainColor": GRID,
    "gridColor": GRID,
    "tickColor": GRID,
    "labelColor": MUTED,
    "titleColor": INK,
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "labelLimit": 400,
    "titleLimit": 0,
    "labelPadding": 6,
    "titlePadding": 10,
    "labelFlush": False,
}
_CONFIG: dict[str, Any] = {
    "background": None,
    "font": FONT,
    "padding": 4,
    "axis": _AXIS,
    "view": {"stroke": None},
    "text": {"fontSize": 12, "fill": INK},
    "legend": {"labelColor": INK, "labelFontSize": 12, "labelLimit": 0, "orient": "top", "title": None},
    "title": {"color": INK, "fontSize": 12.5, "fontWeight": "bold", "anchor": "start", "offset": 8},
}


def _data(rows: Sequence[Mapping[str, Any]]) -> alt.Data:
    return alt.Data(values=tuple(dict(row) for row in rows))  # a tuple: altair copies lists again and again


def _number(value: Cell | None) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rows(plot: Plot) -> list[Row]:
    """Plain rows with a unique key; a value that there is not becomes words."""
    out: list[Row] = []
    for i, given in enumerate(plot.rows):
        value = given.get("value")
        row: Row = {key: _number(cell) if key != "label" else cell for key, cell in given.items()}
        row["key"] = f"{i:03d}|{given['label']}"
        row["group"] = str(given.get("group", ""))
        row["text"] = "" if value is None else words.cell(value)
        if plot.kind == "intervals" and _number(given.get("low")) is None:
            row["text"] += ", no interval"
        row["why"] = words.cell(value) if isinstance(value, Unmeasured) else ""
        out.append(row)
    return out


def _span(values: Sequence[float | None], *, zero: bool, room: float) -> tuple[float, float]:
    """An axis that holds all values, with room on the right for the numbers written there."""
    present = [v for v in values if v is not None] or [0.0, 1.0]
    low, high = min(present), max(present)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        low, high = low - 0.5, high + 0.5
    margin = 0.0 if zero and low == 0 else 0.04 * (high - low)
    return low - margin, high + room * (high - low)


def _rule(value: float, text: str, *, span: tuple[float, float]) -> alt.LayerChart:
    right = (value - span[0]) > 0.6 * (span[1] - span[0])
    base = alt.Chart(_data([{"at": value, "means": text}])).encode(x=alt.X("at:Q"))
    return base.mark_rule(color=MUTED, strokeDash=[4, 3]) + base.mark_text(
        color=MUTED, fontSize=11, align="right" if right else "left", dx=-4 if right else 4, dy=-8, baseline="bottom"
    ).encode(text="means:N", y=alt.value(0))


def _list(plot: Plot, width: int, marks: Marks, span: tuple[float, float], below: int = 0) -> Any:
    """The frame that bars, intervals and timeline share: one labelled row each, a measured axis below.

    `below` is the room in pixels that marks need under the middle line of a row.
    """
    rows = _rows(plot)
    longest = max((len(str(row["label"])) for row in rows), default=0)
    above = width < 500 or longest > LABEL_MAX
    fits = int((width - 16) / 6.3)  # characters in a line
    for row in rows:
        row["label"] = textwrap.wrap(str(row["label"]), fits) or [""]
        row["why"] = textwrap.shorten(row["why"], fits, placeholder=" ...") if row["why"] else ""
    lines = max((len(row["label"]) for row in rows), default=1) if above else 0
    step = 15 * lines + 30 + below
    down = (step - 30 - below) / 2 + (3 if above else 0) - (0 if above else below / 2)
    labels = (
        None
        if above
        else alt.Axis(labelExpr="substring(datum.label, 4)", title=None, ticks=False, domain=False, labelColor=INK)
    )
    y = alt.Y("key:N", sort=[row["key"] for row in rows], axis=labels, scale=alt.Scale(padding=0))
    beside = 0 if above else longest + 2  # characters that the labels take from the axis
    x_axis = alt.Axis(
        title=textwrap.wrap(plot.x, max(20, fits - beside)), tickCount=4 if width < 500 else 7, titleAnchor="start"
    )
    scale = alt.Scale(domain=list(span), zero=False, nice=False)

    def at(field: str) -> alt.X:
        return alt.X(f"{field}:Q", scale=scale, axis=x_axis)

    base = alt.Chart(_data(rows)).encode(y=y)
    layers = marks(base, at, down)
    if above:
        for n in range(1, lines + 1):  # a label of n lines begins n lines above its mark
            text = base.transform_filter(f"length(datum.label) == {n}").mark_text(
                align="left", baseline="bottom", lineHeight=15, dy=down - 9 - 15 * (n - 1), color=INK
            )
            layers.append(text.encode(text="label:N", x=alt.value(0)))
    why = base.transform_filter("datum.why != ''").mark_text(
        align="left", dx=2, yOffset=down, color=MUTED, fontStyle="italic"
    )
    layers.append(why.encode(text="why:N", x=alt.value(0)))
    layers += [_rule(value, text, span=span) for value, text in plot.references]
    return alt.layer(*layers).properties(
        width=width, height=alt.Step(step), autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
    )


def _colour(rows: Sequence[Mapping[str, Any]], field: str, *, legend: bool, width: int = WIDE) -> Any:
    names = [name for name in dict.fromkeys(str(row.get(field, "")) for row in rows) if name]
    if len(names) < 2:
        return alt.value(SERIES[0])
    colours = list(itertools.islice(itertools.cycle(SERIES), len(names)))
    if set(names) <= set(ROLES):
        names, colours = map(list, zip(*((n, c) for n, c in ROLES.items() if n in names), strict=True))
    in_line = 7 * sum(map(len, names)) + 30 * len(names) <= width
    # The offset leaves room for what a reference line means, which stands above the picture.
    columns = len(names) if in_line else 2 if 14 * max(map(len, names)) + 60 <= width else 1
    shown = alt.Legend(columns=columns, symbolType="circle", symbolOpacity=1, offset=24) if legend else None
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=names, range=colours), legend=shown)


def _whisker(base: alt.Chart, at: At, *, low: str, high: str, mark: Mapping[str, Any]) -> alt.Chart:
    return (
        base.transform_filter(f"isValid(datum.{low}) && isValid(datum.{high})")
        .mark_rule(**mark)
        .encode(x=at(low), x2=f"{high}:Q")
    )


def _value_text(base: alt.Chart, at: At, down: float, *, beyond: str = "datum.value") -> alt.Chart:
    """The number to the right of its mark, and of what else stands in the way."""
    return (
        base.transform_filter("isValid(datum.value)")
        .transform_calculate(end=f"max(isValid(datum.high) ? datum.high : datum.value, datum.value, {beyond})")
        .mark_text(align="left", dx=7, yOffset=down, color=INK)
        .encode(x=at("end"), text="text:N")
    )


def _ends(plot: Plot, *keys: str) -> list[float | None]:
    return [_number(row.get(key)) for row in plot.rows for key in keys] + [value for value, _ in plot.references]


def _bars(plot: Plot, width: int) -> Any:
    span = _span(_ends(plot, "value", "low", "high"), zero=True, room=0.2 if width < 500 else 0.1)

    def marks(base: alt.Chart, at: At, down: float) -> list[Any]:
        colour = _colour(_rows(plot), "group", legend=True, width=width)
        bar = base.transform_filter("isValid(datum.value)").mark_bar(height=12, yOffset=down, opacity=0.75)
        line = _whisker(base, at, low="low", high="high", mark={"yOffset": down, "color": INK, "strokeWidth": 1.5})
        return [bar.encode(x=at("value"), color=colour), line, _value_text(base, at, down, beyond="0")]

    return _list(plot, width, marks, span)


def _intervals(plot: Plot, width: int) -> Any:
    ends = _ends(plot, "value", "low", "high", "null_value", "null_low", "null_high")
    span = _span(ends, zero=False, room=0.16 if width < 500 else 0.08)

    def marks(base: alt.Chart, at: At, down: float) -> list[Any]:
        colour = _colour(_rows(plot), "group", legend=True, width=width)
        null = {"yOffset": down + 12, "color": MUTED, "strokeWidth": 1.5}
        grey = base.transform_filter("isValid(datum.null_value)").mark_point(
            shape="diamond", size=34, yOffset=down + 12, color=MUTED, filled=True, opacity=1
        )
        line = _whisker(base, at, low="low", high="high", mark={"yOffset": down, "strokeWidth": 2.5})
        dot = base.transform_filter("isValid(datum.value)").mark_circle(size=70, yOffset=down, opacity=1)
        return [
            _whisker(base, at, low="null_low", high="null_high", mark=null),
            grey.encode(x=at("null_value")),
            line.encode(color=colour),
            dot.encode(x=at("value"), color=colour),
            _value_text(base, at, down),
        ]

    return _list(plot, width, marks, span, below=12 if any("null_value" in row for row in plot.rows) else 0)


def _timeline(plot: Plot, width: int) -> Any:
    durations = [_number(row["duration_s"]) or 0.0 for row in plot.rows]
    starts = [_number(row["start_s"]) or 0.0 for row in plot.rows]
    total = max((s + d for s, d in zip(starts, durations, strict=True)), default=1.0)
    rows: list[Mapping[str, Cell]] = []
    said: dict[str, str] = {}
    for i, (row, s, d) in enumerate(zip(plot.rows, starts, durations, strict=True)):
        rows.append({"label": str(row["label"]), "value": s, "high": s + d})
        said[f"{i:03d}|{row['label']}"] = words.duration(d)
    timed = Plot(kind="bars", title=plot.title, x=plot.x, y="", rows=tuple(rows), references=plot.references)
    span = (0.0, total * (1.3 if width < 500 else 1.12))

    def marks(base: alt.Chart, at: At, down: float) -> list[Any]:
        bar = base.mark_bar(height=11, yOffset=down, opacity=0.85, color=SERIES[0])
        text = base.transform_calculate(said=f"{json.dumps(said)}[datum.key]")
        label = text.mark_text(align="left", dx=6, yOffset=down, color=MUTED)
        return [bar.encode(x=at("value"), x2="high:Q"), label.encode(x=at("high"), text="said:N")]

    return _list(timed, width, marks, span)


def _upright(scale: alt.Scale, axis: alt.Axis) -> At:
    return lambda field: alt.Y(f"{field}:Q", scale=scale, axis=axis)


def _curve(rows: list[Row], x: alt.X, y: At, colour: Any) -> alt.LayerChart:
    base = alt.Chart(_data(rows)).encode(x=x, color=colour)
    band = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_area(opacity=0.18)
    return band.encode(y=y("low"), y2="high:Q") + base.mark_line(strokeWidth=2, interpolate="linear").encode(
        y=y("y"), order="x:Q"
    )


def _points(plot: Plot) -> dict[str, list[Row]]:
    """Rows by series, in the order in which the series first appear."""
    out: dict[str, list[Row]] = {}
    for row in plot.rows:
        cells: Row = {key: cell if key == "curve" else _number(cell) for key, cell in row.items() if key != "series"}
        out.setdefault(str(row["series"]), []).append(cells | {"series": str(row["series"])})
    return out


def _roc(plot: Plot, width: int) -> alt.ConcatChart:
    """One small picture per detector: bands of several in one picture hide each other."""
    series = _points(plot)
    most = 2 if len(series) in (2, 4) else 3  # no picture alone in the last line
    columns = min(len(series), most if width > 500 else 1)
    side = min(240 if columns > 1 else 210, width // columns - 80)
    frame = alt.Scale(domain=[0, 1], nice=False)
    y = _upright(frame, alt.Axis(title=plot.y, values=[0, 0.5, 1]))
    x = alt.X("x:Q", scale=frame, axis=alt.Axis(title=plot.x, values=[0, 0.5, 1]))
    chance = alt.Chart(_data([{"x": 0, "y": 0}, {"x": 1, "y": 1}])).mark_line(color=MUTED, strokeDash=[3, 3])
    word = alt.Chart(_data([{"x": 0.62, "y": 0.56}])).mark_text(color=MUTED, fontSize=11, align="left", text="chance")
    charts = []
    for (name, rows), colour in zip(series.items(), itertools.cycle(SERIES), strict=False):
        layers = [chance.encode(x=x, y=y("y")), word.encode(x=x, y=y("y"))]
        layers += [_rule(value, text, span=(0.0, 1.0)) for value, text in plot.references]
        layers.append(_curve(rows, x, y, alt.value(colour)))
        charts.append(alt.layer(*layers).properties(width=side, height=side, title=name.split("\n")))
    return alt.concat(*charts, columns=columns, spacing=26)


def _spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Move labels apart so that no two are closer than a gap, keeping their order and their frame."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    at = low - gap
    for i in order:
        at = max(wanted[i], at + gap)
        placed[i] = at
    over = max(placed, default=high) - high
    ceiling = high + gap
    for i in reversed(order):
        if over <= 0:
            break
        placed[i] = min(placed[i], ceiling - gap)
        ceiling = placed[i]
    return placed


def _line(plot: Plot, width: int) -> Any:
    series = _points(plot)
    everything = [row for rows in series.values() for row in rows]
    height = 300 if width > 500 else 260
    span = _span([row.get(k) for row in everything for k in ("y", "low", "high")], zero=False, room=0.04)
    direct = width > 500 or max(map(len, series), default=0) <= 12
    y = _upright(alt.Scale(domain=list(span), nice=False, zero=False), alt.Axis(title=plot.y))
    x = alt.X("x:Q", axis=alt.Axis(title=plot.x, tickCount=5, grid=False), scale=alt.Scale(nice=False, zero=False))
    colour = _colour(everything, "series", legend=not direct)
    layers: list[Any] = [_curve(everything, x, y, colour)]
    layers += [_level(value, text) for value, text in plot.references]
    labelled = 0
    if direct:
        last = [max(rows, key=lambda row: row["x"] or 0.0) for rows in series.values()]
        at = _spread([row["y"] for row in last], gap=15 * (span[1] - span[0]) / height, low=span[0], high=span[1])
        ends = [{**row, "at": a} for row, a in zip(last, at, strict=True)]
        text = alt.Chart(_data(ends)).mark_text(align="left", dx=8, fontWeight="bold")
        layers.append(text.encode(x=x, y=y("at"), text="series:N", color=colour))
        labelled = 14 + 7 * max(map(len, series), default=0)
    return alt.layer(*layers).properties(
        width=width - 60 - labelled, height=height, autosize=alt.AutoSizeParams(type="pad")
    )


def _level(value: float, text: str) -> alt.LayerChart:
    base = alt.Chart(_data([{"at": value, "means": text}])).encode(y=alt.Y("at:Q"))
    label = base.mark_text(color=MUTED, fontSize=11, align="right", dx=-4, dy=-7)
    return base.mark_rule(color=MUTED, strokeDash=[4, 3]) + label.encode(text="means:N", x=alt.value("width"))


def _cells(plot: Plot, width: int) -> Any:
    """A grid of shares: the darker, the more; the number and its interval stand in the cell."""
    rows: list[Row] = []
    for given in plot.rows:
        value, low, high = (_number(given.get(key)) for key in ("value", "low", "high"))
        ends = "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
        said = "cannot tell" if value is None else f"{value:.2f}"
        rows.append({"x": str(given["x"]), "y": str(given["y"]), "value": value, "said": said, "ends": ends})
    across, down = (list(dict.fromkeys(row[key] for row in rows)) for key in ("x", "y"))
    side = min(110, (width - 90) / max(len(across), 1))
    bare: dict[str, Any] = {"ticks": False, "domain": False, "grid": False}
    x = alt.X("x:N", sort=across, axis=alt.Axis(title=plot.x, labelAngle=0, orient="bottom", **bare))
    y = alt.Y("y:N", sort=down, axis=alt.Axis(title=plot.y, **bare))
    base = alt.Chart(_data(rows)).encode(x=x, y=y)
    shade = alt.Opacity("value:Q", scale=alt.Scale(domain=[0, 1], range=[0.03, 0.6], clamp=True), legend=None)
    layers = [
        base.transform_filter("isValid(datum.value)").mark_rect(color=SERIES[0], stroke=PAPER).encode(opacity=shade),
        base.mark_text(color=INK, dy=-7 if side > 70 else 0, fontSize=13, fontWeight="bold").encode(text="said:N"),
    ]
    if side > 70:
        layers.append(base.mark_text(color=INK, dy=9, fontSize=10).encode(text="ends:N"))
    frame = {"width": side * len(across), "height": 44 * len(down)}
    return alt.layer(*layers).properties(**frame, autosize=alt.AutoSizeParams(type="pad"))


def _scatter(plot: Plot, width: int) -> Any:
    """Points with whiskers, and curves with bands through them; one colour for each series."""
    series = _points(plot)
    everything = [row for rows in series.values() for row in rows]
    span = _span([row.get(k) for row in everything for k in ("y", "low", "high")], zero=False, room=0.04)
    y = _upright(alt.Scale(domain=list(span), nice=False, zero=False), alt.Axis(title=plot.y))
    axis, scale = alt.Axis(title=plot.x, tickCount=6, grid=False), alt.Scale(nice=False, zero=False)
    x = alt.X("x:Q", axis=axis, scale=scale)
    colour = _colour(everything, "series", legend=True, width=width)
    drawn, dots = [r for r in everything if r.get("curve")], [r for r in everything if not r.get("curve")]
    layers: list[Any] = [_curve(drawn, x, y, colour)] if drawn else []
    base = alt.Chart(_data(dots)).encode(x=x, color=colour)
    across = base.transform_filter("isValid(datum.x_low) && isValid(datum.x_high)").mark_rule(opacity=0.45)
    up = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_rule(opacity=0.45)
    layers += [
        up.encode(y=y("low"), y2="high:Q"),
        across.encode(x=alt.X("x_low:Q", axis=axis, scale=scale), x2="x_high:Q", y=y("y")),
        base.mark_circle(size=38, opacity=0.9).encode(y=y("y")),
    ]
    layers += [_level(value, text) for value, text in plot.references]
    height = 320 if width > 500 else 270
    return alt.layer(*layers).properties(width=width - 80, height=height, autosize=alt.AutoSizeParams(type="pad"))


_KINDS: dict[str, Callable[[Plot, int], Any]] = {
    "bars": _bars,
    "intervals": _intervals,
    "line": _line,
    "roc": _roc,
    "timeline": _timeline,
    "cells": _cells,
    "points": _scatter,
}


def _inline(svg: str, *, key: str, title: str) -> str:
    """Make an SVG fit to stand in a page: own names, the page's colours, width by the screen."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{key}-\2"', svg)
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace(
        ' xmlns="http://www.w3.org/2000/svg"', ""
    )
    for colour, name in VARIABLES.items():
        svg = re.sub(rf'(fill|stroke)="{colour}"', rf'\1="var(--{name}, {colour})"', svg, flags=re.IGNORECASE)
    safe = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    match = re.match(r'<svg([^>]*?) width="([\d.]+)" height="([\d.]+)"', svg)
    assert match is not None, "vl-convert wrote an SVG without its size"
    start = f'<svg{match[1]} role="img" aria-label="{safe}" style="max-width:{match[2]}px"'
    return start + svg[match.end() :]
