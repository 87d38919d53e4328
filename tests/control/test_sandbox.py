"""What the sandbox lets through, how it ends what takes too much, and what it refuses to start."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from superalign.control.identities import RESEARCHER, RUNNER, make_users, start_as, user
from superalign.control.sandbox import Event, Limits, Outcome, confined, read_left, sandbox_missing
from superalign.errors import BadInput

needs_root = pytest.mark.skipif(
    os.getuid() != 0 or sandbox_missing() != "", reason=f"needs root and bubblewrap: {sandbox_missing()}"
)


def run(code: str, folder: Path, *, trace: bool = False, **more: float) -> Outcome:
    make_users((RESEARCHER, RUNNER))
    limits = Limits(**({"wall_s": 20, "disk_mb": 16, "memory_mb": 256, "output_kb": 8} | more))  # type: ignore[arg-type]
    (folder / "code.py").write_text(code)
    return confined(
        (sys.executable, str(folder / "code.py")), folder=folder, limits=limits, user=RESEARCHER, trace=trace
    )


@needs_root
def test_code_computes_reads_what_it_is_given_and_leaves_files(tmp_path: Path) -> None:
    found = run(
        "import os, sys, numpy\nos.mkdir('sub')\nnumpy.save('sub/a.npy', numpy.ones(3))\n"
        "print([sys.stdin.read()], os.getuid(), sorted(os.environ))\nsys.exit('ended')",
        tmp_path,
    )
    assert (found.ended, found.code, found.err) == ("failed", 1, "ended\n")
    assert found.out.startswith(f"[''] {user(RESEARCHER).uid} ['HOME', 'LANG', 'OMP_NUM_THREADS'")
    assert found.files == ("code.py", "sub", "sub/a.npy")
    assert read_left(tmp_path, "sub/a.npy", at_most=1000)[1:6] == b"NUMPY"
    assert 0 < found.cpu_s < 5
    assert 5 < found.peak_mb < 200


@needs_root
@pytest.mark.parametrize(
    ("ended", "code", "more"),
    [
        ("finished", "pass", {}),
        ("out of time", "import time; time.sleep(9)", {"wall_s": 0.4}),
        ("out of time", "import os; os.fork(); os.fork()\nwhile True: pass", {"cpu_s": 0.3}),
        (
            "out of memory",
            "import mmap\nm = mmap.mmap(-1, 1 << 28)\nfor _ in range(256): m.write(bytes(1 << 20))\nimport time; time.sleep(9)",
            {"memory_mb": 128},
        ),
        ("out of disk", "import time\nfor n in range(9999): open(str(n), 'w')\ntime.sleep(9)", {"disk_mb": 1}),
        (
            "out of disk",  # deleted, so in no folder, and held by no descriptor
            "import mmap, os, time\nfor n in range(99):\n  f = open('x', 'w+b'); os.unlink('x'); f.truncate(1 << 20)\n"
            "  m = mmap.mmap(f.fileno(), 0); m[:] = bytes(1 << 20)\ntime.sleep(9)",
            {},
        ),
        (
            "out of disk",
            "import os, time\nfor _ in range(40): os.mkdir('d' * 200); os.chdir('d' * 200)\ntime.sleep(9)",
            {},
        ),
        ("killed", "import time; print('x' * 99999, flush=True); time.sleep(9)", {}),
    ],
)
def test_what_takes_too_much_is_ended(ended: str, code: str, more: dict[str, float], tmp_path: Path) -> None:
    found = run(code, tmp_path, **more)
    subprocess.run(("rm", "-rf", str(tmp_path)), check=True)  # too deep for Python's own way
    assert found.ended == ended, found
    assert len(found.out) <= 8 * 1024


FORKS = """import os, time
n = 0
try:
    while n < {most}:
        os.fork() or time.sleep(60) or os._exit(0)
        n += 1
except OSError:
    pass
open('forked', 'w').close()
print(n, flush=True)
time.sleep({hold})
"""


@needs_root
@pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (5, 14), reason="counted apart since Linux 5.14"
)
def test_a_sandbox_that_forks_to_its_limit_starves_no_other(tmp_path: Path) -> None:
    make_users((RESEARCHER,))
    found = {}

    def fork(name: str, most: int, hold: float) -> None:
        (tmp_path / name).mkdir()
        command = (sys.executable, "-c", FORKS.format(most=most, hold=hold))
        limits = Limits(wall_s=20, processes=16)
        found[name] = confined(command, folder=tmp_path / name, limits=limits, user=RESEARCHER)

    greedy = threading.Thread(target=fork, args=("greedy", 99, 3))
    greedy.start()
    until((tmp_path / "greedy" / "forked").exists)
    fork("modest", 10, 0)
    assert greedy.is_alive()  # it held all that it may have meanwhile
    greedy.join()
    assert (found["modest"].ended, found["modest"].out) == ("finished", "10\n")
    assert (found["greedy"].ended, 10 < int(found["greedy"].out) < 16) == ("finished", True)


@needs_root
def test_a_trace_tells_what_a_script_asks_for_and_not_what_libraries_do(tmp_path: Path) -> None:
    code = "import json, numpy, os, socket\nopen('left', 'w')\nos.system('true')\n"
    code += "for n in range(5000): open('left')\nos.fork() or os._exit(0)\nsocket.socket(socket.AF_UNIX)"
    events = run(code, tmp_path, trace=True).events
    assert {Event(name="open", what="left"), Event(name="os.system", what="b'true'")} <= set(events)
    assert {event.what for event in events if event.name == "import"} >= {"numpy"}
    assert {"os.fork", "socket.__new__"} <= {event.name for event in events}
    assert len(events) == len(set(events)) < 60


@needs_root
def test_a_trace_is_not_taken_back_and_what_is_forged_is_seen(tmp_path: Path) -> None:
    code = "import os\nos.system('true')\nto = [n for n in range(3, 99) if os.path.exists(f'/proc/self/fd/{n}')][0]\n"
    code += (
        "for act in (lambda: os.ftruncate(to, 0), lambda: os.lseek(to, 0, 0), lambda: os.write(to, b'forged\\n')):\n"
    )
    code += "  try: act()\n  except OSError: pass\n"
    names = [event.name for event in run(code, tmp_path, trace=True).events]
    assert {"os.system", "unreadable"} <= set(names)


@needs_root
def test_a_socket_is_reached_and_sees_who_asks(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folder = tmp_path / "own"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "desk"))
        listening.listen()
        (tmp_path / "desk").chmod(0o666)
        make_users((RESEARCHER,))
        code = (
            f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(tmp_path / 'desk')!r}); s.send(b'asked')"
        )
        found = confined(
            (sys.executable, "-c", code), folder=folder, limits=Limits(), sockets=[tmp_path / "desk"], user=RESEARCHER
        )
        assert found.ended == "finished", found.err
        peer, _ = listening.accept()
        with peer:
            assert peer.recv(9) == b"asked"
            seen = int.from_bytes(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[4:8], "little")
    assert seen == user(RESEARCHER).uid


def _as_runner(folder: Path) -> None:
    found = confined((sys.executable, "-c", "import numpy, os; print(os.getuid())"), folder=folder, limits=Limits())
    said = found.out
    try:
        confined((sys.executable, "-c", "1"), folder=folder, limits=Limits(), user=RESEARCHER)
    except BadInput as error:
        said += str(error)
    (folder / "said").write_text(said)


@needs_root
def test_a_process_that_is_not_root_starts_sandboxes_as_itself_alone(tmp_path: Path) -> None:
    runner, _ = make_users((RUNNER, RESEARCHER))
    os.chown(tmp_path, runner.uid, runner.gid)
    process = start_as(runner, _as_runner, tmp_path, reach=[tmp_path])
    process.join(20)
    said = (tmp_path / "said").read_text()
    assert said.startswith(f"{runner.uid}\nA sandbox is not started as {RESEARCHER} by user number {runner.uid}")


@needs_root
def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    make_users((RESEARCHER,))
    code = (
        "import sys; from pathlib import Path; from superalign.control.sandbox import Limits, confined\n"
        f"confined((sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]), folder=Path({str(tmp_path)!r}), "
        f"limits=Limits(), user={RESEARCHER!r})"
    )
    token = f"outlives{os.getpid()}"
    with subprocess.Popen((sys.executable, "-c", code, token)) as parent:
        inside = "\0".join((sys.executable, "-c", "import time; time.sleep(60)", token, ""))
        until(lambda: inside in running(token))
        parent.send_signal(signal.SIGKILL)
    until(lambda: running(token) == [])


def running(token: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path.read_text()] if token in path.read_text() else []
        except OSError:
            continue
    return found


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_is_left_is_read_only_if_it_is_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    own = tmp_path / "own"
    (own / "sub").mkdir(parents=True)
    (own / "sub" / "plain").write_text("plain")
    (own / "large").write_text("x" * 11)
    (own / "link").symlink_to(tmp_path / "secret")
    (own / "folder").symlink_to(tmp_path)
    os.link(tmp_path / "secret", own / "second name")
    os.mkfifo(own / "pipe")
    assert read_left(own, "sub/plain", at_most=10) == b"plain"
    for name in (
        "link",
        "folder/secret",
        "second name",
        "pipe",
        "sub",
        "../secret",
        "large",
        "none",
        str(own / "large"),
    ):
        with pytest.raises(BadInput, match="is not read"):
            read_left(own, name, at_most=10)


@needs_root
def test_what_cannot_be_confined_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("touch", str(tmp_path / "ran"))
    with pytest.raises(BadInput, match="not started as root"):
        confined(command, folder=tmp_path, limits=Limits())
    with pytest.raises(BadInput, match=r"no user superalign-nobody.*useradd"):
        confined(command, folder=tmp_path, limits=Limits(), user="superalign-nobody")
    sandbox_missing.cache_clear()
    monkeypatch.setenv("PATH", "")
    try:
        with pytest.raises(BadInput, match="bubblewrap is not installed"):
            confined(command, folder=tmp_path, limits=Limits(), user=RESEARCHER)
    finally:
        sandbox_missing.cache_clear()
    assert list(tmp_path.iterdir()) == []
