"""Durable appends to the ledger: records per second and syncs, medians of 5, one process.

Usage: python benchmarks/ledger_append.py [--folder DIR]    (DIR must be on the disk that is to be measured)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from superalign.ledger import Ledger, verify
from superalign.types import Claim, Unmeasured

REPEATS = 5


def claims(n: int) -> list[Claim]:
    null = Unmeasured("no null control in a benchmark")
    return [
        Claim(
            name=f"claim-{i}",
            value=i / n,
            low=0.0,
            high=1.0,
            n=i,
            unit="fraction",
            null=null,
            holds=True,
            why="because",
        )
        for i in range(n)
    ]


def one_by_one(ledger: Ledger, records: list[Claim]) -> None:
    for record in records:
        ledger.append(record)


def in_batches_of_100(ledger: Ledger, records: list[Claim]) -> None:
    for first in range(0, len(records), 100):
        ledger.append(records[first : first + 100])


def in_groups_of_20_ms(ledger: Ledger, records: list[Claim]) -> None:
    """What a server would do: acknowledge all that came in during 20 ms at once."""
    waiting = iter(records)
    more = True
    while more:
        end = time.perf_counter() + 0.02
        with ledger.group():
            while time.perf_counter() < end and more:
                record = next(waiting, None)
                more = record is not None
                if record is not None:
                    ledger.append(record)


def in_one_group(ledger: Ledger, records: list[Claim]) -> None:
    with ledger.group():
        for record in records:
            ledger.append(record)


def measured(append: Callable[[Ledger, list[Claim]], None], records: list[Claim], folder: Path) -> tuple[float, int]:
    with tempfile.TemporaryDirectory(dir=folder) as target, Ledger(target) as ledger:
        before, start = ledger.fsyncs, time.perf_counter()
        append(ledger, records)
        return len(records) / (time.perf_counter() - start), ledger.fsyncs - before


def bare_sync_s(folder: Path) -> float:
    """The roof: one 512-byte write and its sync, without a ledger."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"x" * 512)
        times = []
        for _ in range(100):
            start = time.perf_counter()
            os.pwrite(file.fileno(), b"y" * 512, 0)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    folder = parser.parse_args().folder
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}")
    sync_s = bare_sync_s(folder)
    print(f"one write and sync without a ledger: {sync_s * 1e3:.2f} ms")
    rows = {"sync_ms": round(sync_s * 1e3, 3), "load": load}
    for append, n in ((one_by_one, 500), (in_batches_of_100, 5000), (in_groups_of_20_ms, 5000), (in_one_group, 5000)):
        runs = [measured(append, claims(n), folder) for _ in range(REPEATS)]
        rate, syncs = statistics.median(r for r, _ in runs), statistics.median(s for _, s in runs)
        spread = f"{min(r for r, _ in runs):,.0f} to {max(r for r, _ in runs):,.0f}"
        print(
            f"{append.__name__:20} {rate:>9,.0f} records/s ({spread}; {n} records, {syncs:.0f} syncs, {REPEATS} runs)"
        )
        rows[f"{append.__name__}_records_per_s"] = round(rate)
        rows[f"{append.__name__}_syncs"] = syncs
    with tempfile.TemporaryDirectory(dir=folder) as target:
        with Ledger(target) as ledger:
            ledger.append(claims(20_000))
        start = time.perf_counter()
        with Ledger(target):
            reopen_s = time.perf_counter() - start
        start = time.perf_counter()
        assert verify(target).ok
        verify_s = time.perf_counter() - start
    print(f"20,000 records: reopened in {reopen_s:.2f} s, verified in {verify_s:.2f} s")
    print(json.dumps({**rows, "reopen_20k_s": round(reopen_s, 3), "verify_20k_s": round(verify_s, 3)}))


if __name__ == "__main__":
    main()
