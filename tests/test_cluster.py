"""A real Ray on this machine, with two workers: the same values as here, and a worker that is killed costs time alone."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import BadInput
from superalign.jobs import Memo, run, using
from superalign.jobs.cluster import Ray

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray: pip install 'superalign[cluster]'"),
]
MODULE = """
import os, time
from pathlib import Path

def about(x):
    return x * x, os.environ["OMP_NUM_THREADS"], os.getcwd()

def process(x):
    time.sleep(0.05)
    return os.getpid()

def refuse(x):
    if x == 3:
        raise KeyError("three")
    return x

def stay(x, *, folder):
    with open(Path(folder) / "calls", "a") as file:
        file.write(f"{x} {os.getpid()}\\n")
    if x == 3 and not (Path(folder) / "killed").exists():
        time.sleep(600)
    return x + 0.5

def end(x):
    os._exit(3)
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A module that Ray's workers find, since they take over the path of what starts them."""
    folder = tmp_path_factory.mktemp("module")
    (folder / "work_for_cluster.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    import work_for_cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of what a later version will do
        with using(Ray()):
            yield work_for_cluster
    sys.path.remove(str(folder))
    import ray

    ray.shutdown()


def to_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def memo(folder: Path) -> Memo[Any]:
    return Memo(folder=folder / "run" / "work" / "memo", version="1", encode=to_bytes, decode=json.loads)


def calls(folder: Path) -> list[tuple[int, int]]:
    return [tuple(map(int, line.split())) for line in (folder / "calls").read_text().splitlines()]


def test_values_are_those_of_this_process(work: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert run(work.about, range(9), workers=2) == run(work.about, range(9))
    assert os.getpid() not in run(work.process, range(9), workers=2)
    monkeypatch.chdir(tmp_path)
    assert run(work.about, range(3), workers=2)[0] == (0, "1", str(tmp_path)), "a worker's paths are the command's"


def test_an_exception_comes_through_with_its_item(work: Any) -> None:
    with pytest.raises(KeyError, match="three") as caught:
        run(work.refuse, [1, 2, 3, 4], workers=2)
    assert "while working on item 2 (3)" in "".join(caught.value.__notes__)


def test_the_item_of_a_killed_worker_is_done_again_and_nothing_else(work: Any, tmp_path: Path) -> None:
    function = functools.partial(work.stay, folder=str(tmp_path))

    def kill() -> None:
        while not (tmp_path / "calls").exists() or 3 not in dict(calls(tmp_path)):
            time.sleep(0.05)
        (tmp_path / "killed").touch()
        os.kill(dict(calls(tmp_path))[3], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    items = [1, 2, 3, 4, 5, 6]
    with pytest.warns(UserWarning, match=r"lost while working on item 2 \(3\).*done again"):
        found = run(function, items, workers=2, memo=memo(tmp_path))
    killer.join()
    assert found == [x + 0.5 for x in items]
    assert sorted(x for x, _ in calls(tmp_path)) == [1, 2, 3, 3, 4, 5, 6]
    assert run(function, items, workers=2, memo=memo(tmp_path)) == found
    assert len(calls(tmp_path)) == 7, "what was kept was done again"


def test_an_item_that_ends_every_worker_is_given_up_and_named(work: Any) -> None:
    with pytest.warns(UserWarning, match="done again"), pytest.raises(BadInput, match=r"working on item \d .*2 before"):
        run(work.end, [1, 2], workers=2)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[str]:
    """The address of a cluster that was started as a user starts one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        f"--port={port}",
        "--num-cpus=2",
    ]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--disable-usage-stats"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "--block" in line:
                break
        yield f"127.0.0.1:{port}"
        process.terminate()


def test_a_study_claims_on_a_cluster_what_it_claims_here(head: str, tmp_path: Path) -> None:
    found = {}
    for executor in ("local", f"ray:{head}"):
        words = ["run", "prompted", "--quick", "--workers", "2", "--executor", executor, "--out", executor[:3]]
        done = subprocess.run(
            [sys.executable, "-m", "superalign", *words], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        found[executor[:3]] = json.loads((tmp_path / executor[:3] / "result.json").read_text())
    here, there = found["loc"], found["ray"]
    assert there["claims"] == here["claims"]
    assert there["claims"]
    assert there["decision"] == here["decision"]
    start = json.loads((tmp_path / "ray" / "log.jsonl").read_text().splitlines()[0])
    assert start["executor"] == f"Ray(address='{head}')"
