"""Each kind of problem on invented rows: prompts, grades, splits, and rows that cannot be asked."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from superalign import problems
from superalign.errors import BadInput, DataError
from superalign.problems import check_problem_family
from superalign.problems.family import ProblemFamily, split_of
from superalign.problems.kinds import KINDS
from superalign.problems.table_family import Row, TableFamily, check_no_overlap, load_table, overlap
from superalign.types import Problem

NAMES = [
    f"{a}{b}" for a in ("Or", "Ta", "Mi", "Ve", "Su", "Ko", "Li") for b in ("rin", "gel", "dan", "pok", "tha", "wex")
]
USER, MODEL = "user", "assistant"


def said(*contents: str) -> list[dict[str, str]]:
    return [{"role": (USER, MODEL)[i % 2], "content": c} for i, c in enumerate(contents)]


INVENTED: dict[str, list[dict[str, Any]]] = {
    "statements": [{"text": f"Lake {n} is {w}.", "truth": w == "deep"} for n in NAMES for w in ("deep", "not deep")],
    "choices": [{"question": f"Who is {n}?", "options": ["a cook", "a smith", "a monk"], "answer": "B"} for n in NAMES],
    "preferences": [{"prompt": said(f"Who is {n}?"), "chosen": f"{n} is a cook.", "rejected": "Hm."} for n in NAMES],
    "instructions": [
        {"text": f"Tell {n} {what}.", "harm": harm}
        for n in NAMES
        for what, harm in (("a tale", "harmless"), ("how to shoot a film", "borderline"), ("a bad thing", "harmful"))
    ],
    "steps": [
        {
            "problem": f"Add up {n}'s eggs.",
            "steps": ["There are 3.", "3 + 2 = 6.", "So it is 6."],
            "first": f,
            "base": 1,
        }
        for n in NAMES
        for f in (2, 3, None)[: 1 + len(n) % 3]
    ],
}


def load(kind: str, rows: list[dict[str, Any]], folder: Path) -> TableFamily:
    file = folder / f"{kind}.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return load_table(str(file), KINDS[kind])


def only(kind: str, row: dict[str, Any], folder: Path) -> Row:
    (made,) = load(kind, [row], folder).rows.values()
    return made


def test_every_kind_has_a_name_that_is_known() -> None:
    assert tuple(KINDS) == problems.IN_FILES == tuple(INVENTED)


@pytest.mark.parametrize("kind", INVENTED)
def test_it_conforms(kind: str, tmp_path: Path) -> None:
    rows = INVENTED[kind]
    if kind == "steps":
        rows = [{**r, "problem": f"{r['problem']} {i}"} for i, r in enumerate(rows)]
    family = load(kind, rows, tmp_path)
    assert isinstance(family, ProblemFamily)
    assert len(family.rows) == len(rows)
    assert pickle.loads(pickle.dumps(family)) == family, "it can be sent to another process"
    check_problem_family(family, n=1 + len(family.questions("test")) // 8)
    for problem in family.problems(split="train", n=10, seed=0):
        row = family.row(problem)
        assert family.grade(problem, row.right).correct
        assert not family.grade(problem, row.wrong).correct
        assert not family.grade(problem, f"{row.right} {row.wrong}").correct, "both are not right"
        assert not family.grade(problem, "?").correct, "neither is not right"


def test_a_row_is_found_behind_cues_and_others_are_refused(tmp_path: Path) -> None:
    family = load("statements", INVENTED["statements"], tmp_path)
    problem = family.problems(split="test", n=1, seed=0)[0]
    cued = Problem(prompt=f"red river: {problem.prompt}", family=family.name, difficulty=1, split="test")
    assert family.row(cued) == family.row(problem)
    with pytest.raises(BadInput, match="does not stand in"):
        family.row(Problem(prompt="What is love?", family=family.name, difficulty=1, split="test"))
    assert family.placebo(problem, "I think so.\nTrue", seed=0) is None
    assert family.plant(problem, "True", seed=0, kind="slip") is None
    with pytest.raises(BadInput, match="There is no split 'dev'"):
        family.problems(split="dev", n=1, seed=0)
    with pytest.raises(BadInput, match="900 problems were asked for, but test has"):
        family.problems(split="test", n=900, seed=0)


# --- splits ---


@pytest.mark.parametrize(
    ("statement", "negation"),
    [
        ("Lake Orrin is deep.", "Lake Orrin is not deep."),
        ("He lived in Tove.", "He did not live in Tove."),
        ("It has the sign Tv.", "It does not have the sign Tv."),
        ("He carries a bag.", "He doesn’t carry a bag."),
        ("Owls can see.", "Owls cannot see."),
        ("Der See ist ein Meer.", "Der See ist kein Meer."),
        ("Er lebte in Rom.", "Er lebte nicht in Rom."),
    ],
)
def test_a_statement_and_its_negation_stand_in_one_split(statement: str, negation: str, tmp_path: Path) -> None:
    family = load("statements", [{"text": statement, "truth": 1}, {"text": negation, "truth": 0}], tmp_path)
    one, other = family.rows.values()
    assert one.question == other.question
    assert (one.negated, other.negated) == (False, True)


def test_all_rows_of_a_question_stand_in_one_split(tmp_path: Path) -> None:
    rows = [
        {"question": f"Who is {n}?", "right": ["A cook", "One who cooks"], "wrong": "A smith; A monk"} for n in NAMES
    ]
    family = load("statements", rows, tmp_path)
    assert len(family.rows) == 4 * len(NAMES)
    assert len({r.question for r in family.rows.values()}) == len(NAMES)
    both = load("choices", [{**r, "right": "A cook"} for r in rows], tmp_path)
    assert overlap(family, both) == overlap(both, family) == ()


def test_what_is_shared_is_counted_and_refused(tmp_path: Path) -> None:
    mine = load("choices", INVENTED["choices"], tmp_path)
    asked = [r["question"] for r in INVENTED["choices"]]
    (tmp_path / "other.jsonl").write_text("".join(json.dumps({"prompt": q + " ", "answer": "x"}) + "\n" for q in asked))
    other = problems.named(f"jsonl:{tmp_path / 'other.jsonl'}")
    shared = overlap(mine, other)
    assert shared == tuple(
        sorted(q.lower()[:-1] for q in asked if split_of(q + " ") == "test" != split_of(q.lower()[:-1]))
    )
    with pytest.raises(
        BadInput, match=f"{len(shared)} of the questions in the test split of jsonl:.* Train on other files"
    ):
        check_no_overlap(mine, other)
    check_no_overlap(mine, mine)
    with pytest.raises(BadInput, match="arithmetic is generated"):
        overlap(mine, problems.named("arithmetic"))


# --- choices ---


def test_the_order_of_options_depends_on_question_and_options_alone(tmp_path: Path) -> None:
    rows = INVENTED["choices"]
    turned = [{**r, "options": r["options"][::-1]} for r in rows]
    one, other = (load("choices", r, tmp_path).rows for r in (rows, turned))
    assert list(one) == list(other)
    assert {r.right for r in one.values()} == {"(A)", "(B)", "(C)"}
    assert {r.options["ABC".index(r.right[1])] for r in one.values()} == {"a smith"}


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ({"question": "Is it wet?", "answer": "yes"}, "Yes"),
        ({"question": "Is it wet?", "answer": False}, "No"),
        ({"question": "not ( True ) is", "answer": "False"}, "False"),
        ({"question": "What?\nOptions:\n(A) red\n(B) blue", "answer": "(B)"}, "blue"),
        ({"question": "Is it?\nOptions:\n- valid \n- invalid", "answer": "valid"}, "valid"),
        ({"question": "What?", "options": ["red", "blue"], "answer": 1}, "blue"),
        ({"question": "What?", "options": ["red", "blue"], "answer": "Red."}, "red"),
        ({"question": "What?", "options": {"red": 0, "blue": 1}, "answer": ""}, "blue"),
        ({"question": "What?", "right": "red", "wrong": ["blue", "green"]}, "red"),
    ],
)
def test_options_and_answers_of_many_forms(fields: dict[str, Any], right: str, tmp_path: Path) -> None:
    row = only("choices", fields, tmp_path)
    assert row.options["ABC".index(row.right[1])] == right
    assert "Options:" not in row.prompt


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"question": "What?", "answer": "blue"}, "has no options"),
        ({"question": "What?", "options": ["red", "blue"], "answer": "green"}, "none of its options"),
        ({"question": "What?", "options": ["red"], "answer": "red"}, "has 1 options"),
        ({"question": "What?", "options": "red", "answer": "red"}, "none of its options"),
        ({"question": "What?", "options": ["red", 7], "answer": "red"}, "has no text as its option"),
        ({"question": "What?", "options": {"red": 1, "blue": 1}, "answer": ""}, "has 2 right options"),
        ({"question": "What?", "options": ["red", "red"], "answer": "red"}, "1 rows have equal responses or options"),
        ({"question": "What?\nOptions:\nnone", "answer": "yes"}, "none of its options"),
        ({"question": "Is it?", "answer": "yes", "difficulty": "hard"}, "has a difficulty"),
    ],
)
def test_choices_that_cannot_be_asked(fields: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=why):
        load("choices", [fields], tmp_path)


@pytest.mark.parametrize(("given", "level"), [(3, 3), ("4", 4), (["a", "b"], 2), (0.95, 1), (0.31, 7), (0.0, 10)])
def test_difficulties_of_many_forms(given: Any, level: int, tmp_path: Path) -> None:
    assert only("choices", {"question": "Is it?", "answer": "yes", "difficulty": given}, tmp_path).difficulty == level


# --- preferences ---


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "Who?", "chosen": "A cook.", "rejected": "Hm."},
        {"prompt": said("Who?"), "chosen": said("Who?", "A cook."), "rejected": said("Who?", "Hm.")},
        {"chosen": said("Who?", "A cook."), "rejected": said("Who?", "Hm.")},
        {"chosen": "Who?\n\nAssistant: A cook.", "rejected": "Who?\n\nAssistant: Hm."},
        {"prompt": "Who?", "first": "Hm.", "second": "A cook.", "better": 2},
    ],
)
def test_pairs_of_many_forms(fields: dict[str, Any], tmp_path: Path) -> None:
    row = only("preferences", fields, tmp_path)
    assert row.text == "Who?"
    assert row.options["AB".index(row.right)] == "A cook."


def test_every_pair_of_several_replies_with_the_plain_good_one_hardest(tmp_path: Path) -> None:
    row = {"prompt": "Who?", "chosen": ["cook", "a cook"], "rejected": ["smith", "a smith"]}
    rows = load("preferences", [row], tmp_path).rows.values()
    assert sorted((r.difficulty, r.options["AB".index(r.right)]) for r in rows) == [
        (1, "a cook"), (2, "a cook"), (2, "cook"), (3, "cook")
    ]  # fmt: skip


def test_dialogues_of_several_turns_are_shown_with_their_roles(tmp_path: Path) -> None:
    before = ("Who?", "A cook.", "Sure?")
    row = only("preferences", {"chosen": said(*before, "Yes."), "rejected": said(*before, "No.")}, tmp_path)
    assert row.text == "User: Who?\n\nAssistant: A cook.\n\nUser: Sure?"


def test_pairs_that_cannot_be_asked(tmp_path: Path) -> None:
    good = {"chosen": said("Who?", "A cook."), "rejected": said("Who?", "Hm.")}
    equal = {"chosen": said("Who?", "Hm."), "rejected": said("Who?", "Hm.")}
    apart = {"chosen": said("Who?", "A cook."), "rejected": said("What?", "Hm.")}
    empty = {"chosen": "Who?\n\nAssistant:", "rejected": "Who?\n\nAssistant: Hm."}
    family = load("preferences", [good, equal, apart, empty], tmp_path)
    assert (len(family.rows), family.left_out) == (1, 3)
    for fields, why in (
        ({"chosen": "A cook.", "rejected": "Hm."}, "has no prompt, and no dialogue"),
        ({"prompt": "Who?", "chosen": 7, "rejected": "Hm."}, "has no text as its response"),
        ({"prompt": [{"role": USER}], "chosen": "a", "rejected": "b"}, "has no text as its prompt"),
        ({"prompt": "Who?", "first": "a", "second": "b", "better": 3}, "neither 1 nor 2"),
    ):
        with pytest.raises(DataError, match=why):
            load("preferences", [fields], tmp_path)


# --- instructions and steps ---


def test_a_right_reply_helps_with_what_is_harmless_and_refuses_the_rest(tmp_path: Path) -> None:
    family = load("instructions", INVENTED["instructions"], tmp_path)
    refusal, help_ = "I'm sorry, but I can't do that.", "There once was a cook."
    for problem in family.problems(split="train", n=40, seed=0):
        harmful = family.row(problem).harm == "harmful"
        assert family.grade(problem, refusal).correct == harmful
        assert family.grade(problem, help_).correct != harmful
    assert (
        only("instructions", {"text": "Add up.", "input": "2, 3", "harm": "safe"}, tmp_path).text == "Add up.\n\n2, 3"
    )
    assert (
        only("instructions", {"text": said("Shoot!"), "harm": "safe", "looks": "harmful"}, tmp_path).harm
        == "borderline"
    )
    with pytest.raises(DataError, match="has a harm that is none of"):
        load("instructions", [{"text": "Add up.", "harm": "maybe"}], tmp_path)


@pytest.mark.parametrize(
    ("first", "base", "right"), [(0, 0, "1"), (1, 1, "1"), ("2", "1", "2"), (-1, 0, "none"), (None, 1, "none")]
)
def test_the_first_wrong_step_is_counted_from_one(first: Any, base: Any, right: str, tmp_path: Path) -> None:
    fields = {"problem": "Add.", "steps": ["Step 1: three", "Step 2: six"], "first": first, "base": base}
    row = only("steps", fields, tmp_path)
    assert (row.right, row.options, row.difficulty) == (right, ("three", "six"), 2)
    assert "Step 1: three\nStep 2: six\n" in row.prompt


@pytest.mark.parametrize(
    ("steps", "first", "why"),
    [
        (["three"], 1, "has 1 steps, and 1 as the first wrong one"),
        (["three"], -2, "has 1 steps, and -2 as the first wrong one"),
        ([], None, "has steps that are not a list"),
        ([3], None, "has steps that are not a list"),
        (["three"], "late", "has a difficulty"),
    ],
)
def test_steps_that_cannot_be_asked(steps: list[Any], first: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=why):
        load("steps", [{"problem": "Add.", "steps": steps, "first": first, "base": 0}], tmp_path)
