"""GSM8K from its own files: grade-school problems with annotated steps, and labelled solutions of four real models.

`load_gsm8k(PATH)` reads a folder with train.jsonl, test.jsonl and example_model_solutions.jsonl; nothing is shipped or
fetched.

Source: Cobbe et al., Training Verifiers to Solve Math Word Problems, 2021.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from superalign.errors import BadInput, DataError
from superalign.problems.family import Grade, Planted
from superalign.problems.gsm8k_flaws import FLAW_KINDS, flaw, reached
from superalign.problems.gsm8k_placebo import harmless
from superalign.problems.gsm8k_text import Solution, Step, annotated, read_solution
from superalign.problems.lines import read_jsonl, refused
from superalign.problems.numbers import RUNNING, read_number, same
from superalign.types import Plant, Problem

SOURCES = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
FILES = ("train.jsonl", "test.jsonl", "example_model_solutions.jsonl")
ALWAYS = tuple(Fraction(x) for x in (1, 2, 100))  # numbers that need no source: one, a pair, per cent

_COUNTED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NAMED = (
    "thirty:30 forty:40 fifty:50 sixty:60 seventy:70 eighty:80 ninety:90 hundred:100 thousand:1000 million:1000000 "
    "dozen:12 dozens:12 half:2,1/2 halves:2,1/2 halved:2,1/2 twice:2 double:2 doubled:2 doubles:2 pair:2 pairs:2 "
    "couple:2 both:2 second:2 twins:2 triple:3 tripled:3 triples:3 thrice:3 third:3,1/3 thirds:3,1/3 triplets:3 "
    "quadruple:4 quarter:4,1/4 quarters:4,1/4 fourth:4,1/4 fourths:4,1/4 fifth:5,1/5 fifths:5,1/5 sixth:6,1/6 "
    "sixths:6,1/6 seventh:7,1/7 eighth:8,1/8 eighths:8,1/8 ninth:9,1/9 tenth:10,1/10 tenths:10,1/10 once:1"
)
_BROUGHT_ALONG = (  # a word of the question, and the numbers that it may stand for in a step
    "week:7,4,52,5 day:7,24,30,365 daily:7,30,365 hour:60,24 minute:60 second:60 year:12,52,365 annual:12,52 "
    "month:12,30,4 decade:10 century:100 foot:12,3 feet:12,3 inch:12 yard:3,36 mile:5280 pound:16 ounce:16,8 "
    "gallon:4,8,128 quart:4 pint:2,8 cup:8,16 ton:2000 kilo:1000 km:1000 kg:1000 meter:1000 liter:1000 gram:1000 "
    "quarter:25,1/4 dime:10,1/10 nickel:5,1/20 penn:1/100 cent:1/100 square:4 rectang:4 triang:3,180 weekend:2 octo:8 "
    "spider:8 leg:4 average:3,4,5 am:12 noon:12"
)


def _table(text: str) -> dict[str, tuple[Fraction, ...]]:
    pairs = (entry.split(":") for entry in text.split())
    return {word: tuple(Fraction(v) for v in values.split(",")) for word, values in pairs}


_WORDS: Mapping[str, tuple[Fraction, ...]] = {
    **{word: (Fraction(i),) for i, word in enumerate(_COUNTED.split())},
    **_table(_NAMED),
}
_UNITS: Mapping[str, tuple[Fraction, ...]] = _table(_BROUGHT_ALONG)
_EQUALS = re.compile(rf"=\s*[$£€]?({RUNNING})")
_MENTION = re.compile(rf"(?P<f>\d+\s?/\s?\d+)|(?P<n>{RUNNING})(?P<p>\s?%|\s+percent)?|(?P<w>[A-Za-z]+)")


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
    out = []
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
            values = _WORDS.get(word, ())
        if values:
            out.append(Mention(values=values, start=m.start(), end=m.end()))
    return tuple(out)


@lru_cache(maxsize=20_000)
def common_knowledge(question: str) -> frozenset[Fraction]:
    """Numbers that a question brings along without writing them: 7 with weeks, 60 with hours, and 1, 2 and 100 always."""
    text = question.lower()
    return frozenset({*ALWAYS, *(v for unit, values in _UNITS.items() if unit in text for v in values)})


def grounded(question: str, solution: Solution, step: int) -> bool:
    """Say whether each operand of a step comes from the question, from common knowledge or from an earlier result."""
    expression = solution.steps[step].expression
    if expression is None:
        return True
    known = set(common_knowledge(question))
    for mention in mentions(question):
        known.update(mention.values)
    for earlier in solution.steps[:step]:
        results = (earlier.expression.value if earlier.expression else None, earlier.value, read_number(earlier.shown))
        known.update(v for v in results if v is not None)
    # prose works things out too: "3.5 hours = 210 minutes"
    prose = " ".join([*(f"{s.before} {s.after}" for s in solution.steps[:step]), solution.steps[step].before])
    known.update(n for m in _EQUALS.finditer(prose) if (n := read_number(m[1])) is not None)
    return all(abs(leaf.value) in known or leaf.value in known for leaf in expression.numbers())


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSolution:
    """A solution that a real model wrote, and whether its answer is right."""

    question: str
    text: str
    source: str
    correct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gsm8k:
    """The family of one folder of GSM8K files; `load_gsm8k` makes it."""

    path: str
    answers: Mapping[str, Mapping[str, str]]  # split -> question -> annotated solution
    model_solutions: tuple[ModelSolution, ...]
    excluded: int = 0  # training questions that also stand in test
    name: str = "gsm8k"
    flaw_kinds: tuple[str, ...] = FLAW_KINDS
    difficulties: tuple[int, ...] = tuple(range(10))

    def problems(self, *, split: str, n: int, seed: int, difficulty: int | None = None) -> tuple[Problem, ...]:
        """Draw n different problems of one split; the difficulty is the number of annotated steps.

        Raises:
            BadInput: For an unknown split, or where there are fewer than n such problems.
        """
        if split not in self.answers:
            raise BadInput(
                f"There is no split {split!r}. GSM8K stands in train or test by its files. Use one of those."
            )
        able = [(q, len(annotated(a))) for q, a in self.answers[split].items()]
        able = [(q, d) for q, d in able if difficulty is None or d == difficulty]
        if n > len(able):
            raise BadInput(
                f"{n} problems were asked for, but {split} has {len(able)}"
                + (f" with {difficulty} steps" if difficulty is not None else "")
                + f" in {self.path}. Drawing one twice would count it twice. Ask for fewer."
            )
        chosen = np.random.default_rng([seed, *b"gsm8k"]).permutation(len(able))[:n]
        return tuple(Problem(prompt=able[i][0], family=self.name, difficulty=able[i][1], split=split) for i in chosen)

    def reference(self, problem: Problem) -> Solution:
        """Read the annotated solution of a problem.

        Raises:
            BadInput: If the problem is not one of this folder's.
        """
        text = self.answers.get(problem.split, {}).get(problem.prompt)
        if text is None:
            raise BadInput(
                f"The problem {problem.prompt[:60]!r} does not stand in {self.path}. Its answer is not known. "
                "Draw problems from this family."
            )
        return _read(text)

    def worked(self, problem: Problem, *, seed: int = 0) -> str:
        """Write the annotated solution, with its expressions in the annotations alone."""
        return self.reference(problem).text()

    def steps(self, text: str) -> tuple[str, ...]:
        """Cut a response into its steps, one annotation each."""
        return tuple(s.text() for s in _read(text).steps)

    def check_step(self, problem: Problem, text: str, step: int) -> bool:
        """Say whether a step holds and works out what the annotated solution works out too.

        A judge without the answer sees less: `grants.checks.check_grounds`. A right step by another way is not recognised.
        """
        solution = _read(text)
        return 0 <= step < len(solution.steps) and _right_step(solution.steps[step], self.reference(problem))

    def grade(self, problem: Problem, text: str) -> Grade:
        """Compare the final answer with the annotated one, and each step with what the annotated solution reaches."""
        solution, right = _read(text), self.reference(problem)
        correct = bool(solution.answer) and same(right.answer, solution.answer, question=problem.prompt)
        return Grade(correct=correct, steps=tuple(_right_step(s, right) for s in solution.steps))

    def plant(self, problem: Problem, text: str, *, seed: int, kind: str | None = None) -> Planted | None:
        """Put one flaw into a correct response."""
        rng = np.random.default_rng([seed, 1])
        numbers = question_numbers(problem.prompt)
        for k in [kind] if kind is not None else [str(k) for k in rng.permutation(self.flaw_kinds)]:
            flawing = flaw(rng, _read(text), numbers, k)
            if flawing is not None:
                flawed, step, where = flawing
                return Planted(text=flawed.text(), plant=Plant(kind=k, where=where), step=step)
        return None

    def placebo(self, problem: Problem, text: str, *, seed: int) -> str | None:
        """Edit a response without changing what is right about it."""
        edited = harmless(np.random.default_rng([seed, 2]), _read(text))
        return None if edited is None else edited.text()


@lru_cache(maxsize=50_000)
def _read(text: str) -> Solution:
    return read_solution(text)


def _right_step(step: Step, right: Solution) -> bool:
    if not step.annotation or any(step.annotation == s.annotation for s in right.steps):
        return True
    return step.true and step.value in reached(right)


def question_numbers(question: str) -> tuple[Fraction, ...]:
    """Return the plainest value of each number of a question, each once, in rising order."""
    return tuple(sorted({m.values[0] for m in mentions(question)}))


def _fingerprint(question: str) -> str:
    return hashlib.sha256(re.sub(r"[^a-z0-9]+", " ", question.lower()).strip().encode()).hexdigest()


def load_gsm8k(path: str | Path) -> Gsm8k:
    """Read a folder of GSM8K files; training questions that also stand in test, but for spelling, are left out.

    Args:
        path: A folder with train.jsonl, test.jsonl and example_model_solutions.jsonl.

    Returns:
        The family.

    Raises:
        DataError: If a file is missing, or a line cannot be read or repeats a question; the message has the file and the
            line's number.
    """
    folder = Path(str(path).removeprefix("gsm8k:")).expanduser()
    try:
        there = os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be read ({error.strerror}). The study needs the files in it. Check the path and its "
            "permissions, and pass it as gsm8k:PATH."
        ) from error
    missing = [f for f in FILES if f not in there]
    if missing:
        raise DataError(
            f"{folder} has no {', '.join(missing)}. The study needs problems, their solutions and solutions of real models. "
            "Pass gsm8k:PATH with the folder of these three files (openai/grade-school-math, MIT licence)."
        )
    text = ("question", "answer")
    test = {r["question"]: r["answer"] for r in _rows(folder / "test.jsonl", text)}
    train = {r["question"]: r["answer"] for r in _rows(folder / "train.jsonl", text)}
    known = {_fingerprint(q) for q in test}
    kept = {q: a for q, a in train.items() if _fingerprint(q) not in known}
    solutions = []
    for row in _rows(folder / "example_model_solutions.jsonl", ("question",), SOURCES):
        for source in SOURCES:
            one = row[source]
            solutions.append(
                ModelSolution(question=row["question"], text=one["solution"], source=source, correct=one["is_correct"])
            )
    return Gsm8k(
        path=str(folder),
        answers={"train": kept, "test": test},
        model_solutions=tuple(solutions),
        excluded=len(train) - len(kept),
    )


def _rows(file: Path, texts: Sequence[str], solutions: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Read one JSONL file whose rows have these texts and these labelled solutions."""
    example = '{"question": "...", "answer": "... #### 4"}'
    rows = []
    for at, row in read_jsonl(file, example=example, field="question"):
        good = all(isinstance(row.get(t), str) for t in texts) and all(
            isinstance(row.get(s), dict)
            and isinstance(row[s].get("solution"), str)
            and isinstance(row[s].get("is_correct"), bool)
            for s in solutions
        )
        if not good:
            raise refused(file, at, f"has no {', '.join([*texts, *solutions])}", example)
        rows.append(row)
    return rows
