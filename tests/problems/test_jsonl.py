"""Users' own problems: any JSONL file."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign import problems
from superalign.errors import BadInput, DataError
from superalign.problems import check_problem_family
from superalign.problems.jsonl import Jsonl, load_answers, load_jsonl, load_prompts, parts
from superalign.problems.numbers import plain
from superalign.types import Problem


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def sums(n: int, *, steps: bool) -> list[dict[str, Any]]:
    made = [{"prompt": f"What is {a}+{b}?", "answer": a + b} for a in range(n) for b in range(a)]
    return [{**r, "steps": [f"take {r['prompt'][8:-1]}", f"it is {r['answer']}"]} if steps else r for r in made]


@pytest.fixture
def family(tmp_path: Path) -> Jsonl:
    found = problems.named(f"jsonl:{write(tmp_path / 'sums.jsonl', sums(40, steps=True))}")
    assert isinstance(found, Jsonl)
    return found


@pytest.mark.parametrize("steps", [True, False])
def test_it_conforms_with_steps_and_without(steps: bool, tmp_path: Path) -> None:
    family = load_jsonl(write(tmp_path / "sums.jsonl", sums(34, steps=steps)))
    check_problem_family(family, n=20)
    assert family.difficulties == ((2,) if steps else (0,))


def test_conformance_can_fail(tmp_path: Path) -> None:
    class Lenient(Jsonl):
        def grade(self, problem: Any, text: str) -> Any:
            return dataclasses.replace(super().grade(problem, text), correct=True)

    good = load_jsonl(write(tmp_path / "sums.jsonl", sums(25, steps=True)))
    with pytest.raises(AssertionError, match="empty response"):
        check_problem_family(Lenient(path=good.path, rows=good.rows), n=10)


def test_a_problem_is_found_again_by_its_family_and_behind_cues(family: Jsonl) -> None:
    problem = family.problems(split="test", n=1, seed=0)[0]
    again = problems.named(problem.family)
    cued = dataclasses.replace(problem, prompt=f"red river: {problem.prompt}")
    assert again.grade(cued, again.worked(problem)).sound
    with pytest.raises(BadInput, match="does not stand in"):
        family.worked(dataclasses.replace(problem, prompt="What is love?"))


@pytest.mark.parametrize(
    ("right", "said", "same"),
    [("1200", "$1,200.00", True), ("0.5", "1/2", True), ("The owl", " the  OWL.", True), ("12", "13", False),
     ("1e999999999", "1e999999999", True), ("1/0", "1/0", True), ("7", "", False), ("75", ".75", False), ("0.75", ".75", True),
     ("12", "1,2", False), ("-5", "-$5", True), ("42", "42 apples", True), ("42", "42 or 43", False)],
)  # fmt: skip
def test_answers_are_compared_by_what_they_mean(right: str, said: str, same: bool, tmp_path: Path) -> None:
    family = load_jsonl(write(tmp_path / "one.jsonl", [{"prompt": "p", "answer": right}]))
    split = next(s for s in ("train", "test") if family.rows and _has(family, s))
    problem = family.problems(split=split, n=1, seed=0)[0]
    assert family.grade(problem, f"so\n#### {said}").correct is same
    assert family.grade(problem, said).correct is same


def test_text_after_the_answers_line_is_passed_over(tmp_path: Path) -> None:
    assert parts("6*7\n#### 42\nI hope that helps.\n7") == (("6*7",), "42")
    assert parts("####\n42") == ((), "42")
    assert parts("#### 1\nno\n#### 2") == (("#### 1", "no"), "2")
    row = {"prompt": "How many per cent?", "answer": 60}
    family = load_jsonl(write(tmp_path / "one.jsonl", [row]))
    problem = Problem(prompt=row["prompt"], family=family.name, difficulty=0, split="train")
    assert family.grade(problem, "#### 60%\nDone.").correct
    assert not family.grade(problem, "#### 61\n60").correct


def _has(family: Jsonl, split: str) -> bool:
    try:
        return bool(family.problems(split=split, n=1, seed=0))
    except BadInput:
        return False


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_grader(text: str) -> None:
    family = Jsonl(path="x", rows=load_rows())
    problem = next(p for s in ("train", "test") if _has(family, s) for p in family.problems(split=s, n=1, seed=0))
    family.grade(problem, text)
    assert plain(plain(text)) == plain(text) or not text.isascii()
    assert len(parts(text)[0]) <= len(text)


def load_rows() -> Any:
    from superalign.problems.jsonl import Row

    return {"p": Row(prompt="p", answer="4", steps=("2+2=4",), difficulty=1)}


# Lines that end every reader of JSONL alike, whatever fields it looks at.
UNUSABLE: list[tuple[Any, str]] = [
    ("   ", "is blank"),
    ('{"prompt": "x \\ud83d", "answer": "4"}', r"a prompt that holds half of a character (\ud83d)"),
    ('{"prompt": "x", "answer": "4", "meta": [{"by": "\\udc00"}]}', r"a meta that holds half of a character (\udc00)"),
    ('{"prompt": "x", "answer": "4", "\\ud83d": 1}', r"half of a character (\ud83d)"),
    ('{"prompt": "x", "meta": ' + "[" * 20_000 + "]" * 20_000 + ', "answer": "4"}', "too many brackets"),
    ('{"prompt": "x", "answer": ' + '{"a": ' * 20_000 + "1" + "}" * 20_001, "too many brackets"),
    ('{"prompt": "x", "answer": NaN}', "NaN, which is no number and not JSON"),
    ('{"prompt": "x", "answer": "4", "score": -Infinity}', "-Infinity, which is no number"),
    ('{"prompt": "x", "answer": 1e400}', "beyond what a double can hold"),
    ('{"prompt": "x", "answer": ' + "9" * 310 + "}", "beyond what a double can hold"),
    ('{"prompt": "x", "answer": "4", "n": ' + "9" * 5000 + "}", "beyond what a double can hold"),
    ('{"prompt": "x", "answer": "4", "answer": "5"}', "the key 'answer' twice"),
    ('\ufeff{"prompt": "x", "answer": "4"}', "is not JSON"),
]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ([1], "is not an object"),
        ({"answer": "4"}, "has no prompt"),
        ({"prompt": "x"}, "has no answer"),
        ({"prompt": "x", "answer": None}, "has no answer"),
        ({"prompt": 3, "answer": "4"}, "prompt that is no text"),
        ({"prompt": "x", "answer": " "}, "answer that is no text"),
        ({"prompt": "x", "answer": True}, "answer that is no text"),
        ({"prompt": "x", "answer": "4", "steps": "2+2=4"}, "not a list of texts"),
        ({"prompt": "x", "answer": "4", "steps": ["a #### b"]}, "line break"),
        ({"prompt": "x", "answer": "4", "difficulty": "hard"}, "no whole number"),
        ({"prompt": "a", "answer": "5"}, "repeats the prompt of line 1"),
        ({"prompt": "a", "answer": "1"}, "repeats the prompt of line 1"),
        *UNUSABLE,
    ],
)
def test_a_bad_line_is_named_by_its_number(line: Any, why: str, tmp_path: Path) -> None:
    good = [{"prompt": p, "answer": "1"} for p in "ab"]
    path = write(tmp_path / "bad.jsonl", [*good, line, {"prompt": "z", "answer": "1"}])
    with pytest.raises(DataError, match=r"bad\.jsonl, line 3, ") as caught:
        problems.named(f"jsonl:{path}")
    assert why in str(caught.value)
    assert "Mend or remove the line" in str(caught.value)


@pytest.mark.parametrize(("line", "why"), UNUSABLE)
@pytest.mark.parametrize("load", [load_prompts, load_answers])
def test_the_prompts_of_an_audit_go_through_the_same_door(load: Any, line: Any, why: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.jsonl", [{"prompt": "a", "answer": "1"}, line, {"prompt": "z"}])
    with pytest.raises(DataError, match=r"bad\.jsonl, line 2, ") as caught:
        load(path)
    assert why in str(caught.value)


@pytest.mark.parametrize("answer", ["0.1000000000000000055511151231257827", "3.14159265358979323846", "1e-400"])
def test_a_number_of_more_digits_than_a_double_holds_is_no_answer_but_may_stand_elsewhere(
    answer: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.jsonl", [{"prompt": "a", "answer": "1"}, f'{{"prompt": "b", "answer": {answer}}}'])
    for load in (load_jsonl, load_answers):
        with pytest.raises(
            DataError, match=r"line 2, has the number .* of more digits than a double holds; write it as a text"
        ):
            load(path)
    write(path, [f'{{"prompt": "b", "answer": "{answer}", "logprob": {answer}}}'])
    assert load_jsonl(path).rows["b"].answer == answer


@pytest.mark.parametrize(
    ("number", "text", "said"),
    [
        ("0.00001", "0.00001", "1e-5"),
        ("1e22", "1" + "0" * 22, "1" + "0" * 22),
        ("2.50", "2.50", "2.5"),
        ("1e-05", "0.00001", "0.00001"),
        ("123456789012345678901", "123456789012345678901", "123,456,789,012,345,678,901"),
        ("-0.0", "-0.0", "0"),
        ("1e300", "1E+300", "1e300"),
        ("0.30000000000000004", "0.30000000000000004", "0.30000000000000004"),
    ],
)
def test_a_number_of_the_file_is_compared_as_it_is_written(number: str, text: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [f'{{"prompt": "b", "answer": {number}}}'])
    problem = Problem(prompt="b", family="", difficulty=0, split="test")
    for family in (load_jsonl(path), load_answers(path).family):
        assert family.rows["b"].answer == text
        assert family.grade(problem, f"#### {said}").correct
        assert not family.grade(problem, f"#### {said}1").correct


def test_blank_lines_at_the_end_are_passed_over_and_half_a_character_of_utf_8_is_not(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b"}\r\n\n  \n\t\r\n')
    assert load_prompts(path) == ("a", "b")
    path.write_bytes(b'{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "\xf0\x9f"}\n')
    with pytest.raises(DataError, match=r"p\.jsonl, line 3, is not text in UTF-8"):
        load_prompts(path)


def test_a_file_may_be_named_with_its_prefix_or_without(tmp_path: Path) -> None:
    path = write(tmp_path / "sums.jsonl", sums(6, steps=False))
    for name in (str(path), f"jsonl:{path}"):
        assert problems.named(name).name == f"jsonl:{path}"
        assert len(load_prompts(name)) == len(load_answers(name).family.rows) == 15
    other = path.rename(tmp_path / "sums.txt")
    assert problems.named(str(other)).name == f"jsonl:{other}"
    with pytest.raises(DataError, match="No such file") as caught:
        load_prompts(f"jsonl:{path}")
    assert "jsonl:" not in str(caught.value)  # what does not help is not advised


def test_separators_that_json_allows_do_not_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text('\ufeff{"prompt": "one\u2028two", "answer": "a\u0085b"}\r\n{"prompt": "x", "answer": 3}\n')
    assert [r.answer for r in load_jsonl(path).rows.values()] == ["a\u0085b", "3"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file.* Check the path"):
        problems.named(f"jsonl:{tmp_path / 'none.jsonl'}")
    with pytest.raises(DataError, match="Is a directory"):
        problems.named(f"jsonl:{tmp_path}")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="is empty"):
        problems.named(f"jsonl:{tmp_path / 'empty.jsonl'}")
    (tmp_path / "picture.jsonl").write_bytes(b"\x89PNG\xff")
    with pytest.raises(DataError, match="not text in UTF-8"):
        problems.named(f"jsonl:{tmp_path / 'picture.jsonl'}")


def test_more_than_there_are_is_refused(family: Jsonl) -> None:
    with pytest.raises(BadInput, match=r"99999 problems were asked for, but test has \d+ of difficulty 2"):
        family.problems(split="test", n=99_999, seed=0, difficulty=2)
    with pytest.raises(BadInput, match="no split"):
        family.problems(split="dev", n=1, seed=0)


def test_answers_are_read_where_there_are_any_and_what_cannot_be_compared_is_counted(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"prompt": "a", "answer": "4"}, {"prompt": "b", "answer": 4.50}, {"prompt": "c"}, {"prompt": "d", "answer": None},
        {"prompt": "e", "answer": " "}, {"prompt": "f", "answer": "dear reader,\nno"}, {"prompt": "g", "answer": "2+2=4\n#### 4"},
    ]  # fmt: skip
    found = load_answers(write(tmp_path / "p.jsonl", rows))
    assert {p: r.answer for p, r in found.family.rows.items()} == {"a": "4", "b": "4.5", "g": "4"}
    assert (found.prompts, found.vague) == (7, 1)
    problem = Problem(prompt="red: a", family="prompts", difficulty=1, split="test")
    assert found.family.grade(problem, "two and two\n#### 4.0").correct
    assert not found.family.grade(problem, "4 it is not\n5").correct


@pytest.mark.parametrize("answer", [True, ["4"], {"value": 4}])
def test_an_answer_that_is_no_text_is_refused_by_its_line(answer: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"prompt": "a", "answer": "4"}, {"prompt": "b", "answer": answer}])
    with pytest.raises(DataError, match="line 2, has an answer that is neither a text nor a number"):
        load_answers(path)
