"""Make the attempts of `attempts.py`: what is tried and what is known come in as JSON, what got through goes out."""

import contextlib
import ctypes
import json
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import psutil

MARK = "canary"
SPAN = (4096).to_bytes(8, "little") + (8).to_bytes(8, "little")
USED = (resource, socket, subprocess, time)  # by attempts
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE, KEYCTL = (56, 250) if platform.machine() == "x86_64" else (220, 219)


def call(name: str, *args: object) -> int:
    """Call a function of the C library; a bad address is found after the wall, so it counts as through."""
    found = int(getattr(LIBC, name)(*(ctypes.c_long(a) if isinstance(a, int) else a for a in args)))
    if found < 0 and ctypes.get_errno() != 14:
        raise OSError(ctypes.get_errno(), name)
    return found


def read(path: str) -> bytes:
    """Read the beginning of a file."""
    with open(path, "rb", buffering=0) as file:
        return file.read(1 << 16)


def memory(pid: int) -> bytes:
    """Read a process's memory, up to its first canary."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for first, last in (line.split()[0].split("-") for line in maps if " rw" in line):
            mem.seek(int(first, 16))
            with contextlib.suppress(OSError):
                if MARK.encode() in (data := mem.read(min(int(last, 16) - int(first, 16), 1 << 26))):
                    return data[data.index(MARK.encode()) :][:60]
    return b"memory"


def strangers() -> list[list[str]]:
    """List the arguments of processes that neither are this one nor started it."""
    own = psutil.Process()
    others = (one for one in psutil.process_iter(["cmdline"]) if one not in (own, *own.parents()))
    return [one.info["cmdline"] for one in others if one.info["cmdline"]]


def tried(code: str, known: dict[str, Any]) -> str:
    """Try in a process of its own; return what came of it, in a word that tells no secret."""
    out, into = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(out)
        signal.alarm(5)
        with contextlib.suppress(BaseException):
            if known["wall"]:
                os.setpgid(0, 0)
            else:  # mounts and names of the host stay as they are; there is a terminal to reach
                os.login_tty(os.openpty()[1])
                call("unshare", 0x04020000)
                call("mount", b"none", b"/", None, 0x84000, None)
            got = eval(code, globals() | known | {"into": into})
            os.write(into, b"a canary" if got and MARK in str(got) else b"through" if got else b"")
        os._exit(0)
    os.close(into)
    os.waitpid(pid, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what it started
    with os.fdopen(out, "rb") as answer:
        return answer.read().decode()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps([tried(code, given["known"]) for code in given["attempts"]]))
