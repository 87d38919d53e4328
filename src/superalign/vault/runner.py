"""Artefacts run in a process of their own user, which has inputs and no answers: it hands out a sandbox and takes back numbers.

Vault and runner speak over a pair of sockets, in frames: a header in JSON, then the artefact and arrays. Nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from jaxtyping import Float

from superalign.control.monitoring import Trace
from superalign.control.sandbox import Limits, confined
from superalign.types import Form
from superalign.vault.benches import Arrays

MOST_CODE, MOST_WEIGHTS = 64_000, 16_000_000  # bytes of an artefact
LIMITS = Limits(wall_s=60, cpu_s=60, memory_mb=1024, disk_mb=64)
SCRIPT = Path(__file__).with_name("inside.py")
GIVEN = ("artefact", "jobs.json", "changed.json")


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
    scores: tuple[Float[np.ndarray, "..."], ...]  # one for each job; none at all where one of them failed


def run(to: Connection, artefact: bytes, form: Form, jobs: Sequence[Job]) -> Ran:
    """Have an artefact run by the runner at the other end; scores that are not finite, or too few, are none.

    Raises:
        EOFError: If the runner is gone.
    """
    to.send_bytes(json.dumps({"form": form, "jobs": [job.seed for job in jobs]}).encode())
    to.send_bytes(artefact)
    for job in jobs:
        to.send_bytes(_packed(job.public))
        to.send_bytes(_packed(job.inputs))
    said = json.loads(to.recv_bytes())
    raw = [to.recv_bytes() for _ in jobs]
    trace = Trace(
        ended=str(said["ended"]),
        seconds=float(said["seconds"]),
        events=tuple((str(name), str(what)) for name, what in said["events"]),
        left=tuple(map(str, said["left"])),
        changed=tuple(map(str, said["changed"])),
    )
    whole = [len(data) == 8 * int(np.prod(job.shape)) for data, job in zip(raw, jobs, strict=True)]
    if trace.ended != "finished" or not all(whole):
        return Ran(trace=trace, scores=())
    scores = tuple(np.frombuffer(data, "<f8").reshape(job.shape) for data, job in zip(raw, jobs, strict=True))
    return Ran(trace=trace, scores=scores if all(np.isfinite(s).all() for s in scores) else ())


def serve(asked: Connection, scratch: Path, limits: Limits = LIMITS) -> None:
    """Run artefacts until the vault is gone. Each has a folder of its own, which is destroyed after it."""
    for left in scratch.iterdir():  # of a runner that was killed
        shutil.rmtree(left, ignore_errors=True)
    while True:
        try:
            head = json.loads(asked.recv_bytes())
            artefact = asked.recv_bytes()
            given = [(asked.recv_bytes(), asked.recv_bytes()) for _ in head["jobs"]]
        except (EOFError, OSError):
            return
        folder = Path(tempfile.mkdtemp(dir=scratch))
        try:
            said, scores = _run_in(folder, artefact, head, given, limits)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        asked.send_bytes(json.dumps(said).encode())
        for data in scores:
            asked.send_bytes(data)


def _run_in(
    folder: Path, artefact: bytes, head: dict[str, object], given: Sequence[tuple[bytes, bytes]], limits: Limits
) -> tuple[dict[str, object], list[bytes]]:
    """Run one artefact in a folder; return what is said of it, and the bytes of its scores."""
    seeds = head["jobs"]
    assert isinstance(seeds, list)
    (folder / "artefact").write_bytes(artefact)
    jobs = [(f"public-{i}.npz", f"inputs-{i}.npz", seed) for i, seed in enumerate(seeds)]
    (folder / "jobs.json").write_text(json.dumps({"form": head["form"], "jobs": jobs}))
    for (public, inputs, _), arrays in zip(jobs, given, strict=True):
        (folder / public).write_bytes(arrays[0])
        (folder / inputs).write_bytes(arrays[1])
    done = confined(
        (sys.executable, str(SCRIPT), str(folder)), folder=folder, limits=limits, read=(SCRIPT,), trace=True
    )
    scores = [_read(folder / f"scores-{i}") for i in range(len(jobs))]
    ours = {*GIVEN, *(name for job in jobs for name in job[:2]), *(f"scores-{i}" for i in range(len(jobs)))}
    try:
        changed = [str(name) for name in json.loads(_read(folder / "changed.json") or b"[]")][:100]
    except (ValueError, TypeError):
        changed = ["changed.json"]
    said = {
        "ended": done.ended,
        "seconds": done.wall_s,
        "events": [(event.name, event.what) for event in done.events],
        "left": [name for name in done.files if name not in ours][:100],
        "changed": changed,
    }
    return said, scores


def _read(file: Path) -> bytes:
    """Read a file that an artefact may have made: no link, no pipe, not more than may be there."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as opened:
            return opened.read(1 << 24)
    except OSError:
        return b""


def _packed(arrays: Arrays) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def main(handle: int, scratch: Path) -> None:
    """Replace this process by a runner, so that it has nothing in its memory of who started it."""
    source = Path(__file__).parents[2]
    text = (
        f"import sys; sys.path.insert(0, {str(source)!r}); from pathlib import Path; "
        "from multiprocessing.connection import Connection; from superalign.vault.runner import serve; "
        f"serve(Connection({handle}), Path({str(scratch)!r}))"
    )
    os.set_inheritable(handle, True)
    os.execv(sys.executable, [sys.executable, "-B", "-c", text])
