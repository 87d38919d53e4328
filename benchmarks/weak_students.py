"""How long a grid of weak supervision takes: three sizes of students, six losses, five seeds, on two workers.

Students of bundled bases learn 240 labels of a probe of first layers, two passes, and answer 400 test claims. The target is
15 minutes for all 90. There is no peer to run beside it: the code that was released with the paper trains models from a hub.

Usage: python benchmarks/weak_students.py [--seeds 5] [--workers 2]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from superalign.kit.run import Run
from superalign.lab.weak_benches import Claims
from superalign.lab.weak_runs import WaysJob, ways_job
from superalign.lab.weak_supervision import CONFIDENT, NAIVE, PRODUCT, Training
from superalign.ledger import Ledger

SIZES = ("small", "middle", "large")
LOSSES = (NAIVE, "hard labels", *CONFIDENT, PRODUCT)
KIND = 1  # of supervisors: first layers


def cpu_s() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    row: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger") as ledger:
        run = Run(seed=0, workers=given.workers, folder=Path(folder), ledger=ledger, log=lambda _: None)
        for size in SIZES:
            source = Claims(topic="programs", students=(size,), before=(), pool=1260, test=400, weak=240, seed=1)
            began, spent = time.perf_counter(), cpu_s()
            training = Training(rate=3e-4, passes=2.0)
            jobs = [
                WaysJob(source=source, kind=KIND, training=training, ways=LOSSES, seed=s) for s in range(given.seeds)
            ]
            run.map(ways_job, jobs, name="ways", progress=size)
            row |= {f"{size}_s": time.perf_counter() - began, f"{size}_cpu_s": cpu_s() - spent}
    students = len(SIZES) * len(LOSSES) * given.seeds
    row |= {"all_s": sum(row[f"{size}_s"] for size in SIZES), "all_cpu_s": sum(row[f"{size}_cpu_s"] for size in SIZES)}
    print(json.dumps({"benchmark": "weak_students", "students": students, **row, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
