"""What was acknowledged survives kills, power cuts, full disks and failing syncs.

A kill cannot show whether syncs matter: the kernel keeps what was written. So the power cut is simulated from a record
of what the writer asked of the disk (shim.c): a file's bytes and names survive only as far as they were synced.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from superalign.ledger import Ledger, verify

HERE = Path(__file__).parent
SECTOR = 512

WRITER = """
import os, random, sys
if "blobs" in sys.argv[3:]:
    os.fsync = lambda handle: None
if "head" in sys.argv[3:]:
    os.fdatasync = lambda handle: None
from dataclasses import dataclass
from superalign.ledger import Blob, Ledger

@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    text: str
    value: int

rng, value = random.Random(int(sys.argv[2])), 0
for _ in range(3):
    with Ledger(sys.argv[1]) as ledger:
        ledger._db.execute("PRAGMA wal_autocheckpoint=12")
        for level in ("OFF", "NORMAL"):
            if level in sys.argv[3:]:
                ledger._db.execute(f"PRAGMA synchronous={level}")
        for _ in range(8):
            some = [Note(text="x" * rng.choice([1, 100, 5000]), value=value + i) for i in range(rng.choice([1, 1, 3]))]
            value += len(some)
            if rng.random() < 0.3:
                data = rng.randbytes(rng.choice([10, 2000]))
                some.append(Blob(blob=ledger.put_blob(data), kind="noise", size=len(data)))
            digests = ledger.append(*some)
            os.write(1, ("".join(d + "\\n" for d in digests)).encode())
"""


@dataclass
class File:
    now: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # offset and bytes; None: cut to that size


def put(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(b"\0" * (offset - len(content)))
        return
    content.extend(b"\0" * (offset - len(content)))
    content[offset : offset + len(data)] = data


def sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        end = min(len(data), at + SECTOR - (offset + at) % SECTOR)
        yield offset + at, data[at:end]
        at = end


class Disk:
    """A disk that forgets, when the power fails, what was not synced: file bytes, and names in folders."""

    def __init__(self) -> None:
        self.names: dict[str, File | None] = {}  # None: a folder
        self.safe_names: dict[str, File | None] = {}
        self.acknowledged: list[str] = []
        self.syncs = 0

    def do(self, op: str, offset: int, path: str, data: bytes) -> None:
        if op == "ack":
            self.acknowledged += data.decode().split()
        elif op == "create":
            self.names[path] = File()
        elif op == "mkdir":
            self.names[path] = None
        elif op == "unlink":
            self.names.pop(path, None)
        elif op == "rename":
            self.names[data.decode()] = self.names.pop(path)
        elif op in ("write", "truncate"):
            file = self.names.get(path)
            if file is not None:
                file.pending.append((offset, data if op == "write" else None))
                put(file.now, *file.pending[-1])
        elif op == "sync":
            self.syncs += 1
            file = self.names.get(path)
            if file is not None:
                file.safe, file.pending = bytearray(file.now), []
            else:
                self._sync_folder(path)

    def _sync_folder(self, path: str) -> None:
        inside = [name for name in {*self.names, *self.safe_names} if os.path.dirname(name) == path]
        for name in inside:
            if name in self.names:
                self.safe_names[name] = self.names[name]
            else:
                del self.safe_names[name]

    def cut(self, folder: Path, root: Path, rng: random.Random, *, kept: float) -> None:
        """Write what is left after a power cut; each unsynced sector survives with probability `kept`."""
        shutil.rmtree(folder, ignore_errors=True)
        names = self.names if kept == 1 else self.safe_names
        for name in sorted(names):
            target = folder / Path(name).relative_to(root)
            file = names[name]
            if not target.parent.is_dir() and target.parent != folder:
                continue  # the folder it stood in was forgotten
            target.parent.mkdir(parents=True, exist_ok=True)
            if file is None:
                target.mkdir()
                continue
            content = bytearray(file.safe)
            for offset, data in file.pending:
                for at, piece in sectors(offset, data) if data is not None else [(offset, None)]:
                    if rng.random() < kept:
                        put(content, at, piece)
            target.write_bytes(content)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None or not sys.platform.startswith("linux"):
        pytest.skip("simulating a power cut needs gcc on Linux; install it to end this skip")
    target = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", target, HERE / "shim.c", "-ldl"], check=True)
    return target


Operation = tuple[str, int, str, bytes]  # what, offset, path, bytes


def parse(data: bytes) -> list[Operation]:
    at, ops = 0, []
    while at < len(data):
        end = data.index(b"\n", at)
        op, offset, length, path = data[at:end].decode().split(" ", 3)
        at = end + 1 + (int(length) if op in ("write", "ack", "rename") else 0)
        ops.append((op, int(offset), path, data[end + 1 : at]))
    return ops


def recorded(shim: Path, folder: Path, script: str, *arguments: str, fail: str = "") -> tuple[list[Operation], str]:
    """Run a script that writes below `folder`; return what it asked of the disk, and its last words."""
    folder.mkdir()
    log = folder.with_suffix(".log")
    environment = {**os.environ, "LD_PRELOAD": str(shim), "SHIM_PREFIX": str(folder), "SHIM_LOG": str(log)}
    environment["SHIM_FAIL"] = fail
    command = [sys.executable, "-c", script, str(folder / "ledger"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in ((0, 1) if fail else (0,)), done.stderr
    return parse(log.read_bytes()), done.stderr


def lost(ops: list[Operation], root: Path, scratch: Path, *, every: int, seed: int = 0) -> Iterator[str]:
    """Cut the power after operations of a run; say what is then wrong with the ledger."""
    rng = random.Random(seed)
    disk = Disk()
    for k, op in enumerate(ops):
        disk.do(*op)
        if k % every and k != len(ops) - 1:
            continue
        for kept in (0.0, 0.5, 1.0):
            disk.cut(scratch, root, rng, kept=kept)
            fault = fault_after_cut(scratch / "ledger", disk.acknowledged)
            if fault:
                yield f"cut after operation {k} ({op[0]} {Path(op[2]).name}), {kept} kept: {fault}"


def fault_after_cut(folder: Path, acknowledged: list[str]) -> str:
    try:
        if acknowledged:
            found = verify(folder)
            if not found.ok:
                return found.what
        folder.parent.mkdir(exist_ok=True)
        with Ledger(folder) as ledger:  # repairs nothing, takes over what was announced
            digests = [entry.digest for entry in ledger.entries()]
        found = verify(folder)
    except ValueError as error:
        return str(error)
    if digests[: len(acknowledged)] != acknowledged:
        return f"{len(acknowledged)} acknowledged, {len(digests)} there"
    return "" if found.ok else found.what


def test_a_power_cut_loses_nothing_acknowledged(shim: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    slow = request.config.getoption("--slow", default=False)
    for seed in range(5 if slow else 1):
        root = tmp_path / f"run{seed}"
        ops, _ = recorded(shim, root, WRITER, str(seed))
        assert sum(op[0] == "ack" for op in ops) == 24
        assert list(lost(ops, root, tmp_path / "after", every=1 if slow else 11, seed=seed)) == []


@pytest.mark.parametrize("off", ["OFF", "NORMAL", "head", "blobs"])
def test_the_power_cut_test_can_fail(shim: Path, tmp_path: Path, off: str) -> None:
    """With any one kind of sync off, acknowledged records are lost and the test above would say so."""
    root = tmp_path / "run"
    ops, _ = recorded(shim, root, WRITER, "0", off)
    wrong = lost(ops, root, tmp_path / "after", every=11)
    losses = (line for line in wrong if off in ("head", "blobs") or "acknowledged" in line or "missing" in line)
    assert next(losses, "") != ""


def test_the_syncs_counted_are_the_syncs_made(shim: Path, tmp_path: Path) -> None:
    script = """
import os, sys
from superalign.ledger import Ledger
from superalign.types import Interval
with Ledger(sys.argv[1]) as ledger:
    before = ledger.fsyncs
    for i in range(50):
        ledger.append(Interval(value=0.0, low=0.0, high=0.0, n=i))
    ledger.put_blob(b"data")
    os.write(1, f"{before} {ledger.fsyncs}".encode())
"""
    ops, _ = recorded(shim, tmp_path / "run", script)
    before, after = (int(word) for op in ops if op[0] == "ack" for word in op[3].split())
    assert after - before == 2 * 50 + 2
    made = sum(op[0] == "sync" for op in ops)
    # SQLite adds those of making the log, checkpointing it and closing; it never makes fewer.
    assert after <= made <= after + 12


@pytest.mark.parametrize("what", ["write", "sync"])
def test_a_failing_disk_says_so_and_keeps_what_was_acknowledged(shim: Path, tmp_path: Path, what: str) -> None:
    refused = 0
    for k in (2, 9, 17):
        root = tmp_path / f"run{k}"
        ops, said = recorded(shim, root, WRITER, "0", fail=f"{what} {k}")
        if said:  # the one write of the lock's owner, and SQLite's last tidying up, may fail without harm
            refused += 1
            assert "BadInput: Could not write to" in said, said
            assert said.strip().endswith("then run the same command again."), said
        disk = Disk()
        for op in ops:
            disk.do(*op)
        assert fault_after_cut(root / "ledger", disk.acknowledged) == ""
    assert refused >= 2


KILLER = """
import os, random, signal, sys, time
from dataclasses import dataclass
from superalign.ledger import Blob, Ledger, verify

@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    text: str
    trial: int
    value: int

def write(folder, trial, pipe):
    rng = random.Random(trial)
    with Ledger(folder) as ledger:
        for value in range(10**6):
            text = "x" * rng.choice([1, 1000])
            some = [Note(text=text, trial=trial, value=value * 9 + i) for i in range(rng.choice([1, 5]))]
            if rng.random() < 0.1:
                data = rng.randbytes(100)
                some.append(Blob(blob=ledger.put_blob(data), kind="noise", size=100))
            os.write(pipe, "".join(d + "\\n" for d in ledger.append(*some)).encode())

root, trials = sys.argv[1], int(sys.argv[2])
rng, acknowledged, total, empty = random.Random(0), [], 0, 0
for trial in range(trials):
    folder = f"{root}/{trial // 10}"
    if trial % 10 == 0:
        acknowledged = []
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            write(folder, trial, into)
        finally:
            os._exit(3)
    os.close(into)
    new = b"" if rng.random() < 0.25 else os.read(out, 1 << 16)  # some die while opening, most while writing
    time.sleep(rng.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    with os.fdopen(out, "rb") as pipe:
        new = (new + pipe.read()).decode()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, "the writer ended before it was killed"
    new = new[: new.rfind("\\n") + 1].split()
    acknowledged += new
    total, empty = total + len(new), empty + (not new)
    if acknowledged:
        assert verify(folder).ok, (trial, verify(folder))
    with Ledger(folder) as ledger:
        kept = [entry.digest for entry in ledger.entries()]
    # What was committed but not yet acknowledged may be there too, so acknowledged records are a subsequence in order.
    left = iter(kept)
    assert all(digest in left for digest in acknowledged), trial
    assert len(set(kept)) == len(kept), "a record is there twice"
    assert verify(folder).ok
print(f"{trials} kills, {total} acknowledged, {empty} killed before the first")
"""


def test_kills_lose_nothing_acknowledged(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    trials = 200 if request.config.getoption("--slow", default=False) else 40
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), str(trials)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert int(done.stdout.split()[2]) > trials, "the writers hardly wrote; the test shows nothing"
