"""Your own problems, from any JSONL file: `prompt`, `answer`, and where you have them `steps` and `difficulty`.

A response is one step per line, then `#### ` and the answer, which ends with its line; without that mark the last line is the
answer. Answers are compared by value where both are numbers (docs/answers.md has the table), and as words otherwise, whatever
their case and blanks. A step counts as right if it is one of the file's steps for that problem: a right step by another way is
not recognised. Where the file has no steps, only answers are graded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from superalign.errors import BadInput
from superalign.problems.family import Grade, Planted
from superalign.problems.lines import PREFIX, file_of, read_jsonl, refused
from superalign.problems.numbers import plain, same
from superalign.problems.rows import behind_cues, drawn
from superalign.types import Plant, Problem

MARK = "####"
WRITTEN_OUT = 40  # digits up to which a number of the file is written without an exponent
FLAW_KINDS = ("slip", "answer")  # another digit in a step; the answer of another problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the file."""

    prompt: str
    answer: str
    steps: tuple[str, ...]
    difficulty: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a file of prompts holds of answers."""

    family: Jsonl  # the prompts that have an answer which can be compared
    prompts: int  # in the file
    vague: int  # answers of several lines without a mark: no comparison would find them in a response


@dataclass(frozen=True, slots=True, kw_only=True)
class Jsonl:
    """A problem family out of one file."""

    path: str
    rows: Mapping[str, Row] = field(repr=False)  # by prompt

    @property
    def name(self) -> str:
        """As in `Problem.family`: with its path, so that it can be found again."""
        return f"{PREFIX}{self.path}"

    @property
    def difficulties(self) -> tuple[int, ...]:
        """Every difficulty in the file."""
        return tuple(sorted({r.difficulty for r in self.rows.values()}))

    @property
    def flaw_kinds(self) -> tuple[str, ...]:
        """What `plant` knows."""
        return FLAW_KINDS

    def problems(self, *, split: str, n: int, seed: int, difficulty: int | None = None) -> tuple[Problem, ...]:
        """Draw n different problems of one split; a prompt's split is its hash's.

        Raises:
            BadInput: For an unknown split, or more problems than there are.
        """
        picked = drawn(
            self.rows.values(),
            split=split,
            n=n,
            seed=[seed, *b"jsonl"],
            difficulty=difficulty,
            path=self.path,
            key=lambda r: r.prompt,
        )
        return tuple(Problem(prompt=r.prompt, family=self.name, difficulty=r.difficulty, split=split) for r in picked)

    def row(self, problem: Problem) -> Row:
        """Find a problem's line; surface cues in front of its prompt are stripped.

        Raises:
            BadInput: If the problem is not in the file.
        """
        prompt = behind_cues(problem.prompt, self.rows)
        if prompt is None:
            raise BadInput(
                f"The problem {problem.prompt[:60]!r} does not stand in {self.path}. Its answer is not known. Draw "
                "problems from this family."
            )
        return self.rows[prompt]

    def worked(self, problem: Problem, *, seed: int = 0) -> str:
        """Write the file's steps and answer as a response."""
        row = self.row(problem)
        return response(row.steps, row.answer)

    def steps(self, text: str) -> tuple[str, ...]:
        """Cut a response into its steps."""
        return parts(text)[0]

    def check_step(self, problem: Problem, text: str, step: int) -> bool:
        """Say whether a step is one of the file's steps for this problem."""
        steps = parts(text)[0]
        return 0 <= step < len(steps) and plain(steps[step]) in {plain(s) for s in self.row(problem).steps}

    def grade(self, problem: Problem, text: str) -> Grade:
        """Compare the answer, and each step where the file has steps for the problem."""
        row, (steps, answer) = self.row(problem), parts(text)
        known = {plain(s) for s in row.steps}
        return Grade(
            correct=bool(answer) and same(row.answer, answer, question=row.prompt),
            steps=tuple(plain(s) in known for s in steps) if known else (),
        )

    def plant(self, problem: Problem, text: str, *, seed: int, kind: str | None = None) -> Planted | None:
        """Put one flaw into a correct response; None where this kind does not fit."""
        rng = np.random.default_rng([seed, 1])
        steps, answer = parts(text)
        for k in [kind] if kind is not None else [str(k) for k in rng.permutation(FLAW_KINDS)]:
            slip = self._slip(rng, problem, steps) if k == "slip" else None
            if slip is not None:
                at, flawed = slip
                changed = (*steps[:at], flawed, *steps[at + 1 :])
                plant = Plant(kind=k, where=f"step {at}")
                return Planted(text=response(changed, answer), plant=plant, step=at)
            if k == "answer":
                others = sorted(
                    {r.answer for r in self.rows.values() if not same(answer, r.answer, question=problem.prompt)}
                )
                if others:
                    wrong = others[int(rng.integers(len(others)))]
                    return Planted(text=response(steps, wrong), plant=Plant(kind=k, where="answer"), step=-1)
        return None

    def _slip(self, rng: np.random.Generator, problem: Problem, steps: Sequence[str]) -> tuple[int, str] | None:
        """Change the last digit of a step that has one, so that it is no step of the file's."""
        known = {plain(s) for s in self.row(problem).steps}
        if not known:
            return None
        for at in (int(i) for i in rng.permutation(len(steps))):
            places = [i for i, c in enumerate(steps[at]) if c in "0123456789"]
            for shift in (int(s) for s in 1 + rng.permutation(9)):
                if not places:
                    break
                i = places[-1]
                slipped = steps[at][:i] + str((int(steps[at][i]) + shift) % 10) + steps[at][i + 1 :]
                if plain(slipped) not in known:
                    return at, slipped
        return None

    def placebo(self, problem: Problem, text: str, *, seed: int) -> str | None:
        """Write one blank more somewhere."""
        spots = [i for i, c in enumerate(text) if c == " "]
        if not spots:
            return None
        at = spots[int(np.random.default_rng([seed, 2]).integers(len(spots)))]
        return text[:at] + " " + text[at:]


def response(steps: Sequence[str], answer: str) -> str:
    """Write steps and answer as a response.

    Example:
        >>> response(("2 + 2 = 4",), "4")
        '2 + 2 = 4\\n#### 4'
    """
    return "\n".join([*steps, f"{MARK} {answer}"])


def parts(text: str) -> tuple[tuple[str, ...], str]:
    """Cut a response into steps and answer.

    Example:
        >>> parts("2 + 2 = 4\\n#### 4"), parts("4")
        ((('2 + 2 = 4',), '4'), ((), '4'))
    """
    body, mark, after = text.rpartition(MARK)
    lines = [line.strip() for line in (body if mark else text).splitlines() if line.strip()]
    if mark:
        return tuple(lines), after.strip().split("\n", 1)[0].strip()
    return tuple(lines[:-1]), lines[-1] if lines else ""


def load_jsonl(path: str | Path) -> Jsonl:
    """Read a file of problems.

    Args:
        path: One JSON object per line: `prompt` and `answer` (texts, or a number for an answer), where you have them
            `steps` (a list of texts) and `difficulty` (a whole number; the number of steps if it is missing). Other
            fields are passed over. `jsonl:PATH` is taken too.

    Returns:
        The family.

    Raises:
        DataError: If the file cannot be read or is empty, or a line is not a problem; the message has the line's number.
    """
    rows = _lines(path, _row, '{"prompt": "2+2", "answer": "4"}')
    return Jsonl(path=str(file_of(path)), rows={row.prompt: row for row in rows})


def load_prompts(path: str | Path) -> tuple[str, ...]:
    """Read the prompts of a file, whatever else its lines hold: no answers are needed.

    Raises:
        DataError: If the file cannot be read or is empty, or a line has no prompt; the message has the line's number.
    """
    return tuple(row.prompt for row in _lines(path, _only_prompt, '{"prompt": "Name a river."}'))


def load_answers(path: str | Path) -> Answers:
    """Read the answers of a file of prompts, where there are any; of a worked one, what follows its last mark.

    Raises:
        DataError: As `load_prompts`, or if an answer is neither a text nor a number.
    """
    rows = _lines(path, _prompt_and_answer, '{"prompt": "2+2", "answer": "4"}')
    usable = {r.prompt: r for r in rows if r.answer and "\n" not in r.answer}
    vague = sum("\n" in r.answer for r in rows)
    return Answers(family=Jsonl(path=str(file_of(path)), rows=usable), prompts=len(rows), vague=vague)


def _lines(path: str | Path, read: Callable[[dict[str, Any]], Row], example: str) -> list[Row]:
    """Read every line of a file; one that is no problem is refused by its number."""
    rows = []
    for at, fields in read_jsonl(path, example=example):
        try:
            rows.append(read(fields))
        except ValueError as error:
            raise refused(file_of(path), at, str(error), example) from error
    return rows


def _only_prompt(fields: dict[str, Any]) -> Row:
    """Check that a line has a prompt; a ValueError says what is wrong with it."""
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("has no prompt" if prompt is None else "has a prompt that is no text")
    return Row(prompt=prompt, answer="", steps=(), difficulty=1)


def _prompt_and_answer(fields: dict[str, Any]) -> Row:
    """Check a line's prompt, and its answer if it has one; a ValueError says what is wrong with it."""
    row, answer = _only_prompt(fields), _answer(fields)
    if answer is not None and not isinstance(answer, str):
        raise ValueError("has an answer that is neither a text nor a number")
    answer = (answer or "").strip()
    return replace(row, answer=parts(answer)[1] if MARK in answer else answer)


def _answer(fields: dict[str, Any]) -> Any:
    """A line's answer; a number as a text, written as in the file but for its exponent."""
    answer = fields.get("answer")
    if isinstance(answer, Decimal):
        if Decimal(repr(float(answer))) != answer:
            raise ValueError(
                f"has the number {str(answer)[:40]}, of more digits than a double holds; write it as a text"
            )
        return f"{answer:f}" if abs(answer.adjusted()) < WRITTEN_OUT else str(answer)
    return str(answer) if isinstance(answer, int) and not isinstance(answer, bool) else answer


def _row(fields: dict[str, Any]) -> Row:
    """Check one line; a ValueError says what is wrong with it."""
    answer = _answer(fields)
    for name, value in (("prompt", fields.get("prompt")), ("answer", answer)):
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"has no {name}" if value is None else f"has a {name} that is no text")
    steps = fields.get("steps", [])
    if not isinstance(steps, list) or not all(isinstance(s, str) and s.strip() for s in steps):
        raise ValueError("has steps that are not a list of texts")
    # A line break or mark inside would be read as another step, or as the answer.
    steps = [" ".join(s.split()) for s in steps]
    if any(MARK in t for t in (*steps, answer)) or "\n" in answer.strip():
        raise ValueError(f"has {MARK} or a line break where a step or the answer ends")
    difficulty = fields.get("difficulty", len(steps))
    if not isinstance(difficulty, int) or isinstance(difficulty, bool):
        raise ValueError("has a difficulty that is no whole number")
    return Row(prompt=fields["prompt"], answer=answer.strip(), steps=tuple(steps), difficulty=difficulty)
