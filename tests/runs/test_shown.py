"""What a run shows is bound to its ledger: whatever is rewritten or swapped is found by both verifiers, and named."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import BadInput, LedgerError
from superalign.ledger import Ledger, verify
from superalign.runs import running
from superalign.runs.shown import check_run, said_of, verify_run
from superalign.types import Interval

HERE = Path(__file__).parent
TOOL = HERE.parents[1] / "tools" / "verify_ledger.py"


def make(
    folder: Path, *, seed: int = 0, warn: Callable[[str], None] = lambda text: None, **words: Any
) -> running.Finished:
    given = tuple(f"{name}={value}" for name, value in {"steps": 3, **words}.items())
    request = running.Request(study="fake", out=folder, seed=seed, words=given)
    return running.run(importlib.import_module("fake_study").STUDY, request, screen=lambda said: None, warn=warn)


@pytest.fixture(scope="module", autouse=True)
def studies() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two finished runs of the same study with different seeds."""
    folders = [tmp_path_factory.mktemp("made") / str(seed) for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        make(folder, seed=seed)
    return folders[0], folders[1]


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "run"))


def tool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def lying_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_whole_run_verifies_and_verifying_leaves_nothing_behind(run: Path) -> None:
    for suffix in ("-wal", "-shm"):
        (run / "ledger" / f"ledger.sqlite{suffix}").unlink(missing_ok=True)
    before = lying_in(run)
    said = said_of(run)
    assert said.startswith("OK: ")
    assert said.endswith("run.json, config.yaml, result.json, log.jsonl, report.html as recorded")
    assert tool(run).stdout.strip() == said
    assert said_of(run / "ledger") == tool(run / "ledger").stdout.strip() == said.rpartition("; ")[0]
    assert lying_in(run) == before


def rewrite(name: str, old: str, new: str) -> Callable[[Path, Path], None]:
    def change(run: Path, other: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


def take(*names: str) -> Callable[[Path, Path], None]:
    def change(run: Path, other: Path) -> None:
        for name in names:
            shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
            (shutil.copytree if (other / name).is_dir() else shutil.copyfile)(other / name, run / name)

    return change


def remove(name: str) -> Callable[[Path, Path], None]:
    return lambda run, other: (run / name).unlink()


def folder_for(name: str) -> Callable[[Path, Path], None]:
    def change(run: Path, other: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return change


CHANGES: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "a decision rewritten": (rewrite("result.json", '"hold"', '"release"'), "result.json"),
    "a claim rewritten": (rewrite("result.json", '"holds": ', '"holds": null, "was": '), "result.json"),
    "the page rewritten": (rewrite("report.html", "The mean of 3", "The mean of 9"), "report.html"),
    "a setting rewritten": (rewrite("run.json", '"steps": 3', '"steps": 30'), "run.json"),
    "a time rewritten": (rewrite("log.jsonl", '"time_s": 1', '"time_s": 2'), "log.jsonl"),
    "another ledger": (take("ledger"), "run.json"),
    "another result": (take("result.json"), "result.json"),
    "another page": (take("report.html"), "report.html"),
    "another run.json": (take("run.json"), "run.json"),
    "another result and page": (take("result.json", "report.html"), "result.json"),
    "another ledger and run.json": (take("ledger", "run.json"), "result.json"),
    "no page": (remove("report.html"), "report.html"),
    "no result": (remove("result.json"), "result.json"),
    "no run.json": (remove("run.json"), "run.json"),
    "a folder for a result": (folder_for("result.json"), "result.json"),
    "a pipe for a page": (lambda r, o: (r / "report.html").unlink() or os.mkfifo(r / "report.html"), "report.html"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_is_found_and_named_by_both(change: str, made: tuple[Path, Path], run: Path) -> None:
    apply, name = CHANGES[change]
    apply(run, made[1])
    found = verify_run(run)
    assert not found.ok
    assert name in found.what
    assert verify(run / "ledger").ok, "the ledger itself agrees with itself"
    said = tool(run)
    assert said.returncode == 1
    assert said.stdout.startswith("BAD: ")
    assert name in said.stdout
    with pytest.raises(LedgerError, match=rf"The run in .* does not verify.*{re.escape(name)}"):
        said_of(run)


@pytest.mark.parametrize("change", [c for c in CHANGES if not c.startswith("no ")])
def test_a_finished_run_that_does_not_verify_prints_nothing(change: str, made: tuple[Path, Path], run: Path) -> None:
    CHANGES[change][0](run, made[1])
    with pytest.raises((LedgerError, BadInput), match=r"does not verify|another run"):
        make(run)


def test_what_is_printed_is_what_the_ledger_says(run: Path) -> None:
    done = make(run)
    assert done.before
    assert done.result["decision"]["hold"] == 1
    with Ledger(run / "ledger", readonly=True) as ledger:
        assert done.head == ledger.head.hash
    assert running.in_short(done)[-1] == f"Head of the ledger: {done.head}"


def page_head(run: Path) -> str:
    """The head that the page says: of the entry that binds the result."""
    text = (run / "report.html").read_text()
    with Ledger(run / "ledger", readonly=True) as ledger:
        said = [e.hash for e in ledger.entries() if e.hash in text]
    assert len(said) == 1
    return said[0]


def test_an_older_copy_of_a_whole_run_shows_against_a_head_kept_elsewhere(run: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(run, tmp_path / "older"))
    kept = page_head(run)
    with Ledger(run / "ledger") as ledger:
        ledger.append(Interval(value=0.5, low=0.0, high=1.0, n=1))
        head = ledger.head.hash
    for place in (run, older):
        assert said_of(place, head=kept).startswith("OK: ")
        assert tool(place, "--head", kept).returncode == 0
    assert said_of(run, head=head).startswith("OK: ")
    with pytest.raises(LedgerError, match=f"the head {head}, kept elsewhere, is not in this chain"):
        said_of(older, head=head)
    assert tool(older, "--head", head).returncode == 1


def test_a_truncated_ledger_of_a_run_is_bad(run: Path) -> None:
    with sqlite3.connect(run / "ledger" / "ledger.sqlite") as database:
        database.execute("DELETE FROM records WHERE idx = (SELECT max(idx) FROM records)")
    database.close()
    assert "it is missing" in verify_run(run).what
    assert tool(run).returncode == 1


def test_a_page_drawn_again_is_the_same_and_adds_nothing(run: Path) -> None:
    count = verify(run / "ledger").count
    page = (run / "report.html").read_bytes()
    running.rewrite_report(run)
    assert (run / "report.html").read_bytes() == page
    (run / "report.html").unlink()
    make(run)
    assert (run / "report.html").read_bytes() == page
    assert verify(run / "ledger").count == count


def test_a_page_that_newer_code_draws_otherwise_is_bound_anew(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, count = page_head(run), verify(run / "ledger").count
    draw = running.render
    monkeypatch.setattr(running, "render", lambda *a, **k: draw(*a, **k) + "<!-- newer -->")
    running.rewrite_report(run)
    assert verify_run(run).ok
    assert verify(run / "ledger").count == count + 1
    assert said_of(run, head=kept).startswith("OK: ")


def test_report_mends_a_page_and_nothing_else(made: tuple[Path, Path], run: Path) -> None:
    (run / "report.html").write_text("forged")
    running.rewrite_report(run)
    assert verify_run(run).ok
    CHANGES["a decision rewritten"][0](run, made[1])
    with pytest.raises(LedgerError, match=r"result\.json"):
        running.rewrite_report(run)


@pytest.mark.parametrize("moment", ["result bound", "result written", "page bound"])
def test_killed_between_its_last_steps_it_is_finished_by_the_same_command(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is where a kill may fall; what was bound and not written is written by the next command."""
    folder = tmp_path / "run"

    class Killed(BaseException):
        pass

    write, writes = running.write_whole, {"result bound": 0, "result written": 1, "page bound": 2}[moment]

    def stop(path: Path, text: str) -> None:
        nonlocal writes
        if moment == "result written" and path.name == "result.json":
            write(path, text)
            raise Killed
        if writes == 0:
            raise Killed
        writes -= 1
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(running, "write_whole", stop)
        with pytest.raises(Killed):
            make(folder)
    assert (folder / "result.json").exists() is (moment != "result bound")
    assert not (folder / "report.html").exists()
    found = verify_run(folder)
    assert found.ok is (moment == "result written")
    assert found.ok or "the run's own command writes it again" in found.what
    make(folder)
    assert check_run(folder).ok


BOOT = (
    f"import sys; sys.path.insert(0, {str(HERE)!r}); from superalign.studies import STUDIES; "
    "STUDIES['fake'] = 'fake_study'; from superalign.cli import main; main()"
)


@pytest.mark.parametrize("reached", ["run.json", "log.jsonl", "ledger/head.json", "work/0.txt"])
def test_an_unfinished_run_verifies_and_is_gone_on_with(reached: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["run", "fake", "--set", "steps=3", "--set", "pause=0.3", "--out", str(folder)]
    with subprocess.Popen([sys.executable, "-c", BOOT, *words], stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not (folder / reached).exists():
            assert time.monotonic() < until
        process.send_signal(signal.SIGKILL)
    if (folder / "ledger" / "head.json").exists():
        assert said_of(folder).startswith("OK: ")
        assert tool(folder).stdout.strip() == said_of(folder)
    make(folder, pause=0.3)
    assert said_of(folder).endswith("run.json, config.yaml, result.json, log.jsonl, report.html as recorded")


def test_an_unfinished_run_of_another_ledger_is_not_gone_on_with(made: tuple[Path, Path], run: Path) -> None:
    (run / "result.json").unlink()
    CHANGES["another ledger"][0](run, made[1])
    with pytest.raises(LedgerError, match=r"run\.json is not as it was written"):
        make(run)


def test_a_ledger_that_is_no_runs_is_verified_alone(tmp_path: Path) -> None:
    with Ledger(tmp_path / "x" / "ledger") as ledger:
        ledger.append(Interval(value=0.5, low=0.0, high=1.0, n=1))
    assert said_of(tmp_path / "x").endswith("no other files as recorded")
    assert tool(tmp_path / "x").stdout.strip() == said_of(tmp_path / "x")
    (tmp_path / "x" / "result.json").write_text("{}")
    with pytest.raises(LedgerError, match=r"result\.json is in no record"):
        said_of(tmp_path / "x")
    assert tool(tmp_path / "x").returncode == 1


def test_files_in_place_of_folders_are_refused(run: Path, tmp_path: Path) -> None:
    for path in (run / "result.json", run / "ledger" / "ledger.sqlite"):
        with pytest.raises(BadInput, match="is a file"):
            said_of(path)
        assert tool(path).returncode == 2
    shutil.rmtree(run / "ledger")
    (run / "ledger").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        said_of(run)
    assert tool(run).returncode == 2


@pytest.mark.parametrize("files", ['[["result.json"]]', "3", '{"a": 1}'])
def test_a_record_that_binds_nothing_properly_is_bad(files: str, run: Path) -> None:
    with Ledger(run / "ledger") as ledger:
        ledger.append({"noun": "Shown", "files": json.loads(files)})
    with pytest.raises(LedgerError, match="does not bind files"):
        said_of(run)
    assert tool(run).returncode == 1
    assert "Traceback" not in tool(run).stderr


# What a run was given changes.


def begin_and_stop(folder: Path, **words: Any) -> None:
    """Leave a run as a kill before its result would."""
    make(folder, **words)
    (folder / "result.json").unlink()
    (folder / "report.html").unlink()


@pytest.mark.parametrize("finished", [False, True])
def test_another_content_of_what_a_setting_names_is_refused_before_any_work(finished: bool, tmp_path: Path) -> None:
    model, folder = tmp_path / "latest", tmp_path / "run"
    model.mkdir()
    (model / "weights").write_text("one")
    (make if finished else begin_and_stop)(folder, note=model)
    inputs = json.loads((folder / "run.json").read_text())["inputs"]
    assert set(inputs) == {"note"}
    assert set(inputs["note"]) == {str(model)}
    before = lying_in(folder)
    (model / "weights").write_text("two")
    with pytest.raises(BadInput, match=f"The note at {model} is not the one that this run began with.*another --out"):
        make(folder, note=model)
    shutil.rmtree(model)
    with pytest.raises(BadInput, match="no longer there"):
        make(folder, note=model)
    assert lying_in(folder) == before
    model.mkdir()
    (model / "weights").write_text("one")
    assert make(folder, note=model).before is finished
    assert check_run(folder).ok


def test_files_behind_a_prefix_and_in_lists_count(tmp_path: Path) -> None:
    file, other = tmp_path / "p.jsonl", tmp_path / "o.jsonl"
    file.write_text("1")
    other.write_text("1")
    begin_and_stop(tmp_path / "run", note=f"jsonl:{file}", names=f"a,{other}")
    other.write_text("2")
    with pytest.raises(BadInput, match=f"The names at {other}"):
        make(tmp_path / "run", note=f"jsonl:{file}", names=f"a,{other}")


def test_what_changes_while_a_run_is_under_way_gives_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fake_study

    model, study = tmp_path / "model", fake_study.study
    model.write_text("one")

    def replaced(*given: Any, **named: Any) -> Any:
        model.write_text("two")
        return study(*given, **named)

    monkeypatch.setattr(fake_study, "study", replaced)
    with pytest.raises(BadInput, match="not the one that this run began with"):
        make(tmp_path / "run", note=model)
    assert not (tmp_path / "run" / "result.json").exists()


def test_other_code_goes_on_says_so_and_stands_in_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    begin_and_stop(tmp_path / "run")
    make(tmp_path / "run", warn=said.append)
    assert said == []
    begin_and_stop(tmp_path / "other")
    monkeypatch.setattr(running.inputs, "code", lambda: "ab" * 32)
    make(tmp_path / "other", warn=said.append)
    (text,) = said
    assert "computed anew" in text
    assert check_run(tmp_path / "other").ok
    with Ledger(tmp_path / "other" / "ledger", readonly=True) as ledger:
        codes = [r["code"] for r in ledger.records(noun="Shown")]
    assert codes[0] != codes[-1] == "ab" * 32
