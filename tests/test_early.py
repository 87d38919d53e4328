"""Settings that are refused before anything heavy is imported, and that the table of them speaks of real settings."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest

from superalign.early import FIELDS, refuse_early
from superalign.errors import BadInput
from superalign.studies import STUDIES


@pytest.mark.parametrize(
    ("study", "words", "part"),
    [
        ("audit", ["subject=nowhere"], "There is no model at nowhere"),
        ("audit", ["subject=", "reference=small, nowhere"], "There is no model at nowhere"),
        ("audit", ["base=org/name"], "org/name is no bundled base"),
        ("audit", ["prompts=nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        ("plant", ["base=api:a/b"], "gives texts only"),
        ("redteam", ["subject=api:a/b"], "gives texts only"),
        ("redteam", ["base=small", "requests=instructions:nowhere.csv"], "nowhere.csv cannot be read"),
        ("redteam", ["requests=questions.csv"], "does not say which requests are harmful"),
        ("redteam", ["templates=nowhere.csv"], "nowhere.csv cannot be read"),
        ("loop", ["subject=nowhere"], "There is no model at nowhere"),
        ("prompted", ["agent=nowhere"], "There is no model at nowhere"),
        ("prompted", ["judge=nowhere"], "There is no model at nowhere"),
        ("protocols", ["setting=gsm8k:nowhere"], "nowhere cannot be read"),
        ("prover-verifier", ["policy=nowhere"], "There is no model at nowhere"),
        ("critic-transfer", ["problems=gsm8k:nowhere"], "nowhere cannot be read"),
        ("prompted", ["problems=jsonl:nowhere"], "nowhere cannot be read"),
        ("prompted", ["problems=statements:nowhere.csv"], "nowhere.csv cannot be read"),
        ("prompted", ["problems=choices:nowhere.csv?colour=red"], "'colour' is no field"),
    ],
)
def test_what_is_refused_early(study: str, words: list[str], part: str) -> None:
    with pytest.raises(BadInput, match=part):
        refuse_early(study, words)


def test_a_file_of_prompts_with_a_bad_line_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "1+1"}\n{"prompt": 2}\n')
    with pytest.raises(BadInput, match="line 2, has a prompt that is no text"):
        refuse_early("audit", [f"prompts={tmp_path / 'p.jsonl'}"])


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ("audit", ["subject=", "base=small"]),
        ("audit", ["subject=random:0", "reference=small,middle-1", "steps=ten", "no word"]),
        ("prompted", ["agent=random:1", "problems=arithmetic", "judge=human"]),
        ("protocols", ["setting=chains:4-6", "policy=small"]),
        ("debate", ["subject=nowhere"]),
        ("no study", ["subject=nowhere"]),
    ],
)
def test_what_is_left_to_the_study(study: str, words: list[str]) -> None:
    refuse_early(study, words)


@pytest.mark.parametrize("study", FIELDS)
def test_every_setting_in_the_table_is_one(study: str) -> None:
    fields = {f.name for f in dataclasses.fields(importlib.import_module(STUDIES[study]).Config)}
    assert set(FIELDS[study]) <= fields
