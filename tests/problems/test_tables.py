"""Files of every format give the same problems, and what cannot be used is refused by its place."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from superalign import problems
from superalign.errors import BadInput, DataError
from superalign.problems.kinds import KINDS
from superalign.problems.table_family import TableFamily, load_table

ROWS = [
    {"statement": f"The lake {name}, in the north, is {'not ' if negated else ''}deep.", "label": int(negated)}
    for name in ("Orrin", "Tove", "Mårn")
    for negated in (False, True)
]


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


FORMATS = {
    "a.csv": as_csv(ROWS),
    "a.json": json.dumps(ROWS),
    "a.jsonl": "".join(json.dumps(r) + "\n" for r in ROWS),
    "b.json": "".join(json.dumps(r) + "\n" for r in ROWS),
    "c.json": json.dumps({"licence": "none", "examples": ROWS}, indent=1),
    "d.csv": "\ufeff" + as_csv(ROWS) + "\n",
}


def write(file: Path, text: str | bytes) -> Path:
    data = text.encode() if isinstance(text, str) else text
    file.write_bytes(gzip.compress(data) if file.name.endswith(".gz") else data)
    return file


def statements(path: Path | str) -> TableFamily:
    return load_table(str(path), KINDS["statements"])


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_problems(name: str, packed: str, tmp_path: Path) -> None:
    rows = statements(write(tmp_path / (name + packed), FORMATS[name])).rows.values()
    assert [(r.text, r.right, r.negated) for r in rows] == [
        (r["statement"], "True" if r["label"] else "False", bool(r["label"])) for r in ROWS
    ]


def test_a_list_of_texts_is_a_column(tmp_path: Path) -> None:
    for name, text in (("a.txt", "Name a lake.\n\nName a hill.\n"), ("b.json", '["Name a lake.", "Name a hill."]')):
        file = write(tmp_path / name, text)
        family = load_table(f"{file}?text=text&harm==harmless", KINDS["instructions"])
        assert list(family.rows) == ["Name a lake.", "Name a hill."]
        assert {r.harm for r in family.rows.values()} == {"harmless"}


def test_columns_can_be_named(tmp_path: Path) -> None:
    rows = [{"claim": r["statement"], "is it so": "yes" if r["label"] else "no", "about": "lakes"} for r in ROWS]
    file = write(tmp_path / "a.csv", as_csv(rows))
    family = problems.named(f"statements:{file}?text=claim&truth=is+it+so&topic=about&language==en")
    assert isinstance(family, TableFamily)
    assert {(r.topic, r.language) for r in family.rows.values()} == {("lakes", "en")}
    assert family.name == f"statements:{file}?text=claim&truth=is+it+so&topic=about&language==en"
    problem = family.problems(split="train", n=1, seed=0)[0]
    assert problems.named(problem.family).grade(problem, family.worked(problem)).correct


def test_a_folder_is_all_of_its_files_or_those_of_a_pattern(tmp_path: Path) -> None:
    write(tmp_path / "deep.csv", as_csv(ROWS[:2]))
    write(tmp_path / "neg_far_de.jsonl.gz", FORMATS["a.jsonl"])
    write(tmp_path / "other.json", '[{"colour": "red"}]')
    write(tmp_path / "README.md", "no data")
    write(tmp_path / "LICENSE.txt", "no data")
    write(tmp_path / "._deep.csv", b"\0\5\26\7")
    whole = statements(tmp_path)
    assert (len(whole.rows), whole.repeated, whole.passed_over) == (6, 2, ("other.json",))
    assert {r.topic for r in whole.rows.values()} == {"deep", "far"}
    part = statements(f"{tmp_path}?files=*_de*")
    assert {(r.language, r.negated, r.source) for r in part.rows.values()} == {("de", True, "neg_far_de.jsonl.gz")}


GOOD = '{"statement": "Lakes are wet.", "label": 1}\n'


@pytest.mark.parametrize(
    ("name", "text", "query", "part"),
    [
        ("a.csv", "", "", "is empty"),
        ("a.csv", "statement,label\n", "", "is empty"),
        ("a.json", " ", "", "is empty"),
        ("a.json", "[]", "", "is empty"),
        ("a.jsonl", "\n", "", "is empty"),
        ("a.txt", "\n", "", "is empty"),
        ("a.parquet", "PAR1", "", "does not say what it holds"),
        ("a.csv.gz", b"no gzip", "", "is damaged"),
        ("a.csv.gz", gzip.compress(FORMATS["a.csv"].encode(), mtime=0)[:-9], "", "is damaged"),
        ("a.csv", b"statement,label\n\xff,1\n", "", "line 2, is not text in UTF-8"),
        ("a.csv", "claim,label\nLakes are wet.,1\n", "", "it has 'claim', 'label'"),
        ("a.csv", "claim,label\nLakes are wet.,1\n", "text=what&truth=label", "has no what; it has 'claim', 'label'"),
        ("a.csv", "statement,label\nLakes are wet.,1\nLakes\n", "", "line 3, has 1 columns, not 2"),
        ("a.csv", "statement,label\nLakes are wet.,1,2\n", "", "line 2, has 3 columns, not 2"),
        ("a.csv", "statement,statement\nLakes are wet.,1\n", "", "line 1, names the column 'statement' twice"),
        ("a.csv", 'statement,label\n"Lakes" are wet.,1\n', "", "line 2, is not CSV"),
        ("a.csv", 'statement,label\nLakes are wet.,1\n"Hills', "", "line 3, is not CSV"),
        ("a.csv", 'statement,label\n"Lakes\nare wet.",1\n,1\n', "", "line 4, has no statement"),
        ("a.jsonl", GOOD + "{", "", "line 2, is not JSON"),
        ("a.jsonl", GOOD + "[1]", "", "line 2, is not an object"),
        ("a.jsonl", GOOD + '{"label": 1}', "", "line 2, has no statement"),
        ("a.jsonl", GOOD + '{"statement": 7, "label": 1}', "", "line 2, has no text as its statement"),
        ("a.jsonl", GOOD + '{"statement": "Hills are wet.", "label": 2}', "", "line 2, has a truth that is neither"),
        ("a.json", f"[{GOOD},\n{{]", "", "line 3, is not JSON"),
        ("a.json", f'[{GOOD}, {{"statement": "\\ud800", "label": 1}}]', "", "entry 2, has a statement that holds half"),
        ("a.json", f"[{GOOD}, NaN]", "", "has NaN"),
        ("a.json", f"[{GOOD}, 3]", "", "entry 2, is neither an object nor a text"),
        ("a.json", '{"a": [], "b": []}', "", "is no list of rows"),
        ("a.json", "3", "", "is no list of rows"),
        ("a.json", "[" * 100_000, "", "too many brackets"),
        ("a.jsonl", GOOD + GOOD.replace("1", "0"), "", "1 prompts have two answers"),
        ("a.jsonl", GOOD, "text=statement&label=label", "'label' is no field"),
        ("a.jsonl", GOOD, "text", "'text' names no columns"),
    ],
)
def test_what_cannot_be_used_is_refused(name: str, text: str | bytes, query: str, part: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(BadInput) as caught:
        statements(f"{file}?{query}" if query else str(file))
    message = str(caught.value)
    assert part in message
    assert len(message.replace("...", "").split(". ")) >= 3, "what is wrong, why it matters, what to do"


def test_wrong_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        problems.named(f"statements:{tmp_path / 'nowhere.csv'}")
    with pytest.raises(DataError, match="has no data file"):
        problems.named(f"statements:{tmp_path}")
    write(tmp_path / "a.csv", "claim,label\nLakes are wet.,1\n")
    with pytest.raises(DataError, match="has no data file that is called b"):
        problems.named(f"statements:{tmp_path}?files=b*")
    with pytest.raises(DataError, match=r"'/\*' is no pattern of file names"):
        problems.named(f"statements:{tmp_path}?files=/*")
    write(tmp_path / "b.csv", "colour\nred\n")
    with pytest.raises(DataError, match=r"it has 'claim', 'label'. Nor has any of the 2 files"):
        problems.named(f"statements:{tmp_path}")
    with pytest.raises(BadInput, match="There is no problem family 'statements:'"):
        problems.named("statements:")
