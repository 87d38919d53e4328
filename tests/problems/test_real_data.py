"""Real data sets by path: what is read of each, that they conform and do not leak, and the error of the refusal grader.

docs/data.md holds the numbers; these tests hold the page to them.
"""

import csv
import functools
import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from superalign.problems import check_problem_family
from superalign.problems.family import split_of
from superalign.problems.gsm8k import load_gsm8k
from superalign.problems.kinds import KINDS
from superalign.problems.replies import outcome, reaction
from superalign.problems.table_family import TableFamily, key_of, load_table, overlap
from superalign.stats import wilson
from superalign.types import Interval

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
SETS = [
    ("statements", "true-false"),
    ("statements", "truthfulqa"),
    ("choices", "csqa2"),
    ("choices", "strategyqa"),
    ("choices", "bbh"),
    ("choices", "truthfulqa"),
    ("preferences", "llmbar"),
    ("preferences", "rm-bench"),
    ("preferences", "hh-rlhf"),
    ("instructions", "xstest"),
    ("instructions", "harmful-requests"),
    ("instructions", "self-instruct"),
    ("instructions", "gptfuzz"),
    ("steps", "processbench"),
    ("steps", "mr-gsm8k"),
    ("steps", "bigbench-mistake"),
]


def folder_of(name: str) -> Path:
    repository = Path(__file__).resolve().parents[2]
    elsewhere = Path(os.environ.get("SUPERALIGN_DATA", "/nowhere"))
    for folder in (repository.parent / "shared" / "data" / name, elsewhere / name):
        if folder.is_dir():
            return folder
    pytest.skip(f"{name} is neither in ../shared/data/{name} nor in $SUPERALIGN_DATA/{name}")


@functools.cache
def family_of(kind: str, name: str, query: str = "") -> TableFamily:
    return load_table(f"{folder_of(name)}{query}", KINDS[kind])


@pytest.mark.parametrize(("kind", "name"), SETS)
def test_it_conforms(kind: str, name: str) -> None:
    family = family_of(kind, name)
    check_problem_family(family, n=min(20, len(family.questions("test")) // 4))


@pytest.mark.parametrize(("kind", "name"), SETS)
def test_the_page_says_what_is_read(kind: str, name: str) -> None:
    family = family_of(kind, name)
    questions = f"{len(family.questions('train')):,} | {len(family.questions('test')):,}"
    counts = f"{family.repeated:,} | {family.contradicted} | {family.left_out}"
    assert f"| {kind} | {name} | {len(family.rows):,} | {questions} | {counts} |" in PAGE


def test_topics_negations_and_languages_are_told() -> None:
    rows = family_of("statements", "true-false").rows.values()
    assert {r.topic for r in rows} == {
        "animal_class", "cities", "element_symb", "facts", "inventors", "sp_en_trans", "common_claim_true_false",
        "larger_than", "smaller_than",
    }  # fmt: skip
    by_file = [(r.source.startswith("neg_"), r.negated, r.source) for r in rows if "_conj" not in r.source]
    assert all(negated for by_name, negated, _ in by_file if by_name)
    plain = Counter(f for by_name, negated, f in by_file if negated and not by_name)
    assert {f: n for f, n in plain.items() if not f.startswith(("common", "facts"))} == {
        "sp_en_trans.csv": 1,
        "sp_en_trans_disj.csv": 3,
    }  # 'izquierda' means 'never'
    assert {r.language for r in rows} == {"", "de"}
    assert {r.language for r in rows if "_de" in r.source} == {"de"}


def test_a_statement_and_its_negation_stand_in_one_split() -> None:
    rows = family_of("statements", "true-false").rows.values()
    known = {r.question for r in rows if not r.source.startswith("neg_")}
    apart = Counter(r.source for r in rows if r.source.startswith("neg_") and r.question not in known)
    # Other wordings, not negations: "Sharks aren't mammals, they are fish." of "Sharks are mammals, not fish."
    assert apart == {"neg_facts.csv": 14, "neg_facts_de.csv": 1}


def test_all_splits_of_one_question_agree_over_files_and_kinds() -> None:
    pairs = [
        (family_of("statements", "truthfulqa"), family_of("choices", "truthfulqa")),
        (family_of("steps", "processbench"), family_of("steps", "mr-gsm8k")),
        (
            family_of("statements", "true-false", "?files=[acefis]*"),
            family_of("statements", "true-false", "?files=neg_*"),
        ),
    ]
    for one, other in pairs:
        assert overlap(one, other) == overlap(other, one) == ()


def test_questions_of_gsm8k_are_known_again() -> None:
    gsm8k = load_gsm8k(folder_of("gsm8k"))
    steps = family_of("steps", "processbench", "?files=gsm8k*")
    assert len(steps.rows) == 400
    asked = {key_of(q) for q in gsm8k.answers["test"]}
    assert steps.questions("train") | steps.questions("test") <= asked
    assert overlap(steps, gsm8k) == tuple(sorted(steps.questions("train")))
    assert overlap(gsm8k, steps) == ()
    others = family_of("steps", "mr-gsm8k")
    assert len((others.questions("train") | others.questions("test")) & asked) == 357


def test_what_sets_share_is_what_the_page_says() -> None:
    def asked(kind: str, name: str) -> frozenset[str]:
        family = family_of(kind, name)
        return family.questions("train") | family.questions("test")

    benchmark = asked("preferences", "rm-bench")
    assert len(asked("steps", "processbench") & asked("steps", "mr-gsm8k")) == 124
    assert len(asked("steps", "bigbench-mistake") & asked("choices", "bbh")) == 86
    assert len(benchmark & asked("instructions", "xstest")) == 157
    assert len(benchmark & asked("instructions", "self-instruct")) == 26
    assert len(benchmark & asked("preferences", "llmbar")) == 12
    assert len(asked("instructions", "gptfuzz") & asked("instructions", "harmful-requests")) == 4


def rows_of(file: Path) -> list[dict[str, str]]:
    with gzip.open(file, "rt", encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


def labelled_replies(name: str) -> list[tuple[str, str, str]]:
    """Of each reply that people labelled: the part of the data, the label, and what the grader says."""
    if name == "xstest":
        files = sorted(folder_of(name).glob("completions_*.csv.gz"))
        rows = [r for f in files for r in rows_of(f)]
        return [
            (
                f"xstest, {split_of(key_of(r['prompt']))}",
                r["final_label"][2:].replace("_", " "),
                reaction(r["completion"]),
            )
            for r in rows
        ]
    rows = rows_of(folder_of(name) / "responses_labeled_evaluate.csv.gz")
    once = sorted({(r["question"], r["Response"], r["label"]) for r in rows})
    return [("gptfuzz", ("rejected", "jailbroken")[int(label)], reaction(text)) for _, text, label in once]


@pytest.mark.parametrize("name", ["xstest", "gptfuzz"])
def test_the_error_of_the_refusal_grader_is_what_the_page_says(name: str) -> None:
    replies = labelled_replies(name)
    for part, label in sorted({(p, x) for p, x, _ in replies}):
        said = Counter(s for p, x, s in replies if (p, x) == (part, label))
        n = said.total()
        shares = []
        for what in ("refuses", "complies", "neither"):
            share = wilson(said[what], n=n)
            assert isinstance(share, Interval)
            shares.append(f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]")
        line = f"| {part} | {label} | {n} | {' | '.join(shares)} |"
        assert line in PAGE, line


OUTCOMES = ("complies", "elsewhere", "refuses", "neither", "nothing")
SHORT = 100  # characters: about 24 tokens


def short_replies() -> list[tuple[str, str, str]]:
    """The same of replies that are cut short, read beside their requests."""
    files = sorted(folder_of("xstest").glob("completions_*.csv.gz"))
    plain = [
        (
            f"xstest, {split_of(key_of(r['prompt']))}",
            r["final_label"][2:].replace("_", " "),
            r["completion"],
            r["prompt"],
        )
        for f in files
        for r in rows_of(f)
    ]
    with (folder_of("gptfuzz") / "question_list.csv").open(encoding="utf-8", newline="") as opened:
        asked = [row["text"] for row in csv.DictReader(opened)]
    rows = rows_of(folder_of("gptfuzz") / "responses_labeled_evaluate.csv.gz")
    once = sorted({(r["question"], r["Response"], r["label"]) for r in rows})
    inside = [("gptfuzz", ("rejected", "jailbroken")[int(label)], text, asked[int(q)]) for q, text, label in once]
    return [(part, label, outcome(text[:SHORT], request)) for part, label, text, request in (*plain, *inside)]


def test_the_error_on_short_replies_is_what_the_page_says() -> None:
    replies = short_replies()
    for part, label in sorted({(p, x) for p, x, _ in replies}):
        said = Counter(s for p, x, s in replies if (p, x) == (part, label))
        shares = []
        for what in OUTCOMES:
            share = wilson(said[what], n=said.total())
            assert isinstance(share, Interval)
            shares.append(f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]")
        line = f"| {part} | {label} | {said.total()} | {' | '.join(shares)} |"
        assert line in PAGE, line
