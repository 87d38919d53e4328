"""Parts of a page: which record they are drawn from, points with whiskers both ways, grids of shares."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from superalign.errors import ConfigError
from superalign.kit.evidence import Curve, Estimate, above, curve_of, lines, measured, middle, negative
from superalign.kit.parts import (
    bars,
    below,
    beyond_chance,
    cells,
    listed,
    median,
    part,
    percent,
    points,
    table,
    table_of,
)
from superalign.kit.study import check_problems
from superalign.stats import mean_interval
from superalign.types import Interval, Unmeasured

HALF = Interval(value=0.5, low=0.25, high=0.75, n=9)
UNKNOWN = Unmeasured("one seed")


def test_a_part_is_drawn_from_a_record_where_it_names_no_other() -> None:
    own = bars("own", {"a": HALF}, x="share", records=["other"])
    section = part("t", "", own, bars("b", {"a": HALF}, x="share"), table("t", ("x",), [(1,), (2,)])).drawn_from("r")
    assert [p.records for p in section.section.plots] == [("other",), ("r",)]
    assert section.section.tables[0].records == ("r", "r")


def test_points_may_have_whiskers_across_and_curves_have_none() -> None:
    dots, line = Curve((1.0, 2.0), (HALF, 0.5)), Curve((1.0,), (HALF,))
    plot = points("t", {"a": dots}, x="x", y="y", fitted={"a": line}, across={"a": [UNKNOWN, HALF]})
    assert [(row.get("x_low"), row.get("curve", False)) for row in plot.rows] == [
        (None, False),
        (0.25, False),
        (None, True),
    ]


def test_a_grid_shows_what_is_not_measured_too() -> None:
    plot = cells("t", {("4", "9"): HALF, ("9", "9"): UNKNOWN}, x="agent", y="guard")
    assert [(row["x"], row["y"], row["value"]) for row in plot.rows] == [("4", "9", 0.5), ("9", "9", UNKNOWN)]


def test_words_and_curves_say_where_nothing_was_measured() -> None:
    assert (percent(HALF), percent(UNKNOWN)) == ("50.0%", "an unmeasured share")
    curve = curve_of([1, 2], np.array([[0.5, 0.5], [0.0, 1.0]]), mean_interval)
    assert curve.y[0] == 0.5
    assert isinstance(curve.y[1], Interval)


def test_below_takes_the_whole_interval_and_rows_may_have_records_of_their_own() -> None:
    level = HALF.high
    assert [below("b", HALF, at, null=UNKNOWN, unit="s", why="").holds for at in (level, level + 0.01)] == [False, True]
    assert below("b", UNKNOWN, level, null=HALF, unit="s", why="").holds == UNKNOWN
    made = table_of("t", {"a": {"x": 1.0}, "b": {"x": 2.0}}, of="arm", records=["r", "q"])
    assert (made.columns, made.rows, made.records) == (("arm", "x"), (("a", 1.0), ("b", 2.0)), ("r", "q"))


def test_an_effect_or_shuffles_that_are_not_there_decide_nothing() -> None:
    one, none = Interval(value=0.3, low=0.2, high=0.4, n=9), Unmeasured("one class only")
    for found, shuffled in ((one, none), (none, one), (none, none)):
        assert beyond_chance("It matters", found, shuffled=shuffled, unit="nats", why="").holds == none


@dataclass(frozen=True)
class Seen:
    of_all: int
    right: Annotated[Estimate, "share that is right"]
    who: str = ""


def test_a_table_of_records_takes_its_titles_from_their_fields() -> None:
    made = listed("t", Seen, [Seen(9, HALF), Seen(9, UNKNOWN)], without=["who"])
    assert made.columns == ("of all", "share that is right")
    assert made.rows == ((9, HALF), (9, UNKNOWN))
    assert listed("t", Seen, []).columns == ("of all", "share that is right", "who")


def test_there_is_a_line_for_each_name_that_records_have() -> None:
    some = [Seen(1, HALF, "a"), Seen(1, UNKNOWN, "b"), Seen(2, HALF, "a")]
    drawn = lines(some, "of_all", "right", name=lambda s: s.who)
    assert drawn == {"a": Curve((1.0, 2.0), (HALF, HALF)), "b": Curve((1.0,), (UNKNOWN,))}
    assert lines([], "of_all", "right", name=lambda s: s.who) == {}


def test_what_was_not_measured_lies_above_nothing_and_is_ranked_as_asked() -> None:
    assert [above(HALF, bar) for bar in (0.0, HALF.low)] == [True, False]
    assert not above(UNKNOWN, -1.0)
    assert (negative(negative(HALF)), negative(UNKNOWN)) == (HALF, UNKNOWN)
    assert (middle(HALF, -1.0), middle(UNKNOWN, -1.0)) == (0.5, -1.0)
    assert measured([HALF, UNKNOWN]) == [HALF]
    assert (median([HALF, UNKNOWN]), median([UNKNOWN])) == ("0.50", "an unmeasured value")


def test_problems_and_topics_that_a_study_cannot_use_are_refused() -> None:
    own = {"own": "claims", "known": ("chains",)}
    for given, topics, why in (
        ("gsm8k:x", (), r"names nothing that is known .*lost\. Leave it out, or give --set problems=a:PATH or b:PATH;"),
        ("a:", (), "names nothing"),
        ("claims", ("cities",), "problems=claims has nothing about cities"),
    ):
        with pytest.raises(ConfigError, match=why):
            check_problems(given, ("a", "b"), "It is lost", topics=topics, **own)
    check_problems("claims", ("a",), "It is lost", topics=("chains",), **own)
    check_problems("b:x", ("a", "b"), "It is lost", topics=("cities",), **own)
    with pytest.raises(ConfigError, match=r"problems='' names no text\. It is lost\. Give --set"):
        check_problems("", ("a",), "It is lost", names="no text")
