"""A study from a folder outside the package runs by its path, and what is missing in one is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "votes"


def superalign(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "superalign", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder, env=dict(os.environ))


def test_the_example_is_as_short_as_its_page_says() -> None:
    assert {p.name for p in EXAMPLE.glob("*.py")} == {"study.py", "evidence.py", "measure.py", "page.py"}
    assert sum(len(p.read_text().splitlines()) for p in EXAMPLE.glob("*.py")) < 200


def test_a_study_of_ones_own_runs_over_processes_and_claims_with_its_null(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "votes", ignore=shutil.ignore_patterns("__pycache__"))
    words = ("--quick", "--workers", "2", "--out", tmp_path / "run")
    done = superalign("run", tmp_path / "votes" / "study.py", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert found["study"] == "votes"
    (claim,) = found["claims"]
    assert claim["holds"] is True
    assert claim["null"]["low"] <= 0 <= claim["null"]["high"]
    refused = superalign(
        "run", tmp_path / "votes" / "study.py", "--set", "votes=1", "--out", tmp_path / "x", folder=tmp_path
    )
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "a majority of one" in refused.stderr


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda folder: (folder / "page.py").unlink(), "its folder has no page.py"),
        (lambda folder: (folder / "study.py").write_text("import nothing_of_this_name"), "cannot be imported"),
        (lambda folder: (folder / "study.py").write_text("x = 1"), "cannot be imported"),
        (lambda folder: (folder / "study.py").write_text("x = = 1"), "cannot be imported"),
        (lambda folder: (folder / "evidence.py").unlink(), "its folder has no evidence.py"),
    ],
)
def test_what_is_missing_in_a_study_is_said(broken, says: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "votes"))
    broken(folder)
    refused = superalign("run", folder / "study.py", "--out", tmp_path / "run", folder=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert says in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_named_as_an_installed_package_is_not_mistaken_for_it(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "yaml", ignore=shutil.ignore_patterns("__pycache__"))
    refused = superalign("run", tmp_path / "yaml" / "study.py", "--out", tmp_path / "run", folder=tmp_path / "yaml")
    assert refused.returncode == 2, refused.stderr
    assert "no installed package has" in refused.stderr
