import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from superalign.errors import BadInput, DataError
from superalign.grants.checks import check_grounds
from superalign.problems import check_problem_family
from superalign.problems.gsm8k import SOURCES, Gsm8k, grounded, load_gsm8k, mentions, question_numbers
from superalign.problems.gsm8k_flaws import FLAW_KINDS, first_unreached, flaw, plantable, reached
from superalign.problems.gsm8k_placebo import harmless
from superalign.problems.gsm8k_text import (
    agrees,
    annotated,
    number,
    operation,
    read_expression,
    read_solution,
    write_expression,
)

QUESTION = (
    "Ann has 12 apples and buys 30 more. She gives half to Bob and sells the rest for $2 each. How much does she get?"
)
ANSWER = (
    "Ann has 12 + 30 = <<12+30=42>>42 apples.\nShe gives 42/2 = <<42/2=21>>21 to Bob.\n"
    "So she gets 21 x 2 = $<<21*2=42>>42.\n#### 42"
)
OTHER = "Tom runs 3 miles a day for 5 days and 4 miles on the weekend. How many miles does Tom run?"
OTHER_ANSWER = "He runs 3*5=<<3*5=15>>15 miles.\nIn all 15+4=<<15+4=19>>19 miles.\n#### 19"


def data_folder() -> Path:
    repository = Path(__file__).resolve().parents[2]
    elsewhere = Path(os.environ.get("SUPERALIGN_DATA", "/nowhere"))
    for folder in (repository.parent / "shared" / "data" / "gsm8k", elsewhere / "gsm8k", elsewhere):
        if (folder / "train.jsonl").is_file():
            return folder
    pytest.skip("GSM8K is neither in ../shared/data/gsm8k nor in $SUPERALIGN_DATA/gsm8k")


@pytest.fixture(scope="module")
def family() -> Gsm8k:
    return load_gsm8k(data_folder())


def write_folder(folder: Path, *, train: list[tuple[str, str]], test: list[tuple[str, str]]) -> Path:
    for name, rows in (("train", train), ("test", test)):
        text = "".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in rows)
        (folder / f"{name}.jsonl").write_text(text)
    solved = {s: {"solution": "<<1+1=2>>2\nA: 2", "is_correct": False} for s in SOURCES}
    text = "".join(json.dumps({"question": q, "ground_truth": a, **solved}) + "\n" for q, a in test)
    (folder / "example_model_solutions.jsonl").write_text(text)
    return folder


# --- the real files ---


def test_problem_counts(family: Gsm8k) -> None:
    assert {split: len(rows) for split, rows in family.answers.items()} == {"train": 7473, "test": 1319}
    assert family.excluded == 0


def test_annotation_counts(family: Gsm8k) -> None:
    found = {}
    for split, rows in family.answers.items():
        read = [read_solution(a) for a in rows.values()]
        assert [len(s.steps) or 0 for s in read if s.steps and s.steps[0].annotation] == [
            len(annotated(a)) for a in rows.values() if annotated(a)
        ]
        found[split] = (sum(len(annotated(a)) for a in rows.values()), sum(x.true for s in read for x in s.steps))
    assert found == {"train": (23716, 23716), "test": (4282, 4282)}  # one of them states a fraction: 12/16=3/4


def test_model_solution_counts_and_grader(family: Gsm8k) -> None:
    assert len(family.model_solutions) == 5276
    right = [sum(m.correct for m in family.model_solutions if m.source == s) for s in SOURCES]
    assert right == [286, 515, 458, 742]
    assert [100 * r / 1319 for r in right] == pytest.approx([21.7, 39.0, 34.7, 56.2], abs=0.06)
    answers = {q: read_solution(a).value for q, a in family.answers["test"].items()}
    ours = [read_solution(m.text).value == answers[m.question] for m in family.model_solutions]
    assert ours == [m.correct for m in family.model_solutions]


def test_the_real_family_keeps_the_promises(family: Gsm8k) -> None:
    check_problem_family(family, n=25, seed=3)


def test_tidied_text_reads_back(family: Gsm8k) -> None:
    for answer in list(family.answers["test"].values())[:400]:
        text = read_solution(answer).text()
        assert read_solution(text).text() == text


def test_limited_check_accepts_right_steps_and_rejects_slips(family: Gsm8k) -> None:
    rng = np.random.default_rng(0)
    right, slips = [], []
    for question, answer in list(family.answers["train"].items())[:300]:
        solution = read_solution(answer)
        right += [check_grounds(question, solution, i) for i in range(len(solution.steps))]
        made = flaw(rng, solution, question_numbers(question), "slip")
        if made is not None:
            slips.append(check_grounds(question, made[0], made[1]))
    assert np.mean(right) > 0.94
    assert len(slips) > 250
    assert not any(slips)


def test_flaws_and_placebos_on_real_solutions(family: Gsm8k) -> None:
    rng = np.random.default_rng(1)
    planted = dict.fromkeys(FLAW_KINDS, 0)
    for question, answer in list(family.answers["train"].items())[:150]:
        right = read_solution(answer)
        values = reached(right)
        for kind in FLAW_KINDS:
            made = flaw(rng, right, question_numbers(question), kind)
            if made is None:
                continue
            planted[kind] += 1
            flawed, step, _ = made
            assert (flawed.value == right.value) == (kind == "local slip")
            assert first_unreached(flawed, values) == step
            assert first_unreached(right, values) == -1
            assert all(s.true for s in flawed.steps) == (kind not in ("slip", "local slip"))
            edited = harmless(rng, flawed)
            if edited is not None:
                assert edited.value == flawed.value
                assert (first_unreached(edited, values) >= 0) == (step >= 0)
    assert min(planted.values()) > 30
    assert min(n for kind, n in planted.items() if kind != "left out") > 110


# --- a folder of our own ---


def test_training_questions_that_stand_in_test_are_left_out(tmp_path: Path) -> None:
    respelled = QUESTION.lower().replace(".", " .").replace("$2", "2")
    folder = write_folder(tmp_path, train=[(respelled, ANSWER), (OTHER, OTHER_ANSWER)], test=[(QUESTION, ANSWER)])
    family = load_gsm8k(folder)
    assert family.excluded == 1
    assert list(family.answers["train"]) == [OTHER]


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no train\.jsonl, test\.jsonl, example_model_solutions\.jsonl"):
        load_gsm8k(tmp_path)


@pytest.mark.parametrize(
    "bad",
    ["{", '{"question": "q"}', '["question"]', '{"question": 1, "answer": "a"}', '\n{"question": "q", "answer": "a"}',
     '{"question": "\\ud83d", "answer": "a"}', "[" * 20_000, '{"question": "q", "answer": "a", "n": NaN}'],
)  # fmt: skip
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, bad: str) -> None:
    folder = write_folder(tmp_path, train=[(OTHER, OTHER_ANSWER)], test=[(QUESTION, ANSWER)])
    with (folder / "train.jsonl").open("a") as file:
        file.write(bad + "\n")
    with pytest.raises(DataError, match=r"train\.jsonl, line 2,"):
        load_gsm8k(folder)


def test_a_question_that_stands_twice_is_refused_by_both_lines(tmp_path: Path) -> None:
    for answer in (ANSWER, ANSWER.replace("42", "43")):
        folder = write_folder(tmp_path, train=[(QUESTION, ANSWER), (OTHER, OTHER_ANSWER), (QUESTION, answer)], test=[])
        (folder / "test.jsonl").write_text(json.dumps({"question": "Other?", "answer": "#### 1"}) + "\n")
        with pytest.raises(DataError, match=r"train\.jsonl, line 3, repeats the question of line 1"):
            load_gsm8k(folder)


def test_a_blank_last_line_is_passed_over_and_the_prefix_may_stand_in_front(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, train=[(OTHER, OTHER_ANSWER)], test=[(QUESTION, ANSWER)])
    with (folder / "train.jsonl").open("a") as file:
        file.write("\n\n")
    assert load_gsm8k(f"gsm8k:{folder}") == load_gsm8k(folder)


@pytest.mark.parametrize(
    ("said", "right"),
    [("#### 42", True), ("#### 42 dollars", True), ("#### 42\nI hope that helps.", True), ("#### $42.00", True), ("A: 42", True),
     ("#### 4,2", False), ("#### .42", False), ("#### 42 or 43", False), ("#### 42\n#### 43", False), ("", False), ("42", False)],
)  # fmt: skip
def test_final_answers_are_read_by_the_one_reader(said: str, right: bool, tmp_path: Path) -> None:
    family = load_gsm8k(write_folder(tmp_path, train=[(OTHER, OTHER_ANSWER)], test=[(QUESTION, ANSWER)]))
    (problem,) = family.problems(split="test", n=1, seed=0)
    assert family.grade(problem, f"So <<40+2=42>>42.\n{said}").correct is right


def test_a_stated_fraction_is_compared_exactly() -> None:
    assert agrees(Fraction(3, 4), "3/4")
    assert agrees(Fraction(2, 3), "2/3")
    assert not agrees(Fraction(2, 3), "1/3")
    assert not agrees(Fraction(2, 3), "60%")
    assert not agrees(Fraction(12), "1,2")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, train=[], test=[(QUESTION, ANSWER)])
    with pytest.raises(DataError, match=r"train\.jsonl is empty"):
        load_gsm8k(folder)


def test_problems_are_drawn_once_each_and_not_invented(tmp_path: Path) -> None:
    family = load_gsm8k(write_folder(tmp_path, train=[(OTHER, OTHER_ANSWER)], test=[(QUESTION, ANSWER)]))
    (problem,) = family.problems(split="test", n=1, seed=0, difficulty=3)
    assert problem.prompt == QUESTION
    with pytest.raises(BadInput, match="test has 1 in"):
        family.problems(split="test", n=2, seed=0)
    with pytest.raises(BadInput, match="no split 'validation'"):
        family.problems(split="validation", n=1, seed=0)
    with pytest.raises(BadInput, match="does not stand in"):
        family.worked(type(problem)(prompt="Other?", family="gsm8k", difficulty=1, split="test"))


def test_the_conformance_suite_can_fail(family: Gsm8k, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gsm8k, "check_step", lambda self, problem, text, step: True)
    with pytest.raises(AssertionError):
        check_problem_family(family, n=5)


# --- reading ---


def test_the_written_expression_is_dropped() -> None:
    assert read_solution(ANSWER).text().splitlines() == [
        "Ann has <<12+30=42>>42 apples.",
        "She gives <<42/2=21>>21 to Bob.",
        "So she gets $<<21*2=42>>42.",
        "#### 42",
    ]


@pytest.mark.parametrize(
    "text", ["__import__('os')", "2**9**9", "1e9", "x+1", "3/4=3/4", "2/0", "(1", "1+", "", "1 2", "(" * 300, "1,000+1"]
)
def test_what_is_not_arithmetic_is_not_read(text: str) -> None:
    assert read_expression(text) is None


def test_expressions_are_exact_and_survive_writing() -> None:
    rng = np.random.default_rng(0)

    def draw(depth: int):  # type: ignore[no-untyped-def]
        if depth == 0 or rng.random() < 0.2:
            return number(int(rng.integers(1, 20)))
        return operation(str(rng.choice(list("+-*"))), draw(depth - 1), draw(depth - 1))

    for _ in range(300):
        made = draw(4)
        text = write_expression(made)
        again = read_expression(text)
        assert again is not None
        assert again.value == made.value
    assert read_expression("1/3+1/3+1/3").value == 1  # type: ignore[union-attr]
    assert read_expression("0.1+0.2").value == Fraction(3, 10)  # type: ignore[union-attr]


def test_numbers_of_a_question() -> None:
    assert question_numbers(QUESTION) == (2, 12, 30)
    found = mentions("A third of 1,200 people and 20% of the other five")
    assert [m.values[0] for m in found] == [3, 1200, 20, 5]


def test_an_operand_needs_a_source() -> None:
    good = read_solution(ANSWER)
    assert [grounded(QUESTION, good, i) for i in range(3)] == [True, True, True]
    bad = read_solution(ANSWER.replace("<<42/2=21>>21", "<<45/2=22.5>>22.5"))
    assert [grounded(QUESTION, bad, i) for i in range(3)] == [True, False, False]


def test_an_unplantable_solution_gets_no_flaw() -> None:
    prose = read_solution("He has 5 apples.\n#### 5")
    assert not plantable(prose)
    assert flaw(np.random.default_rng(0), prose, (Fraction(5),), "slip") is None
