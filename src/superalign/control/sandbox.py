"""Hostile code runs here: no network, no files but its own folder, no process but its own, and bounds on all that it takes.

The wall is bubblewrap (namespaces), another user, and a list of system calls that are refused. A kernel with a hole has no
wall: nothing here guards against that, nor against what can be told from how fast shared hardware answers.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import json
import os
import platform
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeAlias

import psutil

from superalign.control import identities
from superalign.control.identities import PACKAGE, User, drop, python_folders
from superalign.errors import BadInput
from superalign.types import Record

Ended: TypeAlias = Literal["finished", "failed", "out of time", "out of memory", "out of disk", "killed"]
MB, TICK_S, WARILY = 1 << 20, 0.05, os.O_NOFOLLOW | os.O_NONBLOCK
HARNESS = Path(__file__).with_name("harness.py")
WALLS = ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv")
SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib64", "/bin", "/sbin", "/lib", "/lib64")
# System calls that are refused: memfd_create memfd_secret shmget (memory that no limit counts) keyctl add_key request_key
# ptrace process_vm_readv process_vm_writev pidfd_getfd bpf perf_event_open userfaultfd io_uring_setup unshare mount.
MACHINES = {  # number of the machine for audits, of `socket`, of these calls
    "x86_64": (0xC000003E, 41, (319, 447, 29, 250, 248, 249, 101, 310, 311, 438, 321, 298, 323, 425, 272, 165)),
    "aarch64": (0xC00000B7, 198, (279, 447, 194, 219, 217, 218, 117, 270, 271, 438, 280, 241, 282, 425, 97, 40)),
}
# Unix, IPv4, IPv6, netlink: sockets of these belong to a network namespace; others reach the machine that runs this one.
FAMILIES = (1, 2, 10, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Record):
    """What code may take: memory and processor time of all its processes, disk in its folder and as much in /tmp."""

    wall_s: float = 60
    cpu_s: float = 60
    memory_mb: int = 1024
    processes: int = 32  # of this sandbox; before Linux 5.14, of this user on the whole machine
    disk_mb: int = 64
    output_kb: int = 256


class Event(NamedTuple):
    """One thing that Python was asked to do."""

    name: str  # of the audit event: open, import, socket.connect, ...
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Record):
    """How it ended, and all that it left."""

    ended: Ended
    code: int
    out: str
    err: str
    wall_s: float
    cpu_s: float
    peak_mb: float
    files: tuple[str, ...]
    events: tuple[Event, ...]


@functools.cache
def sandbox_missing() -> str:
    """Say what is missing for a sandbox on this machine, why that matters and what to do; empty if nothing is."""
    bwrap = shutil.which("bwrap") or ""
    command = (bwrap, *WALLS, "--ro-bind", "/", "/", "--proc", "/proc", "prlimit", "--nproc=9", "true")
    if platform.machine() not in MACHINES:
        fault = f"the numbers of system calls are not known for {platform.machine()}. Use x86_64 or aarch64"
    elif not bwrap:
        fault = "bubblewrap is not installed. Install it (apt-get install bubblewrap)"
    elif (ran := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        fault = f"bubblewrap fails ({ran.stderr.strip()[:200]}). Allow user namespaces; have prlimit and its version .8"
    else:
        return ""
    return f"Code that nobody trusts cannot run here: {fault}. Without a sandbox it is never run."


def check_walls() -> None:
    """Refuse, before anything long begins, where untrusted code cannot be held: without root, a sandbox and the users."""
    identities.root_only("open a vault")
    if missing := sandbox_missing():
        raise BadInput(missing)
    for name in (identities.VAULT, identities.RUNNER, identities.RESEARCHER):
        identities.user(name)


def confined(
    argv: Sequence[str],
    *,
    folder: Path,
    limits: Limits,
    read: Sequence[Path] = (),
    sockets: Sequence[Path] = (),
    user: str = "",
    trace: bool = False,
) -> Outcome:
    """Run a command in the sandbox until it ends or takes more than it may; nothing of it is left running.

    Args:
        argv: The command; with `trace`, a Python and a script, and what it asks Python to do is recorded.
        folder: Its own, at the same path inside: the only place it can write, but for a /tmp that is not kept.
        limits: What it may take.
        read: Further files and folders that it can read.
        sockets: Unix sockets of others that it can connect to.
        user: Whom root runs it as; empty where this process is not root: as this process's user.
    """
    if missing := sandbox_missing():
        raise BadInput(missing)
    own = folder.absolute()
    who = _handed_over(own, user)
    with contextlib.ExitStack() as kept:
        calls, out, err, note = (kept.enter_context(tempfile.TemporaryFile()) for _ in range(4))
        calls.write(refused_calls())
        calls.seek(0)
        reads, tells = os.pipe()
        told = kept.enter_context(open(reads, "rb", 0))
        fds = (note.fileno(), calls.fileno(), tells)
        traced = ("-I", "-B", str(HARNESS), str(tells)) if trace else ()
        within = ("--info-fd", str(fds[0]), "--seccomp", str(fds[1]), "--", *_bounds(limits))
        command = (*_walls(own, limits, read, sockets), *within, argv[0], *traced, *argv[1:])
        seen = (*python_folders(), *(p.absolute() for p in (*read, *sockets, own)))
        # Between fork and exec it waits for no lock of another thread, and imports nothing.
        fall = functools.partial(drop, who, seen, os.getpid())
        how: dict[str, Any] = {"pass_fds": fds if trace else fds[:2], "preexec_fn": fall}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={}, **how)
        kept.callback(process.kill)  # where this is interrupted
        os.close(tells)
        return _watched(process, (out, err, note, told), own, limits)


def read_left(folder: Path, name: str, *, at_most: int) -> bytes:
    """Read a file that code left in its folder; raise `BadInput` for a link, a second name of a file, or too much."""
    data, path = None, f"{os.path.realpath(folder)}/{name}"
    with contextlib.suppress(OSError), open(path, "rb", opener=lambda at, how: os.open(at, how | WARILY)) as file:
        found = os.fstat(file.fileno())
        plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and os.path.realpath(path) == path
        data = file.read(at_most + 1) if plain else None
    if data is None or len(data) > at_most:
        raise BadInput(
            f"{name!r} is not read: what code leaves could stand for what it may not read. "
            f"Leave a plain file of at most {at_most} bytes, no link."
        )
    return data


def refused_calls() -> bytes:
    """Return the filter of system calls, as the kernel reads it: those above and foreign sockets are refused."""
    audit, socket, numbers = MACHINES[platform.machine()]
    load, equal, least, end = 0x20, 0x15, 0x35, 6  # codes of steps; then steps to skip if true, if false, and a number
    allow, refuse = (end, 0, 0, 0x7FFF0000), (end, 0, 0, 0x00050001)
    # Field 4 is the machine, 0 the call; from 0x40000000 on there is a second table of numbers on the same machine.
    steps = [(load, 0, 0, 4), (equal, 1, 0, audit), refuse, (load, 0, 0, 0), (least, 0, 1, 1 << 30), refuse]
    steps += [step for number in numbers for step in ((equal, 0, 1, number), refuse)]
    steps += [(equal, 1, 0, socket), allow, (load, 0, 0, 16)]
    steps += [step for family in FAMILIES for step in ((equal, 0, 1, family), allow)]
    return b"".join(struct.pack("=HBBI", *step) for step in (*steps, refuse))


def _handed_over(folder: Path, name: str) -> User:
    """Return whom a sandbox runs as, its folder now theirs alone."""
    uid = os.getuid()
    who = identities.user(name) if name else User(name="", uid=uid, gid=os.getgid())
    if who.uid == 0 or uid not in (0, who.uid):
        raise BadInput(
            f"A sandbox is not started as {name or 'root'} by user number {uid}: code that nobody trusts needs a user with "
            "nothing to lose. Run this as root and name a user, or as another user and name none."
        )
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    os.fchown(handle, who.uid, who.gid)
    os.fchmod(handle, 0o700)
    os.close(handle)
    return who


def _walls(folder: Path, limits: Limits, read: Sequence[Path], sockets: Sequence[Path]) -> Iterator[str]:
    yield from (shutil.which("bwrap") or "bwrap", *WALLS, "--hostname", "sandbox", "--proc", "/proc", "--dev", "/dev")
    yield from ("--perms", "1777", "--size", str(limits.disk_mb * MB), "--tmpfs", "/tmp")
    for path in filter(os.path.isdir, SYSTEM):
        yield from ("--symlink", os.readlink(path), path) if os.path.islink(path) else ("--ro-bind", path, path)
    binds = [("--ro-bind", place) for place in (*python_folders(), *read)]
    for how, place in (*binds, *(("--bind", place) for place in (*sockets, folder))):
        yield from (how, str(place.absolute()), str(place.absolute()))
    yield from ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(folder))
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONPATH": str(PACKAGE.parent)}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in (variables | threads).items():
        yield from ("--setenv", name, value)


def _bounds(limits: Limits) -> Iterator[str]:
    """Set the kernel's own limits inside of the user namespace: there, processes of two sandboxes are counted apart."""
    most = {"cpu": int(limits.cpu_s) + 1, "data": limits.memory_mb * MB, "fsize": limits.disk_mb * MB}
    yield "prlimit"
    yield from (f"--{name}={value}" for name, value in (most | {"nproc": limits.processes, "nofile": 256}).items())


def _watched(process: subprocess.Popen[bytes], pipes: Sequence[IO[bytes]], folder: Path, limits: Limits) -> Outcome:
    out, err, note, told = pipes
    started, ended, cpu_s, peak_mb = time.monotonic(), None, 0.0, 0.0
    ends, top, trace = os.pidfd_open(process.pid), psutil.Process(process.pid), b""
    os.set_blocking(told.fileno(), False)
    enough = limits.disk_mb * 256 + 1  # files: so many are too much, however small
    while ended is None and not select.select([ends], [], [], TICK_S)[0]:
        trace += told.read(MB) or b""
        took_s, memory_mb, sent_mb = _taken(top)
        cpu_s, peak_mb = max(cpu_s, took_s), max(peak_mb, memory_mb)
        sizes = [size for _, size in itertools.islice(_files(folder), enough)]
        over: dict[Ended, bool] = {
            "out of time": time.monotonic() - started > limits.wall_s or took_s > limits.cpu_s,
            "out of memory": memory_mb > limits.memory_mb,
            # What was deleted and is still held is in no folder, so what was written counts as well.
            "out of disk": sent_mb > 4 * limits.disk_mb or sum(sizes) > limits.disk_mb * MB,
            "killed": any(os.fstat(file.fileno()).st_size > limits.output_kb * 1024 for file in (out, err)),
        }
        ended = next((name for name, true in over.items() if true), None)
    first, inside = ends, re.search(rb'"child-pid": *(\d+)', os.pread(note.fileno(), 4096, 0))
    with contextlib.suppress(ProcessLookupError):  # all processes of its namespace end with the first one inside
        first = os.pidfd_open(int(inside[1])) if inside else ends
        signal.pidfd_send_signal(first, signal.SIGKILL if ended else 0)
    code, wall_s = process.wait(), time.monotonic() - started
    select.select([first], [], [], 10)
    for handle in {first, ends}:
        os.close(handle)
    return Outcome(
        ended=ended or ("finished" if code == 0 else "failed"),
        code=code,
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_mb=peak_mb,
        out=os.pread(out.fileno(), limits.output_kb * 1024, 0).decode(errors="replace"),
        err=os.pread(err.fileno(), limits.output_kb * 1024, 0).decode(errors="replace"),
        files=tuple(sorted(name for name, _ in _files(folder))),
        events=tuple(map(_event, (trace + (told.read(MB) or b""))[:MB].splitlines())),
    )


def _taken(top: psutil.Process) -> tuple[float, float, float]:
    """Sum processor seconds, MB in memory and MB sent to disk over a process and all below it."""
    cpu_s, memory, sent = 0.0, 0, 0
    with contextlib.suppress(psutil.Error):
        for one in (top, *top.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                cpu_s += sum(one.cpu_times()[:4])  # its own, and of children that ended
                memory += one.memory_info().rss
                sent += one.io_counters().write_bytes
    return cpu_s, memory / MB, sent / MB


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """List what lies in a folder, with its bytes; what lies too deep to be counted counts as without end."""
    failed: list[OSError] = []
    for above, folders, names in os.walk(folder, onerror=failed.append):
        for path in (os.path.join(above, name) for name in (*folders, *names)):
            with contextlib.suppress(OSError):
                yield path[len(str(folder)) + 1 :], max(os.lstat(path).st_blocks * 512, 4096)
    yield from ((error.filename, 1 << 60) for error in failed if error.errno == errno.ENAMETOOLONG)


def _event(line: bytes) -> Event:
    """Read what the hook wrote; anything else was written by somebody else."""
    try:
        name, what = json.loads(line)
        return Event(str(name), str(what))
    except (ValueError, TypeError):
        return Event("unreadable", "")
