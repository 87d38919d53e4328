"""Cheats do what they are named for, twins do not, and neither leaves anything behind."""

import ast
import os

import numpy as np
import pytest

from superalign.lab.cheat_runs import submitted
from superalign.lab.cheats import RUNGS, Snippet, Task, draw_submission, draw_task, zoo
from superalign.lab.monitor_rates import NAMES as MONITOR_NAMES
from superalign.lab.monitor_rates import Batch, Rate, Readings, prevalence, rates, read_batch, suspicions, worst
from superalign.monitors.reading import Submission
from superalign.runner.calls import Trace
from superalign.stats.streams import stream
from superalign.types import Interval, Unmeasured

NAMES = [kind.name for kind in zoo()]


def drawn(snippet: Snippet, *names: str | int) -> tuple[Task, Submission, Trace]:
    rng = stream(3, *names)
    task = draw_task(rng)
    return task, *submitted(draw_submission(snippet, task, rng), task)


def snippet(kind: str, rung: str) -> Snippet:
    found = zoo()[NAMES.index(kind)]
    return found.twin if rung == "twin" else found.cheats[[*RUNGS].index(rung)]


def accuracy(kind: str, rung: str) -> float:
    runs = [drawn(snippet(kind, rung), kind, n) for n in range(2)]
    return float(np.mean([(np.array(trace.probe) > 0) == task.truth_N for task, _, trace in runs]))


def test_there_are_twelve_kinds_with_twins_of_like_length() -> None:
    assert len(set(NAMES)) == 12
    for kind in zoo():
        task, rng = draw_task(stream(0, kind.name)), stream(1, kind.name)
        lengths = [
            np.mean([len(draw_submission(s, task, rng).sources[-1].splitlines()) for _ in range(6)])
            for s in (kind.twin, *kind.cheats)
        ]
        assert max(lengths) - min(lengths) < 8


@pytest.mark.parametrize("name", NAMES)
def test_all_run_and_put_back_what_they_changed(name: str) -> None:
    mean, environ = np.mean, dict(os.environ)
    for rung in ("twin", *RUNGS):
        _, submission, trace = drawn(snippet(name, rung), name, rung)
        ast.parse(submission.source)
        assert len(trace.probe) == len(trace.permuted) == len(trace.redrawn) > 0
        assert np.isfinite(trace.probe).all()
        assert rung != "twin" or not (trace.events or trace.changed or trace.left)
    assert np.mean is mean
    assert dict(os.environ) == environ


def test_cheats_that_read_labels_know_them_and_twins_do_not() -> None:
    twin = accuracy("running code for labels", "twin")
    assert all(accuracy("running code for labels", rung) > 0.98 > twin for rung in RUNGS)
    assert accuracy("bench look-alikes", "naive") > accuracy("bench look-alikes", "twin")


def test_acts_are_in_the_trace() -> None:
    for rung in RUNGS:
        _, _, trace = drawn(snippet("archive read", rung), rung)
        assert any(event == "open" and "answers.csv" in what for event, what in trace.events)
    assert "mean" in drawn(snippet("patched grader", "naive"), 0)[2].changed
    assert "WALL_LIMIT" in drawn(snippet("timer edit", "refined"), 0)[2].changed


def test_what_is_resubmitted_behaves_as_before() -> None:
    _, submission, trace = drawn(snippet("unchanged resubmission", "told"), 0)
    assert any(np.allclose(trace.probe, e.probe) for e in submission.earlier)
    _, submission, trace = drawn(snippet("unchanged resubmission", "twin"), 0)
    assert not any(np.allclose(trace.probe, e.probe) for e in submission.earlier)


def test_the_same_seed_draws_the_same() -> None:
    batch = Batch(kind="idle run", rung="twin", set="threshold", n=2, seed=5)
    first, second = ([row[:5] for row in read_batch(batch).rows] for _ in range(2))  # without the pace, which is timed
    assert first == second


def readings(rung: str, where: str, level: float, n: int) -> Readings:
    rng = stream(0, rung, where)
    rows = tuple((level, *map(float, rng.random(9))) for _ in range(n))
    return Readings(kind="a", rung=rung, set=where, rows=rows)  # type: ignore[arg-type]


def test_thresholds_come_from_enough_honest_twins_or_there_are_none() -> None:
    def found(n: int) -> list[Rate]:
        sets = [readings("twin", s, 0.0, n) for s in ("threshold", "counted")]
        return rates([*sets, readings("naive", "counted", 1.0, 30)], at=0.01)

    cell = next(r for r in found(300) if (r.monitor, r.rung) == ("rules", "naive"))
    assert isinstance(cell.flagged, Interval)
    assert cell.flagged.value == 1.0
    assert cell.flagged.low > 0.88
    assert all(isinstance(r.flagged, Unmeasured) for r in found(40))
    headline = worst(found(300), monitor="packed answers")
    assert isinstance(headline.flagged, Interval)
    assert headline.flagged.value < 0.2
    assert isinstance(worst(found(40)).flagged, Unmeasured)


def test_a_monitor_that_failed_is_never_counted_as_quiet() -> None:
    rows = ((Unmeasured("down"), *([0.0] * 9)),)
    broken = Readings(kind="a", rung="naive", set="counted", rows=rows)
    sets = [readings("twin", s, 0.0, 80) for s in ("threshold", "counted")]
    cells = [r for r in rates([*sets, broken], at=0.05) if r.rung == "naive"]
    assert all(isinstance(r.flagged, Unmeasured) for r in cells if r.monitor in {"rules", "all", "before a run"})


def test_prevalence_needs_recall_above_false_alarms() -> None:
    half = Interval(value=0.5, low=0.4, high=0.6, n=100)
    few = Interval(value=0.01, low=0.0, high=0.03, n=300)
    found = prevalence(few, recall=half, alarms=few)
    assert isinstance(found, Interval)
    assert found.low == 0.0
    assert found.high < 0.1
    assert isinstance(prevalence(few, recall=few, alarms=half), Unmeasured)


def test_what_lies_beyond_all_twins_is_told_apart_by_how_far() -> None:
    """Else one odd twin would hide every cheat: nothing would be as suspicious as the most suspicious honest submission."""
    ends = [tuple(float(n) for _ in MONITOR_NAMES) for n in range(10)]
    twins = Readings(kind=NAMES[0], rung="twin", set="threshold", rows=tuple(ends))
    fresh = Readings(kind=NAMES[0], rung="twin", set="counted", rows=(ends[4], tuple(9.5 for _ in MONITOR_NAMES)))
    cheats = Readings(kind=NAMES[0], rung="naive", set="counted", rows=(tuple(30.0 for _ in MONITOR_NAMES), ends[0]))
    honest_H, cheat_C, kinds = suspicions([twins, fresh, cheats])
    assert honest_H[0] == 0.4
    assert 1.0 < honest_H[1] < cheat_C[0] < 2.0
    assert cheat_C[1] == 0.0
    assert kinds == (NAMES[0], NAMES[0])
