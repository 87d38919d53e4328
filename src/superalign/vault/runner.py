"""Artefacts run in a process of their own user, which has inputs and no answers: it hands out a sandbox and takes back numbers.

Vault and runner speak over a pair of sockets, in frames: a header in JSON, then the artefact and arrays. Nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from superalign.control.monitoring import Trace
from superalign.control.sandbox import Limits, confined, read_left
from superalign.errors import BadInput
from superalign.types import canonical_json, rebuild
from superalign.types.research import Form
from superalign.vault.benches import Arrays

MOST_CODE, MOST_WEIGHTS = 64_000, 1_000_000  # bytes of an artefact
LIMITS = Limits(wall_s=60, cpu_s=60, memory_mb=1024, disk_mb=64)
SCRIPT = Path(__file__).with_name("inside.py")
MOST_SCORES = 1 << 24
# What Python does to import what an artefact may use is no act of the artefact's.
IMPORTS = b"import numpy, scipy.linalg, scipy.optimize, scipy.special, scipy.stats, safetensors.numpy\nsolve = None\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call of an artefact."""

    public: Arrays
    inputs: Arrays
    seed: int
    shape: tuple[int, ...]  # of the scores that must come back


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What an artefact did on its jobs."""

    trace: Trace
    scores: tuple[np.ndarray, ...]  # one for each job; none at all where one of them failed


def run(to: Connection, artefact: bytes, form: Form, jobs: Sequence[Job], *, watched: bool = False) -> Ran:
    """Have an artefact run by the runner at the other end; scores that are not finite, or too few, are none.

    Args:
        to: The runner.
        artefact: What to run.
        form: How it is to be run.
        jobs: Calls, one after the other in one process.
        watched: Say what it did beside computing.

    Raises:
        EOFError: If the runner is gone.
    """
    to.send_bytes(json.dumps({"form": form, "jobs": [job.seed for job in jobs], "watched": watched}).encode())
    to.send_bytes(artefact)
    for job in jobs:
        to.send_bytes(_packed(job.public))
        to.send_bytes(_packed(job.inputs))
    trace = rebuild(json.loads(to.recv_bytes()), {"Trace": Trace})
    raw = [to.recv_bytes() for _ in jobs]
    whole = [len(data) == 8 * int(np.prod(job.shape)) for data, job in zip(raw, jobs, strict=True)]
    if trace.ended != "finished" or not all(whole):
        return Ran(trace=trace, scores=())
    scores = tuple(np.frombuffer(data, "<f8").reshape(job.shape) for data, job in zip(raw, jobs, strict=True))
    return Ran(trace=trace, scores=scores if all(np.isfinite(s).all() for s in scores) else ())


def serve(asked: Connection, scratch: Path, limits: Limits = LIMITS) -> None:
    """Run artefacts until the vault is gone. Each has a folder of its own, which is destroyed after it."""
    for left in scratch.iterdir():  # of a runner that was killed
        shutil.rmtree(left, ignore_errors=True)
    usual: set[tuple[str, str]] | None = None
    while True:
        try:
            head = json.loads(asked.recv_bytes())
            artefact = asked.recv_bytes()
            given = [(asked.recv_bytes(), asked.recv_bytes()) for _ in head["jobs"]]
        except (EOFError, OSError):
            return
        if usual is None and head["watched"]:
            usual = set(_run_in(scratch, IMPORTS, {"form": "code", "jobs": []}, (), limits)[0].events)
        trace, scores = _run_in(scratch, artefact, head, given, limits)
        asked.send_bytes(
            canonical_json(
                replace(trace, events=_less(trace.events, usual or set()) if head["watched"] else ())
            ).encode()
        )
        for data in scores:
            asked.send_bytes(data)


def _run_in(
    scratch: Path, artefact: bytes, head: Mapping[str, Any], given: Sequence[tuple[bytes, bytes]], limits: Limits
) -> tuple[Trace, list[bytes]]:
    """Run one artefact in a folder of its own; return what was seen of it, and the bytes of its scores."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        jobs = [(f"public-{i}.npz", f"inputs-{i}.npz", seed) for i, seed in enumerate(head["jobs"])]
        (folder / "artefact").write_bytes(artefact)
        (folder / "jobs.json").write_text(json.dumps({"form": head["form"], "jobs": jobs}))
        for (public, inputs, _), arrays in zip(jobs, given, strict=True):
            (folder / public).write_bytes(arrays[0])
            (folder / inputs).write_bytes(arrays[1])
        command = (sys.executable, str(SCRIPT), str(folder))
        done = confined(command, folder=folder, limits=limits, read=(SCRIPT,), trace=True)
        scores = [_left(folder, f"scores-{i}", MOST_SCORES) for i in range(len(jobs))]
        changed = _left(folder, "changed", MOST_CODE).decode(errors="replace").split()
        trace = Trace(
            ended=done.ended,
            seconds=done.wall_s,
            events=tuple((e.name, e.what.replace(str(folder), "")) for e in done.events),
            left=tuple(name for name in done.files if name != "changed" and not name.startswith("scores-"))[:100],
            changed=tuple(changed[:100]),
        )
        return trace, scores
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _less(events: tuple[tuple[str, str], ...], usual: set[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Leave out what every run does: imports, and reading and writing our own files in its folder."""
    own = re.compile(r"^'?/(artefact|jobs\.json|changed|(public|inputs)-\d+\.npz|scores-\d+)'?$")
    return tuple(e for e in events if e not in usual and not own.search(e[1]))


def _left(folder: Path, name: str, most: int) -> bytes:
    """Read what an artefact left; nothing, where it left nothing that may be read."""
    try:
        return read_left(folder, name, at_most=most)
    except BadInput:
        return b""


def _packed(arrays: Arrays) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def main(handle: int, scratch: Path, limits: Limits = LIMITS) -> None:
    """Replace this process by a runner, so that it has nothing in its memory of who started it."""
    text = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); from superalign.vault import runner; "
        f"runner.begin({handle}, {str(scratch)!r}, {canonical_json(limits)!r})"
    )
    os.set_inheritable(handle, True)
    os.execv(sys.executable, [sys.executable, "-B", "-c", text])


def begin(handle: int, scratch: str, limits: str) -> None:
    """Serve as a process that knows its words alone."""
    serve(Connection(handle), Path(scratch), rebuild(json.loads(limits), {"Limits": Limits}))
