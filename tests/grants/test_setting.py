"""Settings: the same study on chains, on GSM8K and on a file of one's own; units, checks and spans that fit together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.errors import BadInput
from superalign.grants import Setting, chains, setting
from superalign.oversight import judge
from superalign.types import Rollouts

ROWS = [
    {"prompt": f"{a} birds, then {b} more?", "answer": str(a + b), "steps": [f"{a} and {b}", f"that is {a + b}"]}
    for a in range(2, 12)
    for b in range(2, 12)
]
SOLVED = "She has 48/2 = <<48/2=24>>24 left.\nWith 10 more that is <<24+10=34>>34.\n#### 34"


@pytest.fixture
def own(tmp_path: Path) -> Setting:
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return setting(f"jsonl:{tmp_path / 'own.jsonl'}", "random:0")


@pytest.fixture
def gsm8k(tmp_path: Path) -> Setting:
    for name in ("train", "test"):
        row = {"question": f"48 clips, half are sold in {name}, 10 are bought.", "answer": SOLVED}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    sources = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    one = {"solution": "#### 2", "is_correct": True}
    row = {"question": "1?", **dict.fromkeys(sources, one)}
    (tmp_path / "example_model_solutions.jsonl").write_text(json.dumps(row) + "\n")
    return setting(f"gsm8k:{tmp_path}")


@pytest.mark.parametrize("name", ["own", "gsm8k", "chains"])
def test_a_worked_response_passes_every_check_and_a_flawed_one_fails_one(
    name: str, request: pytest.FixtureRequest
) -> None:
    at: Setting = chains((2,)) if name == "chains" else request.getfixturevalue(name)
    for i, problem in enumerate(at.problems("train", 1, 0)):
        text = at.family.worked(problem)
        assert at.units(text) == len(at.family.steps(text)) + 1 == len(at.spans(text))
        assert at.wrong_units([problem], [text]) == [[False] * at.units(text)]
        assert at.answered(problem, text)
        flawed = at.family.plant(problem, text, seed=i)
        assert flawed is not None
        assert any(at.wrong_units([problem], [flawed.text])[0])


@pytest.mark.parametrize(
    "text", ["", "  ", "5+3=8;#8", "#8", "one line", "a\n\nb\n", "a\n#### 4\nand more", SOLVED, "####"]
)
def test_units_are_counted_as_their_family_counts_steps(text: str, own: Setting, gsm8k: Setting) -> None:
    for at in (chains(), own, gsm8k):
        steps = len(at.family.steps(text))
        assert at.units(text) == (steps + 1 if text.strip() or (text and at.levels) else 0)


def test_spans_hold_what_is_checked(own: Setting, gsm8k: Setting) -> None:
    cut = ((chains(), "5+3=8;8*2=6;#6"), (own, "2 and 3\n that is 5 \n#### 5"), (gsm8k, SOLVED))
    assert [[text[a:b] for a, b in at.spans(text)] for at, text in cut] == [
        ["5+3=8", "8*2=6", "#6"],
        ["2 and 3", "that is 5", "#### 5"],
        ["She has 48/2 = <<48/2=24>>", "24 left.\nWith 10 more that is <<24+10=34>>", "\n#### 34"],
    ]


def test_what_one_check_cannot_see(gsm8k: Setting) -> None:
    (problem,) = gsm8k.problems("test", 1, 0)
    early = "Half are left: <<48/2=24>>24.\n#### 24"  # consistent, and stops too early
    assert gsm8k.wrong_units([problem], [early]) == [[False, False]]
    assert not gsm8k.answered(problem, early)
    made_up = "<<24+47=71>>71\n#### 71"
    assert [gsm8k.check(problem, made_up, i) for i in (0, 1)] == [False, True]


def test_the_answer_of_a_line_is_what_its_last_step_says(own: Setting) -> None:
    problem = next(p for p in own.problems("train", 20, 0))
    text = own.family.worked(problem)
    other = text[: text.index("####")] + "#### 999"
    assert own.wrong_units([problem], [other]) == [[False, False, True]]
    assert own.check_alone is None


def test_a_judge_checks_lines(own: Setting) -> None:
    asked = own.problems("test", 4, 0)
    rollouts = Rollouts.of_texts(asked, [own.family.worked(p) for p in asked])
    assert judge(check_step=own.check, n_steps=own.units)(asked, rollouts, seed=0).values == (1.0,) * 4


def test_policies_get_room_and_pools_end_where_problems_do(own: Setting) -> None:
    assert own.model().sampling.max_tokens == own.longest
    assert own.model().subject.how == "random weights, seed 0"
    assert len(own.pool(10_000, 0)) == own.stock["train"] < len(ROWS)
    assert len(chains().pool(300, 0)) == 300
    assert chains((4, 5, 6)).longest == 44


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("chains:", "does not say how long"),
        ("chains:two", "does not say how long"),
        ("chains:7", "There are no chains of 7 operations"),
        ("chains:6-4", "There are no chains of no operations"),
        ("arithmetic", "There is no setting 'arithmetic'"),
        ("jsonl:nowhere", "nowhere cannot be read"),
    ],
)
def test_settings_that_there_are_not(name: str, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        setting(name)


def test_a_file_without_steps_has_nothing_to_check(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "1+1", "answer": "2"}\n')
    with pytest.raises(BadInput, match=r"Not every problem of .* has steps"):
        setting(f"jsonl:{tmp_path / 'p.jsonl'}")


def test_whoever_works_chains_refuses_other_problems(own: Setting) -> None:
    assert chains((2, 5)).depth("Amplification") == 5
    with pytest.raises(BadInput, match=r"Amplification works through chains of arithmetic, and jsonl:.* has none"):
        own.depth("Amplification")
