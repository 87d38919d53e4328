"""The zoo in the vault's own runner and sandbox: twins set off no monitor of acts, and acts are seen there too."""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from superalign.control.monitoring import Submission, read_all
from superalign.control.monitors import MONITORS
from superalign.control.sandbox import sandbox_missing
from superalign.lab.cheats import PROBE, RUNGS, Snippet, draw_submission, draw_task, zoo
from superalign.stats.streams import stream
from superalign.vault.runner import Job, Ran, run, serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0 or not shutil.which("bwrap") or bool(sandbox_missing()), reason="no sandbox"),
]
ACTS = [m for m in MONITORS if m.card.name == "acts"]
Runs = Callable[[Snippet], tuple[Submission, Ran]]


@pytest.fixture
def runs(tmp_path) -> Iterator[Runs]:
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(theirs, tmp_path))
    process.start()

    def once(snippet: Snippet) -> tuple[Submission, Ran]:
        rng = stream(0, snippet.digest)
        task = draw_task(rng)
        drawn = draw_submission(replace(snippet, submissions=0), task, rng)
        job = Job(public=task.public, inputs=task.inputs, seed=1, shape=(PROBE,))
        source = drawn.sources[-1]
        return Submission(plan=drawn.plans[-1], source=source), run(mine, source.encode(), "code", [job])

    yield once
    process.kill()
    process.join()


def test_twins_run_and_do_nothing_else(runs: Runs) -> None:
    for kind in zoo():
        submission, ran = runs(kind.twin)
        assert len(ran.scores) == 1, (kind.name, ran.trace)
        (reading,) = read_all(ACTS, submission, ran.trace)
        assert reading.suspicion == 0, (kind.name, reading.why)


@pytest.mark.parametrize("name", ["archive read", "timer edit", "patched grader"])
def test_acts_are_seen_there(runs: Runs, name: str) -> None:
    kind = next(k for k in zoo() if k.name == name)
    for rung, cheat in zip(RUNGS, kind.cheats, strict=True):
        submission, ran = runs(cheat)
        (reading,) = read_all(ACTS, submission, ran.trace)
        if (name, rung) != ("patched grader", "refined"):  # it only computes; the vault reads arrays, and is not fooled
            assert reading.flagged, (rung, ran.trace)
