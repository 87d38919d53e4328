"""GSM8K from its own files: grade-school problems with annotated steps, and labelled solutions of four real models.

`load_gsm8k(PATH)` reads a folder with train.jsonl, test.jsonl and example_model_solutions.jsonl; nothing is shipped or fetched.

Source: Cobbe et al., Training Verifiers to Solve Math Word Problems, 2021.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from superalign.problems.gsm8k_text import Solution, read_number

SOURCES = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
FILES = ("train.jsonl", "test.jsonl", "example_model_solutions.jsonl")
ALWAYS = tuple(Fraction(x) for x in (1, 2, 100))  # numbers that need no source: one, a pair, per cent

_WORDS: Mapping[str, tuple[str, ...]] = {
    **{w: (str(i),) for i, w in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"])},
    **{w: (str(10 * i),) for i, w in enumerate(["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 3)},
    "hundred": ("100",), "thousand": ("1000",), "million": ("1000000",), "dozen": ("12",), "dozens": ("12",),
    "half": ("2", "1/2"), "halves": ("2", "1/2"), "halved": ("2", "1/2"), "twice": ("2",), "double": ("2",), "doubled": ("2",),
    "doubles": ("2",), "pair": ("2",), "pairs": ("2",), "couple": ("2",), "both": ("2",), "second": ("2",), "twins": ("2",),
    "triple": ("3",), "tripled": ("3",), "thrice": ("3",), "triples": ("3",), "third": ("3", "1/3"), "thirds": ("3", "1/3"), "triplets": ("3",),
    "quadruple": ("4",), "quarter": ("4", "1/4"), "quarters": ("4", "1/4"), "fourth": ("4", "1/4"), "fourths": ("4", "1/4"),
    "fifth": ("5", "1/5"), "fifths": ("5", "1/5"), "sixth": ("6", "1/6"), "sixths": ("6", "1/6"), "seventh": ("7", "1/7"),
    "eighth": ("8", "1/8"), "eighths": ("8", "1/8"), "ninth": ("9", "1/9"), "tenth": ("10", "1/10"), "tenths": ("10", "1/10"),
    "once": ("1",),
}  # fmt: skip
_UNITS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("week", ("7", "4", "52", "5")), ("day", ("7", "24", "30", "365")), ("daily", ("7", "30", "365")), ("hour", ("60", "24")),
    ("minute", ("60",)), ("second", ("60",)), ("year", ("12", "52", "365")), ("annual", ("12", "52")), ("month", ("12", "30", "4")),
    ("decade", ("10",)), ("century", ("100",)), ("foot", ("12", "3")), ("feet", ("12", "3")), ("inch", ("12",)), ("yard", ("3", "36")),
    ("mile", ("5280",)), ("pound", ("16",)), ("ounce", ("16", "8")), ("gallon", ("4", "8", "128")), ("quart", ("4",)), ("pint", ("2", "8")),
    ("cup", ("8", "16")), ("ton", ("2000",)), ("kilo", ("1000",)), ("km", ("1000",)), ("kg", ("1000",)), ("meter", ("1000",)),
    ("liter", ("1000",)), ("gram", ("1000",)), ("quarter", ("25", "0.25")), ("dime", ("10", "0.1")), ("nickel", ("5", "0.05")),
    ("penn", ("0.01",)), ("cent", ("0.01",)), ("square", ("4",)), ("rectang", ("4",)), ("triang", ("3", "180")), ("weekend", ("2",)),
    ("octo", ("8",)), ("spider", ("8",)), ("leg", ("4",)), ("average", ("3", "4", "5")), ("am", ("12",)), ("noon", ("12",)),
)  # fmt: skip
_MENTION = re.compile(r"(?P<f>\d+\s?/\s?\d+)|(?P<n>(?:\d[\d,]*)?\.?\d+)(?P<p>\s?%|\s+percent)?|(?P<w>[A-Za-z]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A number of a question: every value it can stand for, the plainest first, and where it is."""

    values: tuple[Fraction, ...]
    start: int
    end: int


@lru_cache(maxsize=20_000)
def mentions(question: str) -> tuple[Mention, ...]:
    """Find the numbers of a question, in digits, words, fractions and per cents.

    Example:
        >>> [[str(v) for v in m.values] for m in mentions("Half of 1/4 of $1,200, or 20% off three")]
        [['2', '1/2'], ['1/4', '1', '4'], ['1200'], ['20', '1/5', '4/5', '6/5', '80', '120'], ['3']]
    """
    found = []
    for m in _MENTION.finditer(question):
        values: tuple[Fraction, ...] = ()
        if m["f"]:
            a, b = (int(x) for x in m["f"].split("/"))
            values = (Fraction(a, b), Fraction(a), Fraction(b)) if b else (Fraction(a), Fraction(b))
        elif m["n"]:
            n = Fraction(m["n"].replace(",", ""))
            rate = n / 100
            values = (n, rate, 1 - rate, 1 + rate, 100 - n, 100 + n) if m["p"] else (n,)
        else:
            word = m["w"].lower()
            values = tuple(Fraction(v) for v in _WORDS.get(word, ()))
        if values:
            found.append(Mention(values=values, start=m.start(), end=m.end()))
    return tuple(found)


@lru_cache(maxsize=20_000)
def common_knowledge(question: str) -> frozenset[Fraction]:
    """Numbers that a question brings along without writing them: 7 with weeks, 60 with hours, and 1, 2 and 100 always."""
    text = question.lower()
    return frozenset({*ALWAYS, *(Fraction(v) for unit, values in _UNITS if unit in text for v in values)})


def grounded(question: str, solution: Solution, step: int) -> bool:
    """Say whether each operand of a step comes from the question, from common knowledge or from an earlier result."""
    expression = solution.steps[step].expression
    if expression is None:
        return True
    known = set(common_knowledge(question))
    for mention in mentions(question):
        known.update(mention.values)
    for i, earlier in enumerate(solution.steps[: step + 1]):
        if i < step:
            results = (earlier.expression.value if earlier.expression else None, earlier.value, read_number(earlier.shown))
            known.update(v for v in results if v is not None)
        # prose works things out too: "3.5 hours = 210 minutes", "three more, so 5"
        known.update(n for m in re.finditer(r"=\s*[$£€]?([\d,]*\.?\d+)", earlier.before) if (n := read_number(m[1])) is not None)
    for earlier in solution.steps[:step]:
        known.update(n for m in re.finditer(r"=\s*[$£€]?([\d,]*\.?\d+)", earlier.after) if (n := read_number(m[1])) is not None)
    return all(leaf.value in known or abs(leaf.value) in known for leaf in expression.numbers())
