"""Labels of a supervisor of one's own: read, matched to statements, and refused where they are of something else."""

import json
from pathlib import Path

import pytest

from superalign.errors import DataError
from superalign.problems.statement_labels import labels_for, read_labels


def file_of(tmp_path: Path, *rows: object) -> str:
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def test_every_statement_gets_its_own_label_in_its_place(tmp_path: Path) -> None:
    path = file_of(
        tmp_path, {"statement": "B.", "true": 0}, {"statement": "A.", "true": 0.75}, {"statement": "C.", "true": True}
    )
    assert labels_for(["A.", "B."], path) == (0.75, 0.0)


def test_labels_of_other_statements_are_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"statement": "A.", "true": 1})
    with pytest.raises(DataError, match=r"labels 1 of the 2 statements that are drawn, and not, for example, 'B\.'"):
        labels_for(["A.", "B."], path)


@pytest.mark.parametrize(
    "row", [{"statement": "A."}, {"true": 1}, {"statement": "A.", "true": 2}, {"statement": "A.", "true": "yes"}]
)
def test_a_line_without_a_probability_is_refused(tmp_path: Path, row: object) -> None:
    with pytest.raises(DataError, match="Line 1 of"):
        read_labels(file_of(tmp_path, row))
