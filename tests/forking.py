"""The command line in many processes, with its libraries imported once: importing them takes longer than most commands.

One process imports them and then, for each command, forks a child that runs `superalign` with its own arguments, standard
streams, exit code and limits. A child can be killed as any process can.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NamedTuple


class Running(NamedTuple):
    """One command under way."""

    pid: int
    server: subprocess.Popen[str]
    streams: tuple[Path, Path]

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end; a negative code is the signal that killed it."""
        assert self.server.stdout is not None
        status = os.waitstatus_to_exitcode(int(self.server.stdout.readline()))
        out, err = (path.read_text() for path in self.streams)
        return subprocess.CompletedProcess([], status, out, err)


class Commands:
    """Starts commands, one at a time."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.server = scratch, None

    def start(self, *words: str, mortal: bool = False, limit: int = 0) -> Running:
        """Start `superalign WORDS`; a mortal superuser obeys permissions, a limit bounds each file's bytes."""
        if self.server is None:
            pipe = subprocess.PIPE
            self.server = subprocess.Popen([sys.executable, "-P", __file__], stdin=pipe, stdout=pipe, text=True)
        streams = self.scratch / "stdout", self.scratch / "stderr"
        order = {"words": words, "streams": [str(p) for p in streams], "mortal": mortal, "limit": limit}
        order["folder"] = os.getcwd()
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return Running(pid=int(self.server.stdout.readline()), server=self.server, streams=streams)

    def __call__(self, *words: str, mortal: bool = False, limit: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `superalign WORDS` to its end."""
        return self.start(*words, mortal=mortal, limit=limit).wait()

    def close(self) -> None:
        """End the process that forks."""
        if self.server is not None:
            self.server.stdin.close()
            self.server.wait(timeout=60)
            self.server.stdout.close()


def serve() -> None:
    """Fork a child for each line of standard input; print its number, and how it ended."""
    for name in ("cli", "runs.running", "studies.critic_transfer.measure", "studies.loop.measure"):
        importlib.import_module(f"superalign.{name}")
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(child(order))
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


def child(order: dict[str, object]) -> int:
    """Run one command in this process; return its exit code."""
    from superalign.cli import main

    for handle, path in enumerate(order["streams"], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order["folder"])
    if order["limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
    if order["mortal"]:
        obey_permissions()
    sys.argv = ["superalign", *order["words"]]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    return code


def obey_permissions() -> None:
    """Drop the superuser's rights to read and write what permissions forbid (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    assert libc.capget(header, sets) == 0
    for i in range(3):
        sets[i] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


if __name__ == "__main__":
    serve()
