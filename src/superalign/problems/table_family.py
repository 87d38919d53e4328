"""Make a problem family out of the rows of data files: one frozen record, and for each kind of problem a few pure functions.

A problem's split is that of its question, not of its row, so that all rows of one question stand in the same split, in whatever
file. Rows that say the same are counted once; prompts with two different answers are left out. Both are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from superalign.errors import BadInput, DataError
from superalign.problems.family import Grade, Planted, ProblemFamily, split_of
from superalign.problems.gsm8k import Gsm8k
from superalign.problems.jsonl import Jsonl
from superalign.problems.replies import words_of
from superalign.problems.rows import behind_cues, drawn
from superalign.problems.tables import Columns, columns_of, files_in, read_rows, unusable
from superalign.types import Plant, Problem, Record

ANSWER = "answer"  # the flaw that `plant` knows: another answer
LEAST = 3  # training problems that a difficulty needs to be a setting of the dial
OPTIONAL = ("question", "topic", "language", "difficulty")  # fields of every kind


class Unfit(ValueError):
    """A row is no problem of this kind; a whole file of such rows is passed over in a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Record):
    """One problem of a file, its answer, and all else that the file says of it."""

    prompt: str
    text: str  # the statement, question, instruction or problem alone
    question: str  # its words decide the split
    right: str
    wrong: str
    options: tuple[str, ...] = ()  # as the prompt lists them, A first
    difficulty: int = 1
    topic: str = ""
    language: str = ""
    negated: bool | None = None
    harm: str = ""  # harmless, borderline, harmful
    source: str = ""  # name of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of problem.

    Args:
        name: As before the colon of a family's name.
        needs: Alternatives; each is the fields that a row must have.
        extra: Fields that a row may have beside `OPTIONAL`.
        known: Columns of known data sets, as a user would name them, tried in this order.
        read: (fields, topic) -> the problems of one row, none for a row that cannot be asked; a ValueError says what is wrong.
        right: (problem, response) -> is this a right response?
        not_files: Names of files that have the columns of this kind and mean something else.
        damaged: Rows of known data sets that hold no problem, as "file place".
    """

    name: str
    needs: tuple[tuple[str, ...], ...]
    known: tuple[str, ...]
    read: Callable[[Mapping[str, Any], str], Sequence[Row]]
    right: Callable[[Row, str], bool]
    extra: tuple[str, ...] = ()
    not_files: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that a column can be named for."""
        return tuple(dict.fromkeys([*(f for some in self.needs for f in some), *self.extra, *OPTIONAL]))


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFamily:
    """The problems of one kind in some data files."""

    kind: Kind
    path: str  # with its query
    rows: Mapping[str, Row] = field(repr=False)  # by prompt
    repeated: int = 0  # rows that say what an earlier one says
    contradicted: int = 0  # prompts left out, since rows disagree about their answer
    left_out: int = 0  # rows that cannot be asked: equal responses or options, known damage
    passed_over: tuple[str, ...] = ()  # files of the folder that hold no problems of this kind

    @property
    def name(self) -> str:
        """As in `Problem.family`: with its path, so that it can be found again."""
        return f"{self.kind.name}:{self.path}"

    @property
    def difficulties(self) -> tuple[int, ...]:
        """Every difficulty that a few training problems have."""
        difficulties = [r.difficulty for r in self.rows.values() if split_of(r.question) == "train"]
        return tuple(d for d in sorted(set(difficulties)) if difficulties.count(d) >= LEAST)

    @property
    def flaw_kinds(self) -> tuple[str, ...]:
        """What `plant` knows."""
        return (ANSWER,)

    def questions(self, split: str) -> frozenset[str]:
        """Return the questions of one split, each as its words alone."""
        return frozenset(r.question for r in self.rows.values() if split_of(r.question) == split)

    def problems(self, *, split: str, n: int, seed: int, difficulty: int | None = None) -> tuple[Problem, ...]:
        """Draw n different problems of one split.

        Raises:
            BadInput: For an unknown split, or more problems than there are.
        """
        picked = drawn(
            self.rows.values(),
            split=split,
            n=n,
            seed=[seed, *self.kind.name.encode()],
            difficulty=difficulty,
            path=self.path,
            key=lambda r: r.question,
        )
        return tuple(Problem(prompt=r.prompt, family=self.name, difficulty=r.difficulty, split=split) for r in picked)

    def row(self, problem: Problem) -> Row:
        """Find all that is known of a problem; surface cues in front of its prompt are stripped.

        Raises:
            BadInput: If the problem is not in the files.
        """
        prompt = behind_cues(problem.prompt, self.rows)
        if prompt is None:
            raise BadInput(
                f"A problem of {problem.family} does not stand in {self.path}. Its answer is not known. Draw problems from "
                "this family."
            )
        return self.rows[prompt]

    def worked(self, problem: Problem, *, seed: int = 0) -> str:
        """Write the right answer."""
        return self.row(problem).right

    def steps(self, text: str) -> tuple[str, ...]:
        """Return no steps: a response is an answer."""
        return ()

    def check_step(self, problem: Problem, text: str, step: int) -> bool:
        """Say that no step is there."""
        return False

    def grade(self, problem: Problem, text: str) -> Grade:
        """Say whether a response gives the right answer."""
        return Grade(correct=self.kind.right(self.row(problem), text), steps=())

    def plant(self, problem: Problem, text: str, *, seed: int, kind: str | None = None) -> Planted | None:
        """Give the wrong answer in place of a right one."""
        if kind not in (None, ANSWER):
            return None
        return Planted(text=self.row(problem).wrong, plant=Plant(kind=ANSWER, where=ANSWER), step=-1)

    def placebo(self, problem: Problem, text: str, *, seed: int) -> str | None:
        """Say of an answer that it is one; behind the mark only one line would count."""
        return None if "\n" in text else f"Answer: {text}"


def key_of(text: str) -> str:
    """Return what decides the split of a question, and whether two are the same: its words.

    Raises:
        ValueError: If it has none.
    """
    return words_of(text) or text.strip()


def load_table(text: str, kind: Kind) -> TableFamily:
    """Read the problems of one kind.

    Args:
        text: `PATH` of a file or folder, or `PATH?field=column&...`.
        kind: What to read them as.

    Returns:
        The family.

    Raises:
        BadInput: If the query names what is no field.
        DataError: If a file cannot be read, has none of the columns, or has a row that cannot be used.
    """
    path, _, query = text.partition("?")
    named = columns_of(query, kind.fields)
    files = files_in(Path(path).expanduser(), named.files)
    rows: dict[str, Row] = {}
    counts = {"repeated": 0, "left_out": 0}
    against: set[str] = set()
    passed: list[str] = []
    why = ""
    for file in files:
        try:
            by_row = _problems(file, kind, named)
        except Unfit as error:
            why = why or str(error)
            passed.append(file.name)
            continue
        for problems in by_row:
            counts["left_out"] += not problems
            for row in problems:
                first = rows.setdefault(row.prompt, row)
                counts["repeated"] += first is not row
                if first.right != row.right:
                    against.add(row.prompt)
    if len(passed) == len(files):
        others = f" Nor has any of the {len(files)} files." if len(files) > 1 else ""
        raise DataError(
            f"{why}{others} Nothing could be asked. Name columns behind the path: "
            f"{kind.name}:{path}?{'&'.join(f'{f}=COLUMN' for f in kind.needs[0])}."
        )
    kept = {prompt: row for prompt, row in rows.items() if prompt not in against}
    if not kept:
        raise DataError(
            f"{path} has no problem that can be asked: {len(against)} prompts have two answers, and "
            f"{counts['left_out']} rows have equal responses or options. Nothing could be asked. Give other files."
        )
    return TableFamily(kind=kind, path=text, rows=kept, contradicted=len(against), passed_over=tuple(passed), **counts)


def _problems(file: Path, kind: Kind, named: Columns) -> list[Sequence[Row]]:
    """The problems of each row of a file.

    Raises:
        Unfit: If the file has no columns of this kind.
        DataError: If it cannot be read, or a later row cannot be used.
    """
    table = read_rows(file)
    columns = _columns(file, table[0][1], kind, named)
    stem = file.name.removesuffix(".gz").rpartition(".")[0]
    out: list[Sequence[Row]] = []
    for i, (place, row) in enumerate(table):
        try:
            problems = kind.read(columns.take(row, kind.fields), stem)
        except Unfit as error:
            if i == 0:
                raise Unfit(f"{file}, {place}, {error}.") from error
            raise unusable(file, place, str(error)) from error
        except ValueError as error:
            if f"{stem} {place.rpartition(' ')[2]}" not in kind.damaged:
                raise unusable(file, place, str(error)) from error
            problems = []
        out.append([replace(r, source=file.name) for r in problems])
    return out


def _columns(file: Path, first: Mapping[str, Any], kind: Kind, named: Columns) -> Columns:
    """Choose the columns: those that the user named, else those of a known set, else those that are called like the fields."""
    known = [columns_of(query, kind.fields) for query in kind.known]
    known += [Columns(of={f: f for f in some}) for some in kind.needs]
    tried = [replace(k, of={**k.of, **named.of}) for k in known]
    if any(set(some) <= set(named.of) for some in kind.needs):
        tried = [replace(named, files="")]
    elif file.name.startswith(kind.not_files):
        tried = []
    for columns in tried:
        if columns.fit(file, first):
            return columns
    missing = named.missing(first)
    wanted = f"has no {', '.join(missing)}" if missing else f"has no columns that are known as {kind.name}"
    raise Unfit(f"{file} {wanted}; it has {', '.join(map(repr, first))}.")


def overlap(train: ProblemFamily, test: ProblemFamily) -> tuple[str, ...]:
    """List the questions that stand in one family's train split and in another's test split, each as its words alone.

    Raises:
        BadInput: If a family is generated: it has no list of questions.
    """
    return tuple(sorted(_questions(train, "train") & _questions(test, "test")))


def check_no_overlap(train: ProblemFamily, test: ProblemFamily) -> None:
    """Refuse to test on what was trained on.

    Raises:
        BadInput: If a question stands in both splits, or a family is generated.
    """
    if shared := overlap(train, test):
        raise BadInput(
            f"{len(shared)} of the questions in the test split of {test.name} stand in the train split of {train.name}. A score "
            "on them would measure memory. Train on other files, or leave these out."
        )


def _questions(family: ProblemFamily, split: str) -> frozenset[str]:
    if isinstance(family, TableFamily):
        return family.questions(split)
    if isinstance(family, Gsm8k):
        return frozenset(map(key_of, family.answers[split]))
    if isinstance(family, Jsonl):
        return frozenset(key_of(p) for p in family.rows if split_of(p) == split)
    raise BadInput(
        f"{family.name} is generated, or lists no questions. What it shares with another family cannot be counted. Compare "
        "families that are read from files."
    )
