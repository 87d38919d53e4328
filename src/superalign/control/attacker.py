"""The script that makes the attempts: what is tried and what is known come in as JSON, what got through goes out."""

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

MARK = "canary"
SPAN = (4096).to_bytes(8, "little") + (8).to_bytes(8, "little")
USED = (resource, subprocess)  # by attempts
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
    return b"no canary"


def strangers() -> list[int]:
    """List processes that are neither this one nor one that started it."""
    own, pid = set(), os.getpid()
    while pid:
        own.add(pid)
        pid = int(read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1])
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in own]


def udp(address: str, port: int, times: int = 2) -> bool:
    """Send to a socket; that nobody listens there is told at the second time, and that there is no way before the first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect((address, port))
        for _ in range(times):
            one.send(b"?")
            time.sleep(0.05)
    return True


def unix(address: str) -> bool:
    """Connect to a Unix socket."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(address)
    return True


def forks(most: int) -> bool:
    """Start so many processes at a time, and end them."""
    children: list[int] = []
    try:
        while len(children) < most:
            if (pid := os.fork()) == 0:
                time.sleep(5)
                os._exit(0)
            children.append(pid)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
    return True


def fill(folder: str, mb: int) -> bool:
    """Write so much into a folder, in files of a MB."""
    for number in range(mb):
        with open(os.path.join(folder, f"full{number}"), "wb") as file:
            file.write(bytes(1 << 20))
    return True


def tried(code: str, known: dict[str, Any]) -> tuple[str, float]:
    """Try in a process of its own; return what came of it, in a word that tells no secret, and the seconds."""
    started = time.monotonic()
    out, into = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(out)
        signal.alarm(5)
        with contextlib.suppress(BaseException):
            if not known["wall"]:  # mounts and names of the host stay as they are; there is a terminal to reach
                os.login_tty(os.openpty()[1])
                call("unshare", 0x04020000)
                call("mount", b"none", b"/", None, 0x84000, None)
            got = eval(code, globals() | known | {"into": into})
            os.write(into, b"a canary" if got and MARK in str(got) else b"through" if got else b"")
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(pid, 0)
    return said, time.monotonic() - started


if __name__ == "__main__":
    given = json.load(sys.stdin)
    print(json.dumps([tried(code, given["known"]) for code in given["attempts"]]))
