"""The map of a run keeps records as they were, over processes too, and streams are each their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from superalign.kit.evidence import Array
from superalign.kit.run import Run
from superalign.ledger import Ledger
from superalign.stats.streams import stream
from superalign.types import Interval, Record, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingJob(Record):
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    values_NP: Array
    flags_P: Array
    counts: dict[str, tuple[int | None, ...]]
    found: Interval | Unmeasured


def draw(job: DrawingJob) -> Drawn:
    return Drawn(
        values_NP=stream(job.seed, "values").normal(size=(2, 3)),
        flags_P=np.array([True, False]),
        counts={"a": (1, None)},
        found=Unmeasured("one seed") if job.seed else Interval(value=0.1, low=0.0, high=1 / 3, n=3),
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_records_of_arrays_come_back_as_they_were(workers: int, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        run = Run(seed=0, workers=workers, folder=tmp_path, ledger=ledger, log=lambda line: None)
        made = run.map(draw, [DrawingJob(seed=s) for s in (0, 1)], name="drawn")
        again = run.map(draw, [DrawingJob(seed=s) for s in (0, 1)], name="drawn")
    for found in (made, again):
        for seed, one in enumerate(found):
            fresh = draw(DrawingJob(seed=seed))
            assert np.array_equal(one.values_NP, fresh.values_NP)
            assert one.flags_P.dtype == bool
            assert (one.counts, one.found) == (fresh.counts, fresh.found)
    assert len(list((tmp_path / "work" / "drawn").iterdir())) == 2


def test_a_stream_depends_on_its_seed_and_its_name_alone() -> None:
    assert np.array_equal(stream(1, "a", 2).random(3), stream(1, "a", 2).random(3))
    others = [stream(1, "a", 3), stream(2, "a", 2), stream(1, "b", 2), stream(1, "a")]
    assert all(float(other.random()) != float(stream(1, "a", 2).random()) for other in others)
