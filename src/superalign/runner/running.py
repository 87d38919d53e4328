"""Artefacts run in a process of their own user, which has inputs and no answers: it hands out a sandbox and takes back numbers.

Vault and runner speak over a pair of sockets: a header in JSON, the artefact and its arrays go out, a trace and scores come back.
Nothing is unpickled, and the runner does not even read the arrays.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeAlias

import numpy as np

from superalign.control.identities import RUNNER, start_as, user
from superalign.control.sandbox import Limits, confined, read_left
from superalign.errors import BadInput
from superalign.runner.calls import Job, Trace
from superalign.types import Form, canonical_json, rebuild

MOST: Mapping[Form, int] = {"code": 64_000, "weights": 1_000_000}  # bytes of an artefact
LIMITS = Limits(
    wall_s=60, cpu_s=60, memory_mb=1024, disk_mb=64
)  # time is for one call on all items; more calls have more
SCRIPT = Path(__file__).with_name("inside.py")
MOST_SCORES = 1 << 26  # bytes
# What Python does to import what an artefact may use is no act of the artefact's.
IMPORTS = b"import numpy, scipy.linalg, scipy.optimize, scipy.special, scipy.stats, safetensors.numpy\nsolve = None\n"
OWN = re.compile(r"^'?/(artefact|head\.json|given\.npz|changed|scores)'?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What an artefact did on its jobs."""

    trace: Trace
    scores: tuple[np.ndarray, ...]  # one for each job; none at all where one of them failed


Run: TypeAlias = Callable[[bytes, Form, Sequence[Job]], Ran]  # as `run` at a runner


def run(to: Connection, artefact: bytes, form: Form, jobs: Sequence[Job]) -> Ran:
    """Have an artefact run by the runner at the other end; scores that are not finite, or too few, are none.

    Args:
        to: The runner.
        artefact: What to run.
        form: How it is to be run.
        jobs: Calls, one after the other in one process.

    Raises:
        EOFError: If the runner is gone.
    """
    given = io.BytesIO()
    parts = {f"{i}/{name}": getattr(job, name) for i, job in enumerate(jobs) for name in ("public", "inputs")}
    np.savez(given, allow_pickle=False, **{f"{at}/{name}": x for at, some in parts.items() for name, x in some.items()})
    sizes = [int(np.prod(job.shape)) for job in jobs]
    head = {"form": form, "seeds": [j.seed for j in jobs], "times": sum(sizes) / max(sizes)}
    for data in (canonical_json(head).encode(), artefact, given.getvalue()):
        to.send_bytes(data)
    trace, raw = rebuild(json.loads(to.recv_bytes()), {"Trace": Trace}), to.recv_bytes()
    if trace.ended != "finished" or len(raw) != 8 * sum(sizes):
        return Ran(trace=trace, scores=())
    all_ = np.frombuffer(raw, "<f8")
    split = np.split(all_, np.cumsum(sizes)[:-1])
    shaped = tuple(x.reshape(job.shape) for x, job in zip(split, jobs, strict=True))
    return Ran(trace=trace, scores=shaped if np.isfinite(all_).all() else ())


def start(scratch: Path, limits: Limits = LIMITS) -> tuple[socket.socket, BaseProcess]:
    """Start a runner as its own user; return this end of the sockets between, and the process."""
    ours, its = socket.socketpair()
    with its:  # where this side kept that end too, it would wait for a runner that is gone
        return ours, start_as(user(RUNNER), main, its.fileno(), scratch, limits, reach=(scratch,))


def serve(asked: Connection, scratch: Path, limits: Limits = LIMITS) -> None:
    """Run artefacts until the vault is gone. Each has a folder of its own, which is destroyed after it."""
    for left in scratch.iterdir():  # of a runner that was killed
        shutil.rmtree(left, ignore_errors=True)
    usual: set[tuple[str, str]] = set()
    while True:
        try:
            head, artefact, given = (asked.recv_bytes() for _ in range(3))
        except (EOFError, OSError):
            return
        try:
            nothing = (b'{"form": "code", "seeds": [], "times": 1}', IMPORTS, given)
            usual = usual or set(_run_in(scratch, *nothing, limits)[0].events)
            trace, scores = _run_in(scratch, head, artefact, given, limits)
        except Exception as error:  # no sandbox could be started: nothing was measured, and the next one may be
            traceback.print_exception(error)
            trace, scores = Trace(ended="not started", seconds=0.0), b""
        # Left out is what every run does: imports, and reading and writing our own files in its folder.
        seen = tuple(e for e in trace.events if e not in usual and not OWN.search(e[1]))
        asked.send_bytes(canonical_json(replace(trace, events=seen)).encode())
        asked.send_bytes(scores)


def _run_in(scratch: Path, head: bytes, artefact: bytes, given: bytes, limits: Limits) -> tuple[Trace, bytes]:
    """Run one artefact in a folder of its own; return what was seen of it, and the bytes of its scores."""
    folder, times = Path(tempfile.mkdtemp(dir=scratch)), json.loads(head)["times"]
    limits = replace(limits, wall_s=limits.wall_s * times, cpu_s=limits.cpu_s * times)
    try:
        for name, data in (("head.json", head), ("artefact", artefact), ("given.npz", given)):
            (folder / name).write_bytes(data)
        command = (sys.executable, str(SCRIPT), str(folder))
        done = confined(command, folder=folder, limits=limits, read=(SCRIPT,), trace=True)
        changed = _left(folder, "changed", MOST["code"]).decode(errors="replace").split()
        trace = Trace(
            ended=done.ended,
            seconds=done.wall_s,
            events=tuple((e.name, e.what.replace(str(folder), "")) for e in done.events),
            left=tuple(name for name in done.files if name not in ("changed", "scores"))[:100],
            changed=tuple(changed[:100]),
        )
        return trace, _left(folder, "scores", MOST_SCORES)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _left(folder: Path, name: str, most: int) -> bytes:
    """Read what an artefact left; nothing, where it left nothing that may be read."""
    try:
        return read_left(folder, name, at_most=most)
    except BadInput:
        return b""


def main(handle: int, scratch: Path, limits: Limits = LIMITS) -> None:
    """Replace this process by a runner, so that it has nothing in its memory of who started it."""
    text = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); from superalign.runner import running; "
        f"running.begin({handle}, {str(scratch)!r}, {canonical_json(limits)!r})"
    )
    os.set_inheritable(handle, True)
    os.execv(sys.executable, [sys.executable, "-B", "-c", text])


def begin(handle: int, scratch: str, limits: str) -> None:
    """Serve as a process that knows its words alone."""
    serve(Connection(handle), Path(scratch), rebuild(json.loads(limits), {"Limits": Limits}))
