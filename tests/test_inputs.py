"""What a path's digest depends on, and what it must never do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from superalign import inputs
from superalign.inputs import Into, code_around, digest_at, digests, named, revision_of


def test_names_and_contents_count_and_where_a_folder_lies_does_not(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "deep" / "weights").write_bytes(b"\0\1")
    assert digest_at(tmp_path / "a") == digest_at(tmp_path / "b")
    seen = {digest_at(tmp_path / "a")}
    for change in (
        lambda: (tmp_path / "b" / "deep" / "weights").write_bytes(b"\0\2"),
        lambda: (tmp_path / "b" / "deep" / "weights").rename(tmp_path / "b" / "deep" / "other"),
        lambda: (tmp_path / "b" / "config.json").unlink(),
        lambda: (tmp_path / "b" / "more").write_text(""),
    ):
        change()
        seen.add(digest_at(tmp_path / "b"))
    assert len(seen) == 5


def test_a_file_counts_also_where_its_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    assert named(f"statements:{tmp_path / 'a.csv'}?text=claim&truth=label") == tmp_path / "a.csv"
    assert named(f"statements:{tmp_path}?files=*.csv") == tmp_path
    assert named(f"statements:{tmp_path / 'b.csv'}?text=claim") is None


def test_links_are_followed_also_where_they_lead_in_circles(tmp_path: Path) -> None:
    blob, model = tmp_path / "blob", tmp_path / "model"
    model.mkdir()
    blob.write_text("one")
    (model / "weights").symlink_to(blob)
    (model / "again").symlink_to(model)
    (model / "nothing").symlink_to(tmp_path / "gone")
    before = digest_at(model)
    assert digest_at(model) == before
    blob.write_text("two")
    assert digest_at(model) != before


def test_what_would_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert len(digest_at(tmp_path)) == 64


def test_a_large_file_that_was_overwritten_with_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"a" * inputs.LARGE)
    old = time.time() - 100
    os.utime(path, (old, old))
    before = digest_at(path)
    path.write_bytes(b"b" * inputs.LARGE)
    os.utime(path, (old, old))
    assert digest_at(path) != before


def test_what_names_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "p.jsonl").write_text("1")
    for text in ("p.jsonl", "./p.jsonl", "~/p.jsonl", f"{tmp_path}/p.jsonl", "jsonl:p.jsonl", "gsm8k:~/p.jsonl"):
        assert named(text) is not None, text
    for text in ("", ".", "..", "/", "small", "api:openai/gpt", "file:p.jsonl", "a\nb", "x" * 5000, "\0", "~nobody-/x"):
        assert named(text) is None, text


def test_plain_values_are_searched_and_outputs_left_alone(tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    model.mkdir()
    (run / "work").mkdir(parents=True)
    value = {"a": [str(model), 1, None], "b": {"c": Into(run / "work")}, "d": str(tmp_path), "e": str(run)}
    assert digests(value, run=run / "work" / "memo") == {str(model): digest_at(model)}


def test_a_model_that_the_run_lies_in_counts_by_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "model" / "runs" / "audit-0"
    run.mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "model")
    for text in (".", str(tmp_path / "model")):
        before = digests([text], run=run)
        assert list(before) == [text]
        (run / "more").write_text(text)
        assert digests([text], run=run) == before
        (tmp_path / "model" / "weights").write_text(text)
        assert digests([text], run=run) != before


def test_a_hub_id_is_its_revision_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert digests(["org/name"], run=tmp_path) == {}
    refs = tmp_path / "models--org--name" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("abc123\n")
    assert digests(["org/name"], run=tmp_path) == {"org/name": "revision abc123"}
    assert revision_of("../models") == ""


def test_the_code_is_every_file_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_text("1")
    (tmp_path / "weights.safetensors").write_text("1")
    monkeypatch.setattr(inputs, "PACKAGE", tmp_path)
    fresh = (inputs.code.__wrapped__, inputs.stamp.__wrapped__)
    first = tuple(f() for f in fresh)
    (tmp_path / "room" / "__pycache__").mkdir()
    (tmp_path / "room" / "__pycache__" / "a.pyc").write_text("1")
    assert tuple(f() for f in fresh) == first
    (tmp_path / "weights.safetensors").write_text("2")
    second = fresh[0]()
    (tmp_path / "room" / "a.py").write_text("22")
    assert len({first[0], second, fresh[0]()}) == 3
    assert fresh[1]() != first[1]


def test_code_around_a_function_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_for_inputs.py").write_text("import json, helper_for_inputs\nfrom superalign import jobs\n")
    (tmp_path / "helper_for_inputs.py").write_text("from deep_for_inputs import thing\n")
    (tmp_path / "deep_for_inputs.py").write_text("def thing(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine_for_inputs

    names = {"mine_for_inputs", "helper_for_inputs", "deep_for_inputs"}
    assert set(code_around(mine_for_inputs.__name__)) == names
    for name in names:
        del sys.modules[name]
    assert code_around("superalign.jobs") == code_around("json") == code_around("no.such") == {}


def test_it_imports_nothing_heavy() -> None:
    code = "import superalign.inputs, sys; print(*({'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
