"""Operating system users that do not trust one another, and processes that have become one of them for good."""

from __future__ import annotations

import contextlib
import ctypes
import grp
import multiprocessing
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from superalign.errors import BadInput
from superalign.types import Record

VAULT, RUNNER, RESEARCHER = "superalign-vault", "superalign-runner", "superalign-researcher"
PACKAGE = Path(__file__).resolve().parents[1]
MAKE = ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin")
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here, so that nothing is imported between a fork and an exec
_NEW_MOUNTS, _BIND, _SLAVE_ALL = 0x20000, 0x1000, 0x84000
_DIES_WITH, _DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Record):
    """A user of the operating system."""

    name: str
    uid: int
    gid: int


def user(name: str) -> User:
    """Return the user of this name, or raise `BadInput` with what to run."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise BadInput(
            f"This system has no user {name}. Whoever shares a user with the answers can read them, so nothing runs "
            f"without. As root, run: {' '.join(MAKE)} {name}"
        ) from None
    return User(name=found.pw_name, uid=found.pw_uid, gid=found.pw_gid)


def make_users(names: Sequence[str] = (VAULT, RUNNER, RESEARCHER)) -> tuple[User, ...]:
    """Make the users that are missing; return all of them."""
    for name in sorted(set(names) - {entry.pw_name for entry in pwd.getpwall()}):
        root_only(f"make the user {name}")
        subprocess.run((*MAKE, name), check=True)
    return tuple(user(name) for name in names)


def let_ask(at: Path, who: str) -> None:
    """Let one user, or the members of one group, connect to a socket of root's, and nobody else."""
    os.chown(at, *ask_ids(who))
    at.chmod(0o660)


def ask_ids(who: str) -> tuple[int, int]:
    """Return the owner and the group of a socket by which a user or a group asks: the group, where there is one of the name."""
    with contextlib.suppress(KeyError):
        return 0, grp.getgrnam(who).gr_gid
    try:
        return pwd.getpwnam(who).pw_uid, 0
    except KeyError:
        raise BadInput(
            f"This system has no user or group {who!r}. Nobody could ask the vault. Name one that there is with --for."
        ) from None


def drop(who: User, reach: Sequence[Path], parent: int) -> None:
    """Turn this process into a user's for good: no groups, no way back, no core dump, and an end when the parent ends.

    `reach` are paths that the user needs below folders that are closed to it.
    """
    if os.getuid() == 0:
        _reveal(reach, who)
    os.umask(0o077)
    if os.getuid() != who.uid:
        os.setgroups([])
        os.setresgid(who.gid, who.gid, who.gid)
        os.setresuid(who.uid, who.uid, who.uid)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or os.getresuid() != (who.uid,) * 3:
        raise PermissionError(f"still not {who.name} alone")
    _LIBC.prctl(_DIES_WITH, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def start_as(who: User, function: Callable[..., object], *args: Any, reach: Sequence[Path] = ()) -> BaseProcess:
    """Start a process that becomes a user, then calls a function. It ends with the thread that started it.

    It is a fork, so it keeps what is open here; `reach` are paths that it needs below folders that are closed to it.
    """
    root_only(f"become {who.name}")
    parent, seen = os.getpid(), (*reach, *python_folders())

    def run() -> None:
        drop(who, seen, parent)
        _LIBC.prctl(_DUMPABLE, 0, 0, 0, 0)  # its memory is not even for others of the same user
        os.environ.clear()
        function(*args)

    process = multiprocessing.get_context("fork").Process(target=run, daemon=True)
    process.start()
    return process


def python_folders() -> tuple[Path, ...]:
    """List the folders that Python and this package need to run: never one that holds runs, vaults or data."""
    own = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1], PACKAGE}
    return tuple(sorted(own - {Path("/usr")}))


def _reveal(paths: Sequence[Path], who: User) -> None:
    """Let a user reach paths below closed folders, in this process's own view of the files and without opening the folders.

    Root covers each closed folder by an empty one that holds these paths only. Python's own may lie below /root.
    """
    closed = {path: above[0] for path in paths if (above := [p for p in reversed(path.parents) if _is_closed(p, who)])}
    if not closed:
        return
    os.umask(0o022)
    _call("unshare", _NEW_MOUNTS)
    _call("mount", b"none", b"/", None, ctypes.c_ulong(_SLAVE_ALL), None)
    handles = {path: os.open(path, os.O_PATH) for path in closed}
    for top in set(closed.values()):
        _call("mount", b"none", bytes(top), b"tmpfs", ctypes.c_ulong(0), b"mode=755,size=1m")
    for path, handle in handles.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        source = f"/proc/self/fd/{handle}"
        path.mkdir(exist_ok=True) if os.path.isdir(source) else path.touch()
        _call("mount", source.encode(), bytes(path), None, ctypes.c_ulong(_BIND), None)
        os.close(handle)


def _is_closed(folder: Path, who: User) -> bool:
    found = folder.stat()
    return not found.st_mode & (0o100 if found.st_uid == who.uid else 0o001)


def _call(name: str, *args: object) -> None:
    if getattr(_LIBC, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def root_only(what: str) -> None:
    """Refuse what only root can do."""
    if os.getuid() != 0:
        raise BadInput(
            f"Only root can {what}. Users that must not read one another have to be set apart by it. Run the same command as "
            f"root (sudo {shutil.which('superalign') or 'superalign'} ...)."
        )
