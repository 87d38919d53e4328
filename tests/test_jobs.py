"""Order, memory of finished work, kills, dead workers, and what is shown meanwhile."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign import inputs, jobs
from superalign.errors import BadInput, SuperalignError
from superalign.jobs import Memo, run, shown

# Two workers need a function that they can import; this file has no importable name under importlib mode.
MODULE = """
import os, signal, sys, time
from pathlib import Path

def square(x):
    return x * x

def slow_first(x):
    time.sleep(0.3 if x == 0 else 0)
    return x

def threads(x):
    return os.environ.get("OMP_NUM_THREADS")

def die_on(x, *, bad):
    if x == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return x

def die_once(x, *, bad, flag):
    if x == bad and not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x

def leave(x):
    os._exit(3)

def starve(x, *, folder):
    at_once = Path(folder) / "at_once"
    with open(at_once, "a") as file:
        file.write(f"{x} ")
    if x == 2:
        raise MemoryError("no room")
    return x

def read(x, *, folder):
    with open(Path(folder) / "calls", "a") as file:
        file.write("1\\n")
    return sum(len(p.read_text()) for p in Path(x.partition(":")[2] or x).glob("*")) if Path(x).is_dir() else len(
        Path(x.removeprefix("jsonl:")).read_text())

def overwrite(x):
    Path(x).write_text("something else")
    return x

def refuse(x):
    if x == 3:
        raise KeyError("three")
    return x

def refuse_a_file(x):
    raise FileNotFoundError("gone")

class Odd(Exception):
    def __init__(self, a, b):
        super().__init__(a)

def refuse_oddly(x):
    raise Odd("strange", "fruit")

def note(x, *, folder):
    with open(Path(folder) / "calls", "a") as file:
        file.write(f"{x}\\n")
    time.sleep(0.05)
    return x + 0.5

def stay(x, *, folder):
    (Path(folder) / f"pid-{os.getpid()}").touch()
    time.sleep(60)
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "work_for_jobs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import work_for_jobs

    yield work_for_jobs
    del sys.modules["work_for_jobs"]


@pytest.fixture(autouse=True)
def _enough_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def memo(folder: Path, *, version: str = "1") -> Memo[Any]:
    return Memo(folder=folder, version=version, encode=to_bytes, decode=json.loads)


def to_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def calls(folder: Path) -> list[int]:
    path = folder / "calls"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.mark.parametrize("workers", [1, 2])
def test_values_come_in_the_order_of_the_items(work: Any, workers: int) -> None:
    assert run(work.slow_first, list(range(7)), workers=workers) == list(range(7))
    assert run(work.square, [], workers=workers) == []


def test_a_worker_has_one_thread_and_the_caller_keeps_its_own(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert run(work.threads, [1, 2], workers=2) == ["1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_an_item_whose_worker_was_killed_is_tried_again_with_fewer(work: Any, tmp_path: Path) -> None:
    items = [0, 5, 10, 15, 20, 25, 30]
    function = functools.partial(work.die_once, bad=25, flag=str(tmp_path / "died"))
    with pytest.warns(UserWarning, match=r"\(exit code -9\) while working on item 5 \(25\).*Going on with 1 at a time"):
        assert run(function, items, workers=2) == items
    assert (tmp_path / "died").exists()


def test_an_item_that_kills_its_worker_when_alone_is_given_up_and_named(work: Any) -> None:
    function = functools.partial(work.die_on, bad=25)
    with (
        pytest.warns(UserWarning, match="Going on with 1 at a time"),
        pytest.raises(BadInput, match=r"item 5 \(25\), most likely because memory ran out.*GiB.*ran alone"),
    ):
        run(function, [0, 5, 10, 15, 20, 25, 30], workers=2)


def test_what_was_finished_before_an_item_was_given_up_is_kept(work: Any, tmp_path: Path) -> None:
    function = functools.partial(work.die_on, bad=3)
    with pytest.warns(UserWarning, match="with 1"), pytest.raises(BadInput, match="what was finished is kept"):
        run(function, [1, 2, 3], workers=2, memo=memo(tmp_path / "memo"))
    assert {json.loads(path.read_bytes().partition(b"\n")[2]) for path in (tmp_path / "memo").iterdir()} == {1, 2}


def test_a_worker_that_ends_by_itself_is_no_matter_of_memory(work: Any) -> None:
    with pytest.raises(SuperalignError, match=r"exit code 3\) while working on item \d") as caught:
        run(work.leave, [1, 2], workers=2)
    assert not isinstance(caught.value, BadInput)


def test_an_item_without_memory_is_tried_again_alone(work: Any, tmp_path: Path) -> None:
    function = functools.partial(work.starve, folder=str(tmp_path))
    with pytest.warns(UserWarning, match="A worker found no memory.*Going on with 1"), pytest.raises(MemoryError):
        run(function, [1, 2, 3], workers=2)
    assert (tmp_path / "at_once").read_text().split().count("2") == 2


UNGUARDED = """
import sys
sys.path.insert(0, {folder!r})
from superalign.jobs import run
import work_for_jobs

def double(x):
    return 2 * x

print(run({function}, [1, 2, 3], workers=2))
"""


@pytest.mark.parametrize("stdin", [False, True])
@pytest.mark.parametrize("function", ["work_for_jobs.square", "double"])
def test_a_script_without_a_guard_works_or_says_what_to_do(
    work: Any, tmp_path: Path, function: str, stdin: bool
) -> None:
    text = UNGUARDED.format(folder=str(tmp_path), function=function)
    script = tmp_path / "unguarded.py"
    script.write_text(text)
    command = [sys.executable, "-" if stdin else str(script)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path)
    if function == "double":
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert "before it took any work" in last
        assert 'if __name__ == "__main__":' in last
        assert "workers=1" in last
    else:
        assert done.stdout == "[1, 4, 9]\n", done.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_comes_through_with_its_item(work: Any, workers: int) -> None:
    with pytest.raises(KeyError, match="three") as caught:
        run(work.refuse, [1, 2, 3, 4], workers=workers)
    assert "while working on item 2 (3)" in "".join(caught.value.__notes__)


def test_a_workers_missing_file_is_no_dead_worker(work: Any) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        run(work.refuse_a_file, [1, 2], workers=2)


def test_an_exception_that_cannot_travel_still_comes_through(work: Any) -> None:
    with pytest.raises(SuperalignError, match="Odd: strange"):
        run(work.refuse_oddly, [1], workers=2)


def test_finished_work_is_not_done_again(work: Any, tmp_path: Path) -> None:
    function = functools.partial(work.note, folder=str(tmp_path))
    first = run(function, [1, 2, 3], memo=memo(tmp_path / "memo"))
    assert run(function, [3, 4, 1], memo=memo(tmp_path / "memo")) == [3.5, 4.5, 1.5]
    assert first == [1.5, 2.5, 3.5]
    assert calls(tmp_path) == [1, 2, 3, 4]
    run(function, [1], memo=memo(tmp_path / "memo", version="2"))
    assert calls(tmp_path) == [1, 2, 3, 4, 1], "another version's value was used"
    other = functools.partial(work.note, folder=f"{tmp_path}/.")
    run(other, [1], memo=memo(tmp_path / "memo"))
    assert calls(tmp_path) == [1, 2, 3, 4, 1, 1], "the value of other arguments was used"


def test_a_first_run_returns_what_a_resumed_one_does(work: Any, tmp_path: Path) -> None:
    coarse: Memo[Any] = Memo(folder=tmp_path / "memo", version="1", encode=lambda v: b"%d" % v, decode=int)
    function = functools.partial(work.note, folder=str(tmp_path))
    assert run(function, [1], memo=coarse) == run(function, [1], memo=coarse) == [1]


def test_a_damaged_value_is_computed_again(work: Any, tmp_path: Path) -> None:
    function = functools.partial(work.note, folder=str(tmp_path))
    run(function, [1], memo=memo(tmp_path / "memo"))
    (path,) = (tmp_path / "memo").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert run(function, [1], memo=memo(tmp_path / "memo")) == [1.5]
    assert calls(tmp_path) == [1, 1]


def test_another_content_at_the_same_path_is_another_value(work: Any, tmp_path: Path) -> None:
    model, prompts, out = tmp_path / "model", tmp_path / "prompts.jsonl", tmp_path / "out"
    model.mkdir()
    out.mkdir()
    function = functools.partial(work.read, folder=jobs.Into(out))
    found = []
    for text in ("a", "a", "bcd", "a"):
        (model / "weights").write_text(text)
        prompts.write_text(text + text)
        found.append(run(function, [str(model), f"jsonl:{prompts}"], memo=memo(tmp_path / "run" / "memo")))
    assert found == [[1, 2], [1, 2], [3, 6], [1, 2]]
    assert len(calls(out)) == 4, "an old content's value is good again when the content is back, and is kept once"
    inside = tmp_path / "run" / "made"
    inside.mkdir()
    for times in (1, 2):
        run(functools.partial(work.read, folder=str(inside)), [str(model)], memo=memo(tmp_path / "run" / "memo"))
        assert len(calls(inside)) == times, "a folder that is not given as Into is an input, and it changed"


def test_what_changes_under_way_is_not_kept(work: Any, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("before")
    with pytest.raises(BadInput, match=r"model changed while this was running.*not kept"):
        run(work.overwrite, [str(path)], memo=memo(tmp_path / "run" / "memo"))
    assert not (tmp_path / "run" / "memo").exists()


def test_other_code_is_another_value(work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = functools.partial(work.note, folder=jobs.Into(tmp_path))
    run(function, [1], memo=memo(tmp_path / "memo"))
    with monkeypatch.context() as patch:
        patch.setattr(inputs, "code", lambda: "another version of the package")
        run(function, [1], memo=memo(tmp_path / "memo"))
    assert calls(tmp_path) == [1, 1]
    source = tmp_path / "work_for_jobs.py"
    source.write_text(source.read_text() + "# the module of the function counts too\n")
    run(function, [1], memo=memo(tmp_path / "memo"))
    assert calls(tmp_path) == [1, 1, 1]
    run(function, [1], memo=memo(tmp_path / "memo"))
    assert calls(tmp_path) == [1, 1, 1]


def test_a_worker_with_other_code_than_its_parent_keeps_nothing(
    work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "stamp", lambda: "as it was when the parent began")
    assert run(work.square, [2], workers=2, memo=memo(tmp_path / "memo")) == [4], "other times, the same content"
    monkeypatch.setattr(inputs, "code", lambda: "as it was when the parent began")
    assert run(work.square, [2], workers=2) == [4], "nothing is kept"
    with pytest.raises(BadInput, match="code of superalign changed"):
        run(work.square, [2], workers=2, memo=memo(tmp_path / "memo"))
    assert len(list((tmp_path / "memo").iterdir())) == 1


KILLED = """
import functools, json, sys
sys.path.insert(0, sys.argv[1])
import work_for_jobs
from pathlib import Path
from superalign.jobs import Memo, run

def to_bytes(value):
    return json.dumps(value).encode()

if __name__ == "__main__":
    folder = sys.argv[1]
    memo = Memo(folder=Path(folder) / "memo", version="1", encode=to_bytes, decode=json.loads)
    function = functools.partial(work_for_jobs.note, folder=folder)
    print(run(function, list(range(20)), memo=memo, workers=int(sys.argv[2])))
"""


def finished(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".part-")] if folder.exists() else []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_kill_loses_only_what_was_under_way(work: Any, tmp_path: Path, workers: int) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(tmp_path), str(workers)]
    kept = tmp_path / "memo"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while len(finished(kept)) < 4:
            assert process.poll() is None, process.stderr
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([x + 0.5 for x in range(20)])
    # Those under way in each worker, and one whose value was on its way to the folder, are computed twice.
    assert len(calls(tmp_path)) <= 20 + 2 * workers
    assert sorted(set(calls(tmp_path))) == list(range(20))


STAYING = """
import functools, sys
sys.path.insert(0, sys.argv[1])
import work_for_jobs
from superalign.jobs import run

if __name__ == "__main__":
    run(functools.partial(work_for_jobs.stay, folder=sys.argv[1]), [1, 2], workers=2)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks processes up in /proc")
def test_a_kill_of_the_parent_ends_its_workers_in_the_middle_of_an_item(work: Any, tmp_path: Path) -> None:
    script = tmp_path / "staying.py"
    script.write_text(STAYING)
    with subprocess.Popen([sys.executable, str(script), str(tmp_path)], stderr=subprocess.PIPE) as process:
        while len(pids := [int(path.name[4:]) for path in tmp_path.glob("pid-*")]) < 2:
            assert process.poll() is None, process.stderr
            time.sleep(0.01)
        assert all(map(alive, pids))
        process.send_signal(signal.SIGKILL)
        process.wait()
        until = time.monotonic() + 20
        while any(map(alive, pids)):
            assert time.monotonic() < until, "a worker outlived its parent and could write beside the next run"
            time.sleep(0.01)


def test_a_function_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no name of its own"):
        run(lambda x: x, [1], memo=memo(tmp_path))
    with pytest.raises(BadInput, match="no name of its own"):
        run(lambda x: x, [1], workers=2)


def test_an_item_without_a_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no digest"):
        run(repr, [object()], memo=memo(tmp_path))


def test_workers_and_cores(work: Any) -> None:
    with pytest.raises(BadInput, match="0 workers"):
        run(work.square, [1], workers=0)
    with pytest.warns(UserWarning, match="3 workers on 2 cores"):
        assert run(work.square, [2], workers=3) == [4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(work.square, [1], workers=2)


def clock(monkeypatch: pytest.MonkeyPatch, *, step_s: float) -> None:
    now = iter(range(10**6))
    monkeypatch.setattr(shown.time, "monotonic", lambda: next(now) * step_s)


@pytest.mark.parametrize(("step_s", "lines"), [(0.1, 0), (2.0, 6)])
def test_lines_only_if_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step_s: float, lines: int
) -> None:
    clock(monkeypatch, step_s=step_s)
    run(abs, list(range(20)), progress="adding")
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == lines
    if lines:
        assert shown[0] == "adding: 3 of 20, about 34 s left"


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    started: list[tuple[str, int, int]] = []
    updated: list[int] = []

    def bar(stack: Any, label: str, *, done: int, total: int) -> Callable[[int], None]:
        started.append((label, done, total))
        return updated.append

    monkeypatch.setattr(shown, "bar", bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    clock(monkeypatch, step_s=2.0)
    run(abs, list(range(20)), progress="adding")
    assert started == [("adding", 3, 20)]
    assert updated == list(range(3, 21))
    assert capsys.readouterr().err == ""


def test_the_bar_of_rich_draws(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.ExitStack() as stack:
        shown.bar(stack, "adding", done=1, total=2)(2)
    assert "adding" in capsys.readouterr().err


def test_nothing_is_shown_without_a_label(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock(monkeypatch, step_s=100.0)
    run(abs, list(range(5)))
    assert capsys.readouterr().err == ""
