"""The one reader of numbers: what docs/answers.md says of each case is what happens."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.problems.numbers import plain, read, read_number, same, words

PAGE = (Path(__file__).parents[2] / "docs" / "answers.md").read_text(encoding="utf-8")


def characters(cell: str) -> str:
    """A cell of the page: what stands between backticks, `U+00A0` for its character."""
    return re.sub(r"U\+([0-9A-F]{4})", lambda m: chr(int(m[1], 16)), cell.strip().strip("`"))


def rows(columns: int) -> list[list[str]]:
    cut = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    return [row for row in cut if len(row) == columns]


READ = [(characters(text), number.strip()) for text, number in rows(2)]
SAME = [(characters(right), characters(said), answer.strip() == "yes") for right, said, answer in rows(3)]


def test_the_page_has_its_tables() -> None:
    assert len(READ) > 60
    assert len(SAME) > 12


@pytest.mark.parametrize(("text", "number"), READ)
def test_the_table_of_numbers(text: str, number: str) -> None:
    found = read(text)
    if number.startswith("not read"):
        assert found is None
    else:
        assert found is not None
        assert found.value == Fraction(number)


@pytest.mark.parametrize(("right", "said", "expected"), SAME)
def test_the_table_of_comparisons(right: str, said: str, expected: bool) -> None:
    assert same(right, said) is expected
    assert same(said, right) is expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("−\u2009$1,200.50", "-2401/2"),
        ("−½", "-1/2"),
        ("\\$1{,}200", "1200"),
        ("1\\,200", "1200"),
        ("50\\%", "1/2"),
        ("1\\frac{1}{2}", "3/2"),
        ("-\\frac12", "-1/2"),
        ("\\(7\\)", "7"),
        ("12\\text{ km}", "12"),
        ("10⁻³", "1/1000"),
        ("٤٢", "42"),
        ("－５．５", "-11/2"),
        ("5 (approximately)", "5"),
        ("**42** apples", "42"),
        ("5-year-old", "5"),
        ("$5/hour", "5"),
        ("9 m²", "9"),
        ("7\n", "7"),
        ("2 hundred thousand", "200000"),
        ("5 apples and pears", "5"),
    ],
)
def test_ways_of_writing_a_number(text: str, value: str) -> None:
    found = read(text)
    assert found is not None
    assert found.value == Fraction(value)


@pytest.mark.parametrize(
    "text",
    [
        *("3-4", "3 + 4", "3 x 4", "3:4", "2**3", "2^3", "x2", "5(x+1)", "5 - x", "3i", "2pi", "2 π", "1.5/2", "1/2/3"),
        *(
            "12/24/2020",
            "10:30",
            "5 (or so)",
            "5 not",
            "7 out of 10",
            "$5m",
            "0x10",
            "5,6",
            "5, 6",
            "5; 6",
            "±5",
            "+-5",
            "$-−5",
        ),
        *("1,200,5", "1,2000", "12\u00a000", "1\u00a0200\u00a05", "9" * 401, "1e401", "two", "", " ", ".", "-", "$"),
        *("5 times", "a 5", "5 percent 6", "3 quarters"),
    ],
)
def test_what_could_be_another_number_is_not_read(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize("units", [" apples", " km", " because of it", ", so he said", " people are there"])
def test_what_follows_a_number_does_not_change_it_and_is_no_bare_number(units: str) -> None:
    found = read(f"3.5{units}")
    assert found is not None
    assert (found.value, found.bare) == (Fraction(7, 2), False)
    assert read_number(f"3.5{units}") is None
    assert same("3.5", f"3.5{units}")
    assert not same("35", f"3.5{units}")


def test_a_percentage_is_its_hundredth_unless_the_question_asks_for_one() -> None:
    for question in ("What percentage is left?", "How many per cent?", "Give it in %."):
        assert same("60", "60%", question=question)
        assert same("60%", "60", question=question)
        assert not same("60", "0.6%", question=question)
    assert not same("60", "60%", question="How many apples?")
    assert same("0.6", "60%", question="How many apples?")


def test_words_keep_what_makes_them_different() -> None:
    assert words("**The  Owl**.") == "the owl"
    assert words(".net") != words("net")
    assert words("0.333...") != words("0.333")


@given(st.fractions(), st.sampled_from(["", "$", "€"]))
@settings(max_examples=200, deadline=None)
def test_a_fraction_reads_back_as_itself(value: Fraction, sign: str) -> None:
    assert read_number(f"{sign}{value}") == value
    assert plain(f" {value}. ") == str(value)


@given(st.integers(-(10**20), 10**20), st.integers(0, 12))
@settings(max_examples=200, deadline=None)
def test_a_decimal_reads_back_with_commas_and_without(digits: int, places: int) -> None:
    value = Fraction(digits, 10**places)
    whole, behind = divmod(abs(digits), 10**places)
    sign, tail = "-" if digits < 0 else "", f".{behind:0{places}d}" if places else ""
    for written in (f"{sign}{whole}{tail}", f"{sign}{whole:,}{tail}", f"{sign}{whole:,}{tail}".replace(",", "\u202f")):
        assert read_number(written) == value
    if whole >= 1000:  # a group of two digits is no group
        assert read_number(f"{sign}{whole:,}"[:-1]) is None


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_two_texts_can_be_compared_and_the_order_does_not_matter(one: str, other: str) -> None:
    assert same(one, one)
    assert same(one, other) == same(other, one)
    assert plain(plain(one)) == plain(one)
