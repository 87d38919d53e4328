"""The real command line, as a user types it: exit codes, messages, and what is left behind.

Commands run inside this process where that makes no difference, which saves a minute; with --slow each is a process.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import typer.testing

from superalign import cli
from superalign.studies import STUDIES

HERE = Path(__file__).parent
# The table of studies is plain data: a test adds its own.
BOOT = (
    "import sys; sys.path.insert(0, {here!r}); {before}; from superalign.studies import STUDIES; "
    "STUDIES.update(fake='fake_study', other='fake_study'); from superalign.cli import main; main()"
)
TIMES = ("duration_s", "peak_rss_mb")


def command(*words: str, before: str = "pass") -> list[str]:
    return [sys.executable, "-c", BOOT.format(here=str(HERE / "runs"), before=before), *words]


def say(*words: str, before: str = "pass", process: bool = False) -> subprocess.CompletedProcess[str]:
    if process or before != "pass" or REAL:
        return subprocess.run(command(*words, before=before), capture_output=True, text=True, timeout=120)
    found = typer.testing.CliRunner().invoke(cli.app, words)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return subprocess.CompletedProcess(words, found.exit_code, found.stdout, found.stderr)


def refused(found: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit code 2 and one message of three parts on standard error, nothing else."""
    assert found.returncode == 2, found.stderr
    assert found.stdout == ""
    messages = [line for line in found.stderr.splitlines() if not re.match(r"\[ *[\d.]+ s\]", line)]
    assert len(messages) == 1, found.stderr
    assert messages[0].startswith("superalign: ")
    assert messages[0].count(". ") + messages[0].count("? ") >= 2, f"fewer than three parts: {messages[0]}"
    for part in parts:
        assert part in messages[0]


def result(folder: Path) -> dict[str, object]:
    found = json.loads((folder / "result.json").read_text())
    return {key: value for key, value in found.items() if key not in TIMES}


REAL = False


@pytest.fixture(scope="module", autouse=True)
def studies(request: pytest.FixtureRequest) -> Iterator[None]:
    """The same table inside this process as in `BOOT`."""
    global REAL
    REAL = request.config.getoption("--slow")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE / "runs")
        for name in ("fake", "other"):
            patch.setitem(STUDIES, name, "fake_study")
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done") / "run"
    found = say("run", "fake", "--out", str(folder), process=True)
    assert found.returncode == 0, found.stderr
    return folder


@pytest.fixture
def finished(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "copy"))


# What it says when all is well.


def test_a_run_leaves_its_files_and_says_what_it_found(done: Path) -> None:
    assert {path.name for path in done.iterdir()} == {
        "run.json",
        "config.yaml",
        "result.json",
        "report.html",
        "log.jsonl",
        "ledger",
        "work",
    }
    found = result(done)
    assert list(found) == ["schema", "study", "seed", "version", "code", "machine", "claims", "decision"]
    assert set(found["claims"][0]) == {"name", "value", "low", "high", "n", "unit", "null", "holds", "why"}  # type: ignore[index]
    assert found["claims"][1] == {  # type: ignore[index]
        "name": "unmeasured", "value": None, "low": None, "high": None, "n": 0, "unit": "", "null": None, "holds": None,
        "why": "the fake has no null",
    }  # fmt: skip
    assert found["decision"]["hold"] == 1  # type: ignore[index]
    assert "not in the ledger" not in (done / "report.html").read_text()


def test_the_summary_goes_to_standard_output_and_progress_to_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = say("run", "fake", "--quick")
    assert found.returncode == 0
    assert "The mean of 4 numbers" in found.stdout
    assert "cannot tell: unmeasured" in found.stdout
    assert "draw more 2 of 4" in found.stderr
    assert "draw" not in found.stdout
    assert (tmp_path / "runs" / "fake-0-quick" / "report.html").exists()


def test_the_same_command_again_runs_nothing_and_changes_nothing(finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file() and path.name != "lock"}
    found = say("run", "fake", "--out", str(finished))
    assert found.returncode == 0
    assert "finished earlier" in found.stdout
    assert {path: path.read_bytes() for path in before} == before


def test_same_seed_same_result_and_another_seed_another(done: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        assert say("run", "fake", "--out", str(tmp_path / str(seed)), "--seed", str(seed)).returncode == 0
    assert result(tmp_path / "0") == result(done)
    assert result(tmp_path / "1")["claims"] != result(done)["claims"]


def test_report_draws_the_same_page_from_the_disk_alone(finished: Path) -> None:
    before = (finished / "report.html").read_text()
    (finished / "report.html").unlink()
    shutil.rmtree(finished / "work")
    found = say("report", str(finished))
    assert found.returncode == 0
    assert (finished / "report.html").read_text() == before


def test_verify_accepts_the_run_and_its_ledger(done: Path) -> None:
    for folder in (done, done / "ledger"):
        found = say("verify", str(folder))
        assert (found.returncode, found.stdout[:3]) == (0, "OK:")


def test_the_version_is_that_of_the_package() -> None:
    assert say("--version").stdout == f"{importlib.metadata.version('superalign')}\n"


def test_studies_lists_them_and_their_settings() -> None:
    assert "Nothing but numbers" in say("studies").stdout
    found = say("studies", "fake").stdout
    assert "steps = 12" in found
    assert "How many pieces of work." in found


# Bad input.


def test_texts_that_say_too_little_are_refused_before_a_model_is_opened(tmp_path: Path) -> None:
    def canada(*literal: str, n: int) -> subprocess.CompletedProcess[str]:
        rows = [{"text": f"text {i}", "excites": i % 2 == 0} for i in range(n)]
        (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return say("canada", "small", "L0.N0", "--texts", str(tmp_path / "texts.jsonl"), *literal)

    refused(canada(n=14), "at least 8 of each")
    refused(canada("--literal", "Canada", n=16), "does not hold the literal")


@pytest.mark.parametrize(("words", "part"), [(["fkae"], "no study"), (["fake", "--set", "steps=x"], "whole number")])
def test_bad_input_in_a_process_of_its_own(words: list[str], part: str, tmp_path: Path) -> None:
    refused(say("run", *words, "--out", str(tmp_path / "a"), process=True), part)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["fkae"], ["no study 'fkae'", "Did you mean fake?"]),
        (["fake", "--set", "stesp=3"], ["no field 'stesp'", "Did you mean steps?"]),
        (["fake", "--set", "steps"], ["has no '='"]),
        (["fake", "--set", "steps=1.5"], ["'1.5' is not a whole number", "(int)", "Its default is 12"]),
        (["fake", "--set", "scale=wide"], ["'wide' is not a number", "(float)"]),
        (["fake", "--set", "scale=nan"], ["not a finite number"]),
        (["fake", "--set", "loud=maybe"], ["neither true nor false", "(bool)"]),
        (["fake", "--set", "fail=bugs"], ["not one of the choices", "bug"]),
        (["fake", "--set", "dial=1,2,3"], ["it holds 3 values", "2 values"]),
        (["fake", "--set", "dial=1,x"], ["'x' is not a whole number"]),
        (["fake", "--set", "limit=x"], ["'x' is not a whole number", "or none"]),
        (["fake", "--set", "steps=1", "--set", "steps=2"], ["twice"]),
        (["fake", "--set", "fail=data"], ["The file x is empty"]),
    ],
)
def test_bad_settings_leave_nothing_behind(words: list[str], parts: list[str], tmp_path: Path) -> None:
    refused(say("run", *words, "--out", str(tmp_path / "a" / "b")), *parts)
    assert list(tmp_path.iterdir()) == []


def test_settings_of_every_type_reach_the_study(tmp_path: Path) -> None:
    words = ["steps=3", "scale=2", "names=x,y", "dial=4, 5", "loud=yes", "note=a=b", "limit=7", "fail=no"]
    sets = [part for word in words for part in ("--set", word)]
    assert say("run", "fake", "--out", str(tmp_path), *sets).returncode == 0
    assert json.loads((tmp_path / "run.json").read_text())["settings"] == {
        "steps": 3, "pause": 0.0, "scale": 2.0, "names": ["x", "y"], "dial": [4, 5], "loud": True, "fail": "no",
        "note": "a=b", "limit": 7,
    }  # fmt: skip


@pytest.mark.parametrize("words", [["--seed", "-1"], ["--seed", "x"], ["--workers", "0"], ["--sede", "1"]])
def test_bad_flags_are_refused(words: list[str], tmp_path: Path) -> None:
    found = say("run", "fake", "--out", str(tmp_path / "a"), *words)
    assert found.returncode == 2
    assert words[0] in found.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["other"], 'study is "fake" there and "other" here'),
        (["fake", "--seed", "3"], "seed is 0 there and 3 here"),
        (["fake", "--quick"], "quick is false there and true here"),
        (["fake", "--set", "steps=9"], "steps is 12 there and 9 here"),
    ],
)
def test_a_folder_of_another_run_is_refused_and_left_alone(words: list[str], part: str, finished: Path) -> None:
    before = sorted(finished.rglob("*"))
    refused(say("run", *words, "--out", str(finished)), "another run", part)
    assert sorted(finished.rglob("*")) == before


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    refused(say("run", "fake", "--out", str(tmp_path)), "not empty", "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_for_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    refused(say("run", "fake", "--out", str(tmp_path / "f")), "is a file")
    refused(say("run", "fake", "--out", str(tmp_path / "f" / "g")), "Could not write")


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    refused(say("run", "fake", "--out", "/proc/superalign"), "Could not write")


def damage(folder: Path) -> None:
    with sqlite3.connect(folder / "ledger" / "ledger.sqlite") as database:
        database.execute("UPDATE records SET body = replace(body, 'step 2', 'step 3') WHERE idx = 3")
    database.close()


@pytest.mark.parametrize("words", [["verify"], ["report"], ["run", "fake", "--out"]])
def test_a_ledger_that_does_not_verify_is_refused(words: list[str], finished: Path) -> None:
    damage(finished)
    page = (finished / "report.html").read_bytes()
    refused(say(*words, str(finished)), "does not verify", "record 3")
    assert (finished / "report.html").read_bytes() == page


def test_a_resumed_run_refuses_a_damaged_ledger_too(finished: Path) -> None:
    (finished / "result.json").unlink()
    damage(finished)
    refused(say("run", "fake", "--out", str(finished)), "does not verify", "record 3")
    assert not (finished / "result.json").exists()


@pytest.mark.parametrize("word", ["verify", "report"])
def test_folders_without_a_run_are_refused(word: str, tmp_path: Path) -> None:
    refused(say(word, str(tmp_path)), "no ledger" if word == "verify" else "holds no run")
    refused(say(word, str(tmp_path / "nowhere")))


def test_an_unfinished_run_has_no_report(finished: Path) -> None:
    (finished / "result.json").unlink()
    refused(say("report", str(finished)), "has not finished")


def test_a_damaged_result_or_manifest_is_named(finished: Path) -> None:
    (finished / "result.json").write_text("{")
    refused(say("report", str(finished)), "does not verify", "result.json is not as it was written")
    (finished / "run.json").write_text("[]")
    refused(say("run", "fake", "--out", str(finished)), "run.json cannot be read")


def test_a_missing_extra_says_what_to_install(tmp_path: Path) -> None:
    blocked = "sys.modules['torch'] = None"
    found = say("run", "fake", "--set", "fail=torch", "--out", str(tmp_path / "r"), before=blocked)
    refused(found, "torch is not installed", "pip install 'superalign[models]'")
    assert list(tmp_path.iterdir()) == []


def test_more_workers_than_cores_are_warned_about_and_used(tmp_path: Path) -> None:
    found = say("run", "fake", "--workers", "4096", "--out", str(tmp_path))
    assert found.returncode == 0
    assert "warning: 4096 workers were asked for" in found.stderr
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["workers"] == 4096


# The disk fills.


def limited(*words: str, size: int) -> subprocess.CompletedProcess[str]:
    """Run with a limit on the size of any one file: the disk says EFBIG where a full one says ENOSPC."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.run(command(*words), capture_output=True, text=True, timeout=120, preexec_fn=limit)


@pytest.mark.parametrize("size", [0, 6000, 300_000])
def test_a_disk_that_refuses_gives_one_message_and_the_run_can_be_finished(
    size: int, done: Path, tmp_path: Path
) -> None:
    words = ["run", "fake", "--out", str(tmp_path / "r"), *(["--set", "fail=full"] if size == 300_000 else [])]
    refused(limited(*words, size=size), "Could not write")
    left = [path for path in (tmp_path / "r").rglob("*") if path.is_file()] if (tmp_path / "r").exists() else []
    for path in left:
        if path.suffix == ".json":
            assert path.name == "head.json" or json.loads(path.read_text())
    if size < 300_000:
        assert say(*words).returncode == 0
        assert result(tmp_path / "r") == result(done)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 kB, where this process may make one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root; the limit on file size above covers the same path")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_really_full_disk(tiny: Path, done: Path) -> None:
    words = ["run", "fake", "--out", str(tiny / "r")]
    (tiny / "ballast").write_bytes(b"x" * 290_000)
    refused(say(*words, process=True), "Could not write")
    assert [path.name for path in tiny.iterdir()] == ["ballast"]
    (tiny / "ballast").write_bytes(b"x" * 200_000)
    refused(say(*words), "Could not write")
    (tiny / "ballast").unlink()
    assert say(*words).returncode == 0
    assert result(tiny / "r") == result(done)


def test_a_disk_that_is_read_only(tiny: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    refused(say("run", "fake", "--out", str(tiny / "r")), "Could not write", "Read-only")


def test_memory_that_runs_out_is_no_bug_and_says_what_to_do(tmp_path: Path) -> None:
    found = say("run", "fake", "--set", "fail=memory", "--out", str(tmp_path / "r"))
    refused(found, "Memory ran out (Unable to allocate 8.00 EiB)", "fewer --workers", "what was finished is kept")
    assert (tmp_path / "r" / "work" / "0.txt").exists()


# Our bugs.


def test_a_bug_is_one_line_and_a_trace_in_the_log(tmp_path: Path) -> None:
    found = say("run", "fake", "--set", "fail=bug", "--out", str(tmp_path))
    assert found.returncode == 1
    assert "RuntimeError: a bug of two lines" in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert "in study" in last["traceback"]


def test_an_error_of_the_disk_that_is_not_about_space_is_a_bug(tmp_path: Path) -> None:
    assert say("run", "fake", "--set", "fail=nan", "--out", str(tmp_path)).returncode == 1


# What it imports, and its flags.

HEAVY = ("torch", "transformers", "numpy", "scipy", "sklearn", "altair", "vl_convert", "jinja2")


def imported(code: str) -> set[str]:
    """Which heavy modules a piece of code imports, in a fresh process."""
    full = f"import sys\n{code}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", full], capture_output=True, text=True, check=True, timeout=60)
    return set(found.stdout.splitlines()[-1].split())


def test_the_command_line_imports_nothing_heavy() -> None:
    assert imported("import superalign.cli") == set()


def test_help_imports_nothing_heavy() -> None:
    code = "from superalign.cli import app\nsys.argv = ['superalign', '--help']\ntry: app()\nexcept SystemExit: pass"
    assert imported(code) == set()


def test_that_the_import_test_can_fail() -> None:
    assert imported("import superalign.cli, numpy") == {"numpy"}


def test_a_whole_run_without_models_imports_no_torch(tmp_path: Path) -> None:
    report = "import atexit; atexit.register(lambda: print('torch' in sys.modules))"
    found = say("run", "fake", "--out", str(tmp_path), before=report)
    assert found.stdout.splitlines()[-1] == "False"


def test_the_flags_are_frozen() -> None:
    flags = {
        name: sorted(option for parameter in one.params for option in parameter.opts if option.startswith("-"))
        for name, one in typer.main.get_command(cli.app).commands.items()  # type: ignore[attr-defined]
    }
    assert flags == {
        "run": ["--config", "--executor", "--out", "--quick", "--seed", "--set", "--workers"],
        "explore": [],
        "canada": ["--literal", "--others", "--seed", "--texts"],
        "audit": [
            "--base",
            "--budget",
            "--config",
            "--cues",
            "--device",
            "--executor",
            "--out",
            "--pack",
            "--problems",
            "--quick",
            "--reference",
            "--seed",
            "--set",
            "--system",
            "--template",
            "--template-args",
            "--workers",
        ],
        "look": [
            "--base",
            "--config",
            "--cues",
            "--device",
            "--executor",
            "--out",
            "--problems",
            "--quick",
            "--seed",
            "--set",
            "--system",
            "--template",
            "--template-args",
            "--workers",
        ],
        "models": [],
        "pack": [],
        "vault": [],
        "plant": [
            "--base",
            "--config",
            "--device",
            "--executor",
            "--kind",
            "--out",
            "--problems",
            "--quick",
            "--seed",
            "--set",
            "--system",
            "--template",
            "--template-args",
            "--workers",
        ],
        "redteam": [
            "--base",
            "--config",
            "--device",
            "--executor",
            "--out",
            "--problems",
            "--quick",
            "--reference",
            "--requests",
            "--seed",
            "--set",
            "--system",
            "--template",
            "--template-args",
            "--templates",
            "--workers",
        ],
        "studies": ["--schema"],
        "verify": ["--head"],
        "report": [],
    }


def test_the_file_stays_small() -> None:
    assert len(Path(cli.__file__).read_text().splitlines()) <= 300
