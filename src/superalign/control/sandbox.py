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
import resource
import select
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, TypeAlias

from superalign.control import identities
from superalign.control.identities import PACKAGE, User, become, end_with, python_folders, reveal
from superalign.errors import BadInput
from superalign.types import Record

Ended: TypeAlias = Literal["finished", "failed", "out of time", "out of memory", "out of disk", "killed"]
MB, TICK_S = 1 << 20, 0.05
HARNESS = Path(__file__).with_name("harness.py")
_HERTZ, _PAGE = os.sysconf("SC_CLK_TCK"), resource.getpagesize()
WALLS = ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv")
SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib64", "/bin", "/sbin", "/lib", "/lib64")
# System calls that are refused: memfd_create memfd_secret shmget (memory that no limit counts) keyctl add_key request_key
# ptrace process_vm_readv process_vm_writev pidfd_getfd bpf perf_event_open userfaultfd io_uring_setup unshare mount.
MACHINES = {  # number of the machine for audits, of `socket`, of these calls
    "x86_64": (0xC000003E, 41, (319, 447, 29, 250, 248, 249, 101, 310, 311, 438, 321, 298, 323, 425, 272, 165)),
    "aarch64": (0xC00000B7, 198, (279, 447, 194, 219, 217, 218, 117, 270, 271, 438, 280, 241, 282, 425, 97, 40)),
}
FAMILIES = (
    1,
    2,
    10,
    16,
)  # unix, IPv4, IPv6, netlink: these belong to a network namespace; others reach the machine's host


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Record):
    """What code may take: memory and processor time of all its processes, disk in its folder and as much in /tmp."""

    wall_s: float = 60
    cpu_s: float = 60
    memory_mb: int = 1024
    processes: int = 32  # of this user on the whole machine: two sandboxes of one user share them
    disk_mb: int = 64
    output_kb: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """One thing that Python was asked to do."""

    name: str  # of the audit event: open, import, socket.connect, ...
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Record):
    """How it ended, and all that it left."""

    ended: Ended
    code: int
    out: str = ""
    err: str = ""
    wall_s: float
    cpu_s: float
    peak_mb: float
    files: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()


@functools.cache
def sandbox_missing() -> str:
    """Say what is missing for a sandbox on this machine, why that matters and what to do; empty if nothing is."""
    command = (shutil.which("bwrap") or "", *WALLS, "--ro-bind", "/", "/", "--proc", "/proc", "true")
    if platform.machine() not in MACHINES:
        fault = f"the numbers of system calls are not known for {platform.machine()}. Use x86_64 or aarch64"
    elif not command[0]:
        fault = "bubblewrap is not installed. Install it (apt-get install bubblewrap)"
    elif (tried := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        fault = (
            f"bubblewrap fails ({tried.stderr.strip()[:200]}). Allow user namespaces, and have its version .8 or later"
        )
    else:
        return ""
    return f"Code that nobody trusts cannot run here: {fault}. Without a sandbox it is never run."


def check_walls() -> None:
    """Refuse a machine on which untrusted code cannot be held: before anything long begins.

    Raises:
        BadInput: If this is not root, there is no sandbox, or a user is missing; it says what to run.
    """
    if os.getuid() != 0:
        raise BadInput(
            "Only root can open a vault. Vault, runner and researcher must be users that cannot read one another. Run the same "
            f"command as root (sudo {shutil.which('superalign') or 'superalign'} ...)."
        )
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
    stdin: bytes = b"",
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
        stdin: What it is given to read.
    """
    if missing := sandbox_missing():
        raise BadInput(missing)
    who, own = _who(user), folder.absolute()
    _hand_over(own, who)
    with contextlib.ExitStack() as kept:
        given, out, err, note, calls = (kept.enter_context(tempfile.TemporaryFile()) for _ in range(5))
        told, tells = (
            kept.enter_context(os.fdopen(fd, mode, 0)) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
        )
        for file, data in ((given, stdin), (calls, refused_calls())):
            file.write(data)
            file.seek(0)
        traced = ("-I", "-B", str(HARNESS), str(tells.fileno())) if trace else ()
        fds = [file.fileno() for file in (note, calls, *((tells,) if trace else ()))]
        handed = ("--info-fd", str(fds[0]), "--seccomp", str(fds[1]), "--", argv[0], *traced, *argv[1:])
        seen = (*python_folders(), *(p.absolute() for p in (*read, *sockets, own)))
        command = (*_walls(own, limits, read, sockets), *handed)
        # Between fork and exec it waits for no lock of another thread, and imports nothing.
        drop = functools.partial(_drop, who, limits, seen, os.getpid())
        process = subprocess.Popen(command, stdin=given, stdout=out, stderr=err, env={}, pass_fds=fds, preexec_fn=drop)
        kept.callback(process.kill)  # where this is interrupted
        tells.close()
        found = _watched(process, (out, err, note, told), own, limits)
        texts = [os.pread(f.fileno(), limits.output_kb * 1024, 0).decode(errors="replace") for f in (out, err)]
        files = tuple(sorted(name for name, _ in _files(own)))
        return replace(found, out=texts[0], err=texts[1], files=files)


def read_left(folder: Path, name: str, *, at_most: int) -> bytes:
    """Read a file that code left in its folder; raise `BadInput` for a link, a second name of a file, or too much."""
    handles, data = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)], None
    with contextlib.suppress(OSError):
        for part in Path(name).parts:
            handles.append(os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handles[-1]))
        found = os.fstat(handles[-1])
        data = os.read(handles[-1], at_most + 1) if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else None
    for handle in handles:
        os.close(handle)
    if data is None or len(data) > at_most or ".." in Path(name).parts or name.startswith("/"):
        raise BadInput(
            f"{name!r} is not read: what code leaves could stand for what it may not read. "
            f"Leave a plain file of at most {at_most} bytes, no link."
        )
    return data


def refused_calls() -> bytes:
    """Return the filter of system calls, as the kernel reads it: those above and foreign sockets are refused."""
    audit, socket, numbers = MACHINES[platform.machine()]
    step = functools.partial(struct.pack, "=HBBI")  # what to do, steps to skip if true, if false, with which number
    allow, refuse = step(6, 0, 0, 0x7FFF0000), step(6, 0, 0, 0x00050001)
    # Field 4 is the machine, 0 the call; from 0x40000000 on there is a second table of numbers on the same machine.
    steps = [
        step(0x20, 0, 0, 4),
        step(0x15, 1, 0, audit),
        refuse,
        step(0x20, 0, 0, 0),
        step(0x35, 0, 1, 1 << 30),
        refuse,
    ]
    steps += [part for number in numbers for part in (step(0x15, 0, 1, number), refuse)]
    steps += [step(0x15, 1, 0, socket), allow, step(0x20, 0, 0, 16)]
    steps += [part for family in FAMILIES for part in (step(0x15, 0, 1, family), allow)]
    return b"".join((*steps, refuse))


def _who(name: str) -> User:
    uid = os.getuid()
    if name and uid in (0, identities.user(name).uid):
        return identities.user(name)
    if name or uid == 0:
        raise BadInput(
            f"A sandbox is not started as {name or 'root'} by user number {uid}: code that nobody trusts needs a user with "
            "nothing to lose. Run this as root and name a user, or as another user and name none."
        )
    return User(name="", uid=uid, gid=os.getgid())


def _hand_over(folder: Path, who: User) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    if os.fstat(handle).st_uid != who.uid:
        os.fchown(handle, who.uid, who.gid)
    os.fchmod(handle, 0o700)
    os.close(handle)


def _walls(folder: Path, limits: Limits, read: Sequence[Path], sockets: Sequence[Path]) -> Iterator[str]:
    yield from (shutil.which("bwrap") or "bwrap", *WALLS, "--hostname", "sandbox", "--proc", "/proc", "--dev", "/dev")
    yield from ("--perms", "1777", "--size", str(limits.disk_mb * MB), "--tmpfs", "/tmp")
    for path in filter(os.path.isdir, SYSTEM):
        yield from ("--symlink", os.readlink(path), path) if os.path.islink(path) else ("--ro-bind", path, path)
    for place in (*python_folders(), *read):
        yield from ("--ro-bind", str(place.absolute()), str(place.absolute()))
    for place in (*sockets, folder):
        yield from ("--bind", str(place.absolute()), str(place.absolute()))
    yield from ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(folder))
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONPATH": str(PACKAGE.parent)}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in (variables | threads).items():
        yield from ("--setenv", name, value)


def _drop(who: User, limits: Limits, seen: Sequence[Path], parent: int) -> None:
    if os.getuid() == 0:
        reveal(seen, who)
    become(who)
    end_with(parent)
    most = {"CPU": int(limits.cpu_s) + 1, "DATA": limits.memory_mb * MB, "FSIZE": limits.disk_mb * MB}
    for name, value in (most | {"NPROC": limits.processes, "NOFILE": 256}).items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def _watched(process: subprocess.Popen[bytes], pipes: Sequence[IO[bytes]], folder: Path, limits: Limits) -> Outcome:
    out, err, note, told = pipes
    started, ended, cpu_s, peak_mb = time.monotonic(), None, 0.0, 0.0
    ends, trace = os.pidfd_open(process.pid), b""
    os.set_blocking(told.fileno(), False)
    while ended is None and not select.select([ends], [], [], TICK_S)[0]:
        trace += told.read(MB) or b""
        took_s, memory_mb, sent_mb = _taken(process.pid)
        cpu_s, peak_mb = max(cpu_s, took_s), max(peak_mb, memory_mb)
        sizes = [
            size for _, size in itertools.islice(_files(folder), limits.disk_mb * 256 + 1)
        ]  # as many as are too much
        over: dict[Ended, bool] = {
            "out of time": time.monotonic() - started > limits.wall_s or took_s > limits.cpu_s,
            "out of memory": memory_mb > limits.memory_mb,
            # What was deleted and is still held is in no folder, so what was written counts as well.
            "out of disk": sent_mb > 4 * limits.disk_mb or sum(sizes) > limits.disk_mb * MB,
            "killed": any(os.fstat(file.fileno()).st_size > limits.output_kb * 1024 for file in (out, err)),
        }
        ended = next((name for name, true in over.items() if true), None)
    first = _first(note, ends)  # all processes of its namespace end with it
    if ended is not None:
        signal.pidfd_send_signal(first, signal.SIGKILL)
    code, wall_s = process.wait(), time.monotonic() - started
    select.select([first], [], [], 10)
    for handle in {first, ends}:
        os.close(handle)
    ended = ended or ("finished" if code == 0 else "failed")
    events = tuple(_events((trace + (told.read(MB) or b""))[:MB]))
    return Outcome(ended=ended, code=code, wall_s=wall_s, cpu_s=cpu_s, peak_mb=peak_mb, events=events)


def _first(note: IO[bytes], ends: int) -> int:
    """Open the first process inside; if it is gone, or never was, return the one outside."""
    found = re.search(rb'"child-pid": *(\d+)', os.pread(note.fileno(), 4096, 0))
    with contextlib.suppress(ProcessLookupError):
        return os.pidfd_open(int(found[1])) if found else ends
    return ends


def _taken(top: int) -> tuple[float, float, float]:
    """Sum processor seconds, MB in memory and MB sent to disk over a process and all below it."""
    found: dict[int, tuple[int, float, float]] = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = int(fields[1]), sum(map(int, fields[11:15])) / _HERTZ, int(fields[21]) * _PAGE / MB
    mine: set[int] = set()
    while more := {pid for pid, (above, *_) in found.items() if pid == top or above in mine} - mine:
        mine |= more
    sent = 0
    for pid in mine:
        with contextlib.suppress(OSError):
            sent += int(Path(f"/proc/{pid}/io").read_text().split()[11])
    return sum(found[pid][1] for pid in mine), sum(found[pid][2] for pid in mine), sent / MB


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """List what lies in a folder, with its bytes; what lies too deep to be counted counts as without end."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    yield (
                        entry.path[len(str(folder)) + 1 :],
                        max(entry.stat(follow_symlinks=False).st_blocks * 512, 4096),
                    )
                    waiting += [entry.path] if entry.is_dir(follow_symlinks=False) else []
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                yield error.filename, 1 << 60


def _events(trace: bytes) -> Iterator[Event]:
    for line in trace.splitlines():
        try:
            name, what = json.loads(line)
            yield Event(name=str(name), what=str(what))
        except (ValueError, TypeError):
            yield Event(name="unreadable", what="")  # something else than the hook wrote here
