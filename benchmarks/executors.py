"""What handing out an item costs: processes of this machine beside a Ray that is started here, two workers, trivial items.

Items go through `run` as a study's do, without a memo. Blocks of both alternate. The start (workers that import the package)
is timed apart: of processes at each map, of Ray once a run.

Usage: python benchmarks/executors.py [--items 200] [--repeats 7]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings

from superalign.jobs import Executor, Processes
from superalign.jobs.cluster import Ray

WORKERS = 2


def same(i: int, item: int) -> int:
    return item


def timed(executor: Executor, items: list[int]) -> tuple[float, float]:
    """Seconds until both workers have given a value back, and milliseconds an item after that."""
    began = time.perf_counter()
    at = []
    for i, value in executor.each(same, items, range(len(items)), workers=WORKERS):
        assert value == items[i]
        at.append(time.perf_counter() - began)
    first = len(items) // 10  # by then the second worker works too
    return at[0], 1e3 * (at[-1] - at[first]) / (len(at) - 1 - first)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    executors: dict[str, Executor] = {"processes": Processes(), "ray": Ray()}
    try:
        timed(executors["ray"], [0, 1])
    except ModuleNotFoundError as error:
        print(json.dumps({"benchmark": "executors", "missing": f"missing peer: {error}"}))
        return
    ray_start_s = time.perf_counter() - began
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in executors}
    for _ in range(given.repeats):
        for name, executor in executors.items():
            found[name].append(timed(executor, list(range(given.items))))
    row: dict[str, float] = {"ray_start_s": ray_start_s}
    for name, pairs in found.items():
        firsts, costs = zip(*pairs, strict=True)
        row |= {f"{name}_first_s": statistics.median(firsts), f"{name}_ms_per_item": statistics.median(costs)}
        print(
            f"{name}: {statistics.median(costs):.2f} ms an item ({min(costs):.2f} to {max(costs):.2f}), "
            f"first value after {statistics.median(firsts):.2f} s",
            flush=True,
        )
    row["ratio"] = statistics.median(b / a for (_, a), (_, b) in zip(*found.values(), strict=True))
    print(f"Ray once a run: {ray_start_s:.1f} s")
    print(
        json.dumps({"benchmark": "executors", "items": given.items, "workers": WORKERS, "cores": os.cpu_count(), **row})
    )


if __name__ == "__main__":
    main()
