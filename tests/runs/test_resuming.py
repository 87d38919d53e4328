"""A run that is killed, or stopped, or started twice."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from superalign.ledger import Ledger, verify
from superalign.runs import running

HERE = Path(__file__).parent
BOOT = (
    f"import sys; sys.path.insert(0, {str(HERE)!r}); from superalign.studies import STUDIES; "
    "STUDIES['fake'] = 'fake_study'; from superalign.cli import main; main()"
)
WORDS = ("run", "fake", "--set", "steps=8", "--set", "pause=0.06")
TIMES = ("duration_s", "peak_rss_mb")


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BOOT, *WORDS, "--out", str(folder)]
    # A shell that starts this in the background has interrupts ignored, and children inherit that.
    restore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=restore)


@pytest.fixture(scope="module", autouse=True)
def studies() -> Iterator[None]:
    """The same study inside this process as in `BOOT`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        yield


def finish(folder: Path, *, steps: int = 8) -> dict[str, object]:
    """Give the same command, inside this process, and read what it found."""
    request = running.Request(study="fake", out=folder, words=(f"steps={steps}", "pause=0.06"))
    running.run(importlib.import_module("fake_study").STUDY, request, screen=lambda said: None, warn=lambda text: None)
    return read(folder)


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "r"
    finish(folder)
    return folder


def read(folder: Path) -> dict[str, object]:
    found = json.loads((folder / "result.json").read_text())
    return {key: value for key, value in found.items() if key not in TIMES}


def recorded(folder: Path) -> list[str]:
    """Every record in order, but for those that bind files which hold times."""
    assert verify(folder / "ledger").ok
    with Ledger(folder / "ledger", readonly=True) as ledger:
        return [e.digest for e in ledger.entries() if e.noun != "Shown" or e.index == 0]


def kill_at_random_points(folder: Path, *, kills: int, seed: int) -> int:
    """Start a run again and again and kill it, each time within half a second of its first sign of life."""
    rng = np.random.default_rng(seed)
    killed = 0
    for _ in range(kills):
        process = start(folder)
        wait_for(folder / "run.json")
        time.sleep(float(rng.uniform(0, 0.5)))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
    return killed


def test_killed_at_random_points_and_finished_it_finds_the_same(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    assert kill_at_random_points(folder, kills=4, seed=0) >= 2
    assert finish(folder) == read(whole)
    # Not only the result: the whole chain of records is the same, so nothing was lost or written twice.
    assert recorded(folder) == recorded(whole)


@pytest.mark.slow
def test_killed_forty_times(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    assert kill_at_random_points(folder, kills=40, seed=1) >= 2
    assert finish(folder) == read(whole)
    assert recorded(folder) == recorded(whole)


def test_that_a_lost_record_would_be_seen(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    assert finish(folder, steps=7) != read(whole)
    assert recorded(folder) != recorded(whole)


@pytest.mark.parametrize("missing", [("report.html",), ("result.json", "report.html"), ("log.jsonl", "result.json")])
def test_killed_between_its_last_files_it_writes_them(missing: tuple[str, ...], whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "r"))
    for name in missing:
        (folder / name).unlink()
    (folder / ".part-abc").write_text("half a")
    assert finish(folder) == read(whole)
    assert (folder / "report.html").exists()
    assert recorded(folder) == recorded(whole)


def test_an_interrupt_is_not_an_error_and_the_run_goes_on(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    process = start(folder)
    wait_for(folder / "work" / "1.txt")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "same command goes on from there" in said
    assert "Traceback" not in said
    made = os.stat(folder / "work" / "0.txt").st_mtime_ns
    assert finish(folder) == read(whole)
    assert os.stat(folder / "work" / "0.txt").st_mtime_ns == made, "work that was done was done again"


def test_two_at_once_in_one_folder_one_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    first = start(folder)
    wait_for(folder / "work" / "0.txt")
    second = start(folder)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "Another process is running in" in said
    first.communicate(timeout=60)
    assert first.returncode == 0
