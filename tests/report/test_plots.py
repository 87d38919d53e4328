from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree

import pytest

from superalign.report import Plot, plots
from superalign.types import Unmeasured

ROWS = {
    "bars": (
        {"label": "judge & critic", "value": 0.9, "low": 0.8, "high": 0.95, "group": "a"},
        {"label": "judge", "value": 0.7, "group": "b"},
        {"label": "none", "value": Unmeasured("it was not run")},
    ),
    "intervals": (
        {
            "label": "a long label " * 8,
            "value": -0.2,
            "low": -0.3,
            "high": -0.1,
            "null_value": 0.0,
            "null_low": -0.1,
            "null_high": 0.1,
        },
        {"label": "short", "value": 0.1, "low": Unmeasured("one seed"), "high": Unmeasured("one seed")},
        {"label": "none", "value": Unmeasured("no 'twins'")},
    ),
    "line": tuple(
        {"series": s, "x": x, "y": x * k, "low": x * k - 1} for s, k in (("a", 1.0), ("b", 1.01)) for x in (0, 1)
    ),
    "roc": tuple({"series": s, "x": x, "y": x**0.5, "low": x, "high": 1.0} for s in "abcd" for x in (0.0, 0.5, 1.0)),
    "timeline": (
        {"label": 'it\'s "this"', "start_s": 0.0, "duration_s": 3.0},
        {"label": "that", "start_s": 3.0, "duration_s": 90.0},
    ),
    "points": (
        *({"series": "curve", "x": x, "y": x / 2, "low": x / 3, "high": x, "curve": True} for x in (0.0, 0.5, 1.0)),
        {"series": "cells", "x": 0.5, "y": 0.3, "low": 0.2, "high": 0.4, "x_low": 0.4, "x_high": 0.7},
        {"series": "cells", "x": 0.7, "y": 0.5},
    ),
}


def plot(kind: str, **changes: object) -> Plot:
    fields = {"kind": kind, "title": 'Title <&">', "x": "value (unit)", "y": "height (unit)", "rows": ROWS[kind]}
    return Plot(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [plots.WIDE, plots.NARROW])
@pytest.mark.parametrize("kind", sorted(ROWS))
def test_every_kind_draws_at_both_widths(kind: str, width: int) -> None:
    given = plot(kind, references=((0.5, "bar"),))
    plots.specify(given, width=width, validate=True)
    svg = plots.draw(given, width=width, key="k7")
    root = ElementTree.fromstring(svg)
    texts = "".join(root.itertext())
    assert "value (unit)" in texts
    assert "bar" in texts
    assert root.attrib["aria-label"] == 'Title <&">'
    assert float(root.attrib["viewBox"].split()[2]) <= width + 12
    assert not re.search(r'(fill|stroke)="#[0-9a-f]{6}"', svg), "a colour that the page's style cannot change"


@pytest.mark.parametrize("kind", ["bars", "intervals"])
def test_what_was_not_measured_is_words_and_no_mark(kind: str) -> None:
    svg = plots.draw(plot(kind, rows=ROWS[kind][-1:]), width=plots.WIDE, key="k")
    assert "cannot tell: " in svg
    assert "mark-rect" not in svg or 'd="M' not in svg.split("mark-rect role-mark")[-1].split("</g>")[0]


@pytest.mark.parametrize("width", [plots.WIDE, plots.NARROW])
def test_a_grid_of_shares_says_each_number_and_what_is_missing(width: int) -> None:
    rows: list[dict[str, str | float | Unmeasured]] = [
        {"x": str(x), "y": str(y), "value": (x + y) / 40, "low": 0.1, "high": 0.9} for y in (16, 4) for x in (4, 16)
    ]
    rows.append({"x": "16", "y": "9", "value": Unmeasured("not played")})
    given = Plot(kind="cells", title="Success", x="agent (units)", y="guard (units)", rows=tuple(rows))
    plots.specify(given, width=width, validate=True)
    svg = plots.draw(given, width=width, key="g")
    texts = "".join(ElementTree.fromstring(svg).itertext())
    for said in ("0.50", "0.80", "0.20", "cannot tell", "agent (units)", "guard (units)", "0.10 to 0.90"):
        assert said in texts
    assert not re.search(r'(fill|stroke)="#[0-9a-f]{6}"', svg), "a colour that the page's style cannot change"


def test_names_inside_two_pictures_never_clash() -> None:
    one, two = (plots.draw(plot("roc"), width=plots.WIDE, key=key) for key in "ab")
    assert not set(re.findall(r'\bid="([^"]+)"', one)) & set(re.findall(r'\bid="([^"]+)"', two))
    for svg in (one, two):
        assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_same_description_same_picture() -> None:
    assert plots.draw(plot("line"), width=340, key="a") == plots.draw(plot("line"), width=340, key="a")


def test_one_value_and_no_spread_still_has_an_axis() -> None:
    assert "<svg" in plots.draw(plot("bars", rows=({"label": "a", "value": 0.0},)), width=340, key="a")


def test_labels_are_moved_apart_and_stay_inside() -> None:
    placed = plots._spread([0.9, 0.9, 0.91, 0.2], gap=0.1, low=0.0, high=1.0)
    ordered = sorted(placed)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert ordered[0] >= 0.0
    assert ordered[-1] <= 1.0 + 1e-9


def test_what_a_bar_is_keeps_its_colour_in_whatever_order_the_bars_stand() -> None:
    def colours(*groups: str) -> dict[str, str]:
        rows = tuple({"label": f"{g} bar", "value": 0.1 * (i + 1), "group": g} for i, g in enumerate(groups))
        svg = plots.draw(plot("bars", rows=rows), width=340, key="a")
        found = re.findall(r'<path aria-label="([^"]*)"[^>]*fill="var\((--c[0-9])', svg)
        return {next(g for g in groups if f"group: {g}" in label): colour for label, colour in found}

    one, two = colours("baseline", "protocol"), colours("protocol", "ceiling", "baseline")
    assert one == {"baseline": "--c1", "protocol": "--c0"}
    assert two == {**one, "ceiling": "--c2"}
    assert colours("left", "right") != colours("right", "left")  # other words take colours in the order of the bars
