"""Attempts to get out of the sandbox, really made before every campaign: all have to fail, and without the wall to succeed.

An attempt that also fails without the wall shows nothing, and does not count: this machine may have no such device.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from superalign.control.sandbox import MB, Limits, confined, read_left
from superalign.errors import BadInput
from superalign.types import Record

ATTACKER = Path(__file__).with_name("attacker.py")
# Memory: two dozen forks of a Python count two dozen times what they share.
LIMITS = Limits(wall_s=30, cpu_s=20, memory_mb=640, processes=24, disk_mb=16, output_kb=64)
# What is aimed at, a name, and an expression over what an attacker knows. At a wall it raises or is empty; it harms nothing.
INSIDE = """
answers | list the vault's folder | os.listdir(vault)
answers | read the vault's files | read(file)
answers | a second name of the vault's file | os.symlink(file, 'left') or os.link(file, 'linked') or read('linked')
answers | through the vault's root | os.listdir(f'/proc/{pid}/root{vault}')
answers | through the vault's working folder | os.listdir(f'/proc/{pid}/cwd/')
answers | what the vault has open | [read(f'/proc/{pid}/fd/{n}') for n in os.listdir(f'/proc/{pid}/fd') if int(n) > 2]
answers | take over a descriptor | call('syscall', 438, os.pidfd_open(pid), 0, 0) >= 0
answers | descriptors left open | [n for n in range(3, 99) if n != into and os.path.exists(f'/proc/self/fd/{n}')]
memory | the vault's memory | memory(pid)
memory | the vault's environment | read(f'/proc/{pid}/environ')
memory | the vault's arguments | read(f'/proc/{pid}/cmdline')
memory | the vault's map | read(f'/proc/{pid}/maps')
memory | anybody's arguments | strangers()
memory | ptrace | call('ptrace', 0x4206, pid, 0, 0) == 0
memory | process_vm_readv | call('process_vm_readv', pid, SPAN, 1, SPAN, 1, 0) != 0
memory | the machine's memory | open('/dev/mem', 'rb')
memory | the kernel's memory | open('/proc/kcore', 'rb')
memory | the kernel's messages | os.read(os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK), 9999)
memory | the kernel's keys | call('syscall', KEYCTL, 0, -3, 1)
memory | shared memory by name | read(shared)
memory | shared memory by key | call('shmget', key, 0, 0) >= 0
memory | memory without a limit | os.memfd_create('x')
memory | secrets in the environment | [v for v in os.environ.values() if MARK in v]
host | passwords | read('/etc/shadow')
host | another's temporary file | read(temporary)
host | folders of the host | [p for p in '/etc /var /home /opt /run /srv /boot /mnt /sys'.split() if os.path.exists(p)]
host | write beside the interpreter | os.access(sys.prefix, os.W_OK)
host | write into this package | os.access(os.path.dirname(sys.argv[0]), os.W_OK)
host | write to the system's libraries | os.access('/usr/lib', os.W_OK)
host | write to the root | os.access('/', os.W_OK)
host | write to /dev/shm | os.access('/dev/shm', os.W_OK)
host | the kernel's settings | open('/proc/sys/kernel/core_pattern', 'a')
host | a device of one's own | os.mknod('disk', 0o60600, os.stat('/usr').st_dev) or True
host | mount | call('mount', b'none', b'/usr/lib', b'tmpfs', 0, None) == 0
host | mount anew | call('mount', b'/usr', b'/usr', None, 0x1000, None) or call('mount', None, b'/usr', None, 0x1020, None) == 0
host | chroot | os.chroot('.') or True
host | the caller's terminal | open('/dev/tty', 'w').isatty()
host | the host's name | socket.sethostname(socket.gethostname()) or True
host | the vault's namespaces | call('setns', os.open(f'/proc/{pid}/ns/ipc', os.O_RDONLY), 0) == 0
host | the clock | wall and (time.clock_settime(time.CLOCK_REALTIME, time.time()) or True)
rights | a namespace of users | call('unshare', 0x10000000) == 0
rights | the same by clone | call('syscall', CLONE, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0) >= 0
rights | become root | os.setuid(0) or os.getuid() == 0
rights | become the vault | os.setresuid(uid, uid, uid) or os.getuid() == uid
rights | join groups | os.setgroups([0]) or True
rights | su | subprocess.run(('su', '-c', 'true'), stdin=-3, stdout=-3, stderr=-3).returncode == 0
rights | signal the vault | os.kill(pid, 0) or True
rights | open the vault's folder | os.chmod(vault, 0o700) or True
rights | a core dump | resource.setrlimit(resource.RLIMIT_CORE, (9, 9)) or True
rights | more processes | resource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999)) or True
rights | go before others | os.nice(-1) or True
network | TCP to the host | socket.create_connection(tcp, 1)
network | TCP to the host, IPv6 | socket.create_connection(tcp6, 1)
network | UDP to the host | [(s := socket.socket(type=2)).connect(tuple(udp)), s.send(b'?'), time.sleep(.05), s.send(b'?')]
network | a way out | [name for _, name in socket.if_nameindex() if name != 'lo']
network | UDP to another machine | socket.socket(type=2).connect(('192.0.2.1', 9)) is None
network | who knows names | read('/etc/resolv.conf')
network | a proxy | [name for name in os.environ if 'proxy' in name.lower()]
network | raw packets | socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
network | raw frames | socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
network | the machine that runs this one | socket.socket(40, socket.SOCK_STREAM)
network | a socket of others | socket.socket(socket.AF_UNIX).connect(unix) is None
network | a socket without a file | socket.socket(socket.AF_UNIX).connect(abstract) is None
limits | processes | [os.fork() or time.sleep(9) for _ in range(25)]
limits | memory | len(bytearray(704 << 20))
limits | a full /tmp | [open(f'{scratch}/{n}', 'wb').write(bytes(1 << 20)) for n in range(17)]
"""
# What only a sandbox of its own can try: a name, what is allowed there, and code that ends well only if it took more.
ALONE = """
processor time | cpu_s=0.2 | signal.signal(24, signal.SIG_IGN); [*iter(lambda: time.process_time() > .7, True)]
time | wall_s=0.6 | signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); time.sleep(1.2)
shared memory | memory_mb=128 | m = mmap.mmap(-1, 1 << 28); [m.write(bytes(1 << 25)) for _ in range(8)]; time.sleep(.3)
output | output_kb=64 | print('x' * (1 << 20), flush=True); time.sleep(.3)
a large file | disk_mb=16 | open('large', 'wb').write(bytes(17 << 20))
disk | disk_mb=16 | [open(f'f{n}', 'wb').write(bytes(1 << 20)) for n in range(40)]; time.sleep(.3)
"""
IMPORTS = "import mmap, signal, subprocess, sys, time\n"
OUTLIVE = IMPORTS + "subprocess.Popen(sys.argv[1:], start_new_session=True, stdin=-3, stdout=-3, stderr=-3)"
FOLLOWED, OUTLIVES, THROUGH = "follow a link that it left", "outlive the sandbox", ("a canary", "through", "finished")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Record):
    """One attempt to get out; without the wall, whether it would get through."""

    name: str
    aim: str
    escaped: bool
    wall: bool
    said: str  # "a canary", "through", or how it ended


def rows_of(table: str) -> list[list[str]]:
    """Read a table of three columns, a row on each line."""
    return [[part.strip() for part in line.split("|", 2)] for line in table.strip().splitlines()]


def self_test(vault: Path, vault_pid: int, folder: Path, user: str, *, wall: bool = True) -> tuple[Attempt, ...]:
    """Try to get at a vault from a sandbox below this folder, as this user; this process is root.

    With `wall` off, root tries the same in no sandbox: what does not get through then is no evidence of a wall.
    """
    table = rows_of(INSIDE)
    with tempfile.TemporaryDirectory(dir=folder) as own, _bait(vault, vault_pid, wall=wall) as known:
        run = functools.partial(_run, folder=Path(own), user=user, wall=wall)
        ended, out = run(str(ATTACKER), json.dumps({"known": known, "attempts": [code for *_, code in table]}))
        if ended != "finished":
            raise BadInput(f"The attempts to escape: {ended}. No wall is known to hold. Mend it, and try again.")
        taken = b""
        with contextlib.suppress(BadInput):  # the link that an attempt left, read by whoever takes its results
            taken = read_left(Path(own), "left", at_most=MB) if wall else (Path(own) / "left").read_bytes()
        rows = [(*row[:2], said) for row, said in zip(table, json.loads(out), strict=True)]
        rows.append(("answers", FOLLOWED, "through" if taken else ""))
        for name, limit, code in rows_of(ALONE):
            tight = replace(LIMITS, **{field: json.loads(most) for field, most in [limit.split("=")]})
            rows.append(("limits", name, run("-c", IMPORTS + code, limits=tight)[0]))
        run("-c", OUTLIVE, sys.executable, "-c", "import time; time.sleep(9)", token := secrets.token_hex(16))
        left = [one for one in psutil.process_iter(["cmdline"]) if token in (one.info["cmdline"] or ())]
        rows.append(("limits", OUTLIVES, "through" if left else ""))
        for one in left:
            one.kill()
    return tuple(
        Attempt(name=name, aim=aim, escaped=said.startswith(THROUGH), wall=wall, said=said) for aim, name, said in rows
    )


def _run(*args: str, folder: Path, user: str, wall: bool, limits: Limits = LIMITS) -> tuple[str, str]:
    """Run Python in the sandbox, or without a wall; return how it ended and what it wrote."""
    command = (sys.executable, *args)
    for path in folder.iterdir():
        path.unlink()
    if wall:
        found = confined(command, folder=folder, limits=limits, user=user)
        return found.ended, found.out
    free = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, close_fds=False)
    return "failed" if free.returncode else "finished", free.stdout.decode()


@contextlib.contextmanager
def _bait(vault: Path, pid: int, *, wall: bool) -> Iterator[dict[str, Any]]:
    """Lay out what the host has and a sandbox must not reach; yield what an attacker is told of it."""
    libc, token, key = ctypes.CDLL(None), f"canary-{secrets.token_hex(8)}", secrets.randbelow(1 << 30) + 1
    file = next((path for path in sorted(vault.rglob("*")) if path.is_file()), vault)
    known: dict[str, Any] = {"wall": wall, "pid": pid, "uid": vault.stat().st_uid, "vault": str(vault), "key": key}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as kept:
        os.chmod(folder, 0o755)
        known |= {"file": str(file), "scratch": "/tmp" if wall else folder}
        for name, place in (("temporary", folder), ("shared", "/dev/shm")):
            bait = kept.enter_context(tempfile.NamedTemporaryFile(dir=place, buffering=0))
            bait.write(token.encode())
            os.chmod(bait.name, 0o644)
            os.set_inheritable(bait.fileno(), True)
            known[name] = bait.name
        here, stream = {"udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))}, socket.SOCK_STREAM
        here |= {"tcp": (socket.AF_INET, stream, ("127.0.0.1", 0)), "tcp6": (socket.AF_INET6, stream, ("::1", 0))}
        named = {"unix": (socket.AF_UNIX, stream, f"{folder}/s"), "abstract": (socket.AF_UNIX, stream, f"\0{token}")}
        for name, (family, kind, at) in (here | named).items():
            with contextlib.suppress(OSError):  # there may be no IPv6
                one = kept.enter_context(socket.socket(family, kind))
                one.bind(at)
                known[name] = at if name in named else one.getsockname()[:2]
                one.listen() if kind == stream else None
        os.chmod(known["unix"], 0o777)
        kept.callback(libc.shmctl, libc.shmget(key, 4096, 0o1666), 0, None)
        for name in ("SUPERALIGN_BAIT", "SUPERALIGN_PROXY"):
            os.environ[name] = token
            kept.callback(os.environ.pop, name)
        yield known
