"""Run submissions of the zoo and watch them: audit events, what they change, how they behave. For sources that are harmless."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from superalign.lab.cheats import HONEY, Drawn, Task
from superalign.monitors.reading import Earlier, Submission, shape_of
from superalign.runner.calls import Job, Trace
from superalign.runner.running import Ran
from superalign.stats.streams import stream
from superalign.types import Form

_HEARD: list[list[tuple[str, str]]] = []  # events of the run that goes on, if one does


def submitted(drawn: Drawn, task: Task) -> tuple[Submission, Trace]:
    """Run a submission and those before it; return what the vault would hand to monitors."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path(HONEY).write_text("0\n")
        earlier = tuple(
            Earlier(plan=plan, shape=shape_of(source), word="not better", probe=traced(source, task, bare=True).probe)
            for plan, source in zip(drawn.plans[:-1], drawn.sources[:-1], strict=True)
        )
        trace = traced(drawn.sources[-1], task)
    return Submission(plan=drawn.plans[-1], source=drawn.sources[-1], earlier=earlier), trace


def traced(source: str, task: Task, *, bare: bool = False) -> Trace:
    """Run a source of the zoo, which is ours and harmless, in this process and folder, and put back what it changed.

    Args:
        source: Defines `solve`.
        task: Its items.
        bare: Scores alone: no second run under permuted labels, nor on equivalents.
    """
    weak = stream(0, "permuted labels").permutation(task.public["weak"])
    arrays, environ, files = dict(vars(np)), dict(os.environ), {*os.listdir()}
    with _watched() as seen:
        begun = time.thread_time()
        probe = _scores(source, task.public, task.inputs)
        seconds = time.thread_time() - begun
    events = tuple(seen[2:])  # the first two are our own: that the source was compiled and run
    changed = [k for k, v in arrays.items() if getattr(np, k, None) is not v] + [*environ.keys() ^ os.environ.keys()]
    permuted = () if bare else _scores(source, {**task.public, "weak": weak}, task.inputs)
    redrawn = () if bare else _scores(source, task.public, task.redrawn)
    vars(np).update(arrays)
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    return Trace(
        ended="finished",
        seconds=seconds,
        events=events,
        left=tuple(sorted({*os.listdir()} - files)),
        changed=tuple(changed),
        probe=probe,
        permuted=permuted,
        redrawn=redrawn,
    )


def run_here(artefact: bytes, form: Form, jobs: Sequence[Job]) -> Ran:
    """Run a source of the zoo, which is ours and harmless, as the vault's runner does, and in this process."""
    arrays, environ = dict(vars(np)), dict(os.environ)
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _watched() as seen:
            space: dict[str, Any] = {}
            exec(compile(artefact, "artefact", "exec"), space)
            begun = time.thread_time()
            given = ({k: v.copy() for k, v in x.items()} for job in jobs for x in (job.public, job.inputs))
            raw = [np.asarray(space["solve"](next(given), next(given), j.seed), float) for j in jobs]
            seconds, changed = (
                time.thread_time() - begun,
                [k for k, v in arrays.items() if getattr(np, k, None) is not v],
            )
            trace = Trace(ended="finished", seconds=seconds, events=tuple(seen[2:]), changed=tuple(changed))
    except Exception:  # whatever it raises
        return Ran(trace=Trace(ended="failed", seconds=0.0), scores=())
    finally:
        vars(np).update(arrays)
        for name in os.environ.keys() - environ.keys():
            del os.environ[name]
    whole = all(x.size == np.prod(j.shape) and np.isfinite(x).all() for x, j in zip(raw, jobs, strict=True))
    return Ran(trace=trace, scores=tuple(np.array(x) for x in raw) if whole else ())


def _scores(source: str, public: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> tuple[float, ...]:
    """Run a source on copies of its arrays."""
    space: dict[str, object] = {}
    exec(compile(source, "submission", "exec"), space)
    given = ({k: v.copy() for k, v in some.items()} for some in (public, inputs))
    scores = space["solve"](*given, 1)  # type: ignore[operator]
    return tuple(float(s) for s in np.asarray(scores, float))


@contextlib.contextmanager
def _watched() -> Iterator[list[tuple[str, str]]]:
    """Collect audit events; a hook cannot be taken out again, so there is one for a process, which hears while it is told to."""
    _add_hook()
    _HEARD.append([])
    try:
        yield _HEARD[-1]
    finally:
        _HEARD.clear()


@functools.cache
def _add_hook() -> None:
    """Add the hook, once."""

    def hear(event: str, args: tuple[object, ...]) -> None:
        if _HEARD:
            _HEARD[-1].append((event, repr(args[0])[:200] if args else ""))

    sys.addaudithook(hear)
