"""Run every benchmark, one after the other: medians and ratios from one run, with the machine's name.

Usage: python -m benchmarks [--no-whole]    (--no-whole leaves out the whole `make run`, which takes minutes)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COMMAND = str(Path(sys.executable).parent / "superalign")
WHY_BELOW_THE_ROOF = """\
Why the share of the roof is small (the sampler's own lines above say where its time goes): a step is about a hundred
short operations, and Python and dispatch cost each of them microseconds, whatever the batch; attention has one query a
row and reads all its keys and values at every token, more than a core's cache holds at batch 256; norms, rotations and
copies are no products. The share grows with width and batch."""


def machine() -> str:
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    return f"{name}, {os.cpu_count()} cores, {load}, {platform.system()}, Python {platform.python_version()}"


def run(script: str) -> dict[str, Any]:
    """Run one script, show what it prints, and return its last line, which is JSON."""
    print(f"\n== {script}", flush=True)
    found: dict[str, Any] = {}
    with subprocess.Popen([sys.executable, str(HERE / script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('{"'):
                found = json.loads(line)
            else:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"{script} ended with exit code {process.returncode}.")
    return found


def helped() -> list[float]:
    out = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
        out.append(time.perf_counter() - began)
    return sorted(out)


def whole() -> str:
    """The main study as `make run` starts it, once."""
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        subprocess.run([COMMAND, "run", "--out", str(Path(scratch) / "run")], check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - began
        told = json.loads((Path(scratch) / "run" / "result.json").read_text())
    return f"{wall / 60:.1f} min (wanted: at most 8), {told['peak_rss_mb'] / 1e3:.1f} GB (at most 3), one run"


def summary(found: dict[str, dict[str, Any]], help_s: list[float]) -> list[str]:
    """One line for each speed that was promised."""
    lines = []
    wanted = {"equal, batch 1": 3.0, "equal, batch 256": 1.5, "mixed, stops, log-probs": 2.5}
    for row in found["sampler.py"]["rows"]:
        kind = row["case"].partition(":")[0]  # of mixed rollouts there are two cases
        bar = f" (wanted: {wanted[kind]})" if kind in wanted else ""
        roof = f"; {100 * row['share_of_roof']:.0f} % of the roof" if "share_of_roof" in row else ""
        lines.append(
            f"sampler {row['model']}, {row['case']}: {row['ratio_cpu']:.2f} x generate in CPU time, "
            f"{row['ratio']:.2f} x in wall time{bar}{roof}"
        )
    for row in found["policy_gradient.py"]["rows"]:
        lines.append(
            f"policy gradient, {row['model']}: {row['ratio_cpu']:.2f} x TRL in CPU time "
            f"({row['ratio_cpu_of_blocks'][0]} to {row['ratio_cpu_of_blocks'][-1]} in blocks), "
            f"{row['ratio_wall']:.2f} x in wall time (wanted: 2.5)"
        )
    for row in found["taps.py"]["rows"]:
        name = f"taps {row['shape']}, {row['case']}"
        if "missing" in row:
            lines.append(f"{name}: {row['missing']}")
            continue
        bar = " (wanted: at most 1.05)" if row["case"].startswith("superalign") else ""
        lines.append(f"{name}: {row['ratio']:.3f} x plain{bar}; plain to plain {row['plain_to_plain']:.3f}")
    ledger = found["ledger_append.py"]
    lines.append(
        f"ledger: {ledger['in_groups_of_20_ms_records_per_s']:,} records/s in groups of 20 ms (wanted: 1,000), "
        f"{ledger['one_by_one_records_per_s']:,} one by one"
    )
    over = found["executors.py"]
    lines.append(
        f"an item by Ray: {over['ratio']:.1f} x processes ({over['ray_ms_per_item']:.2f} and "
        f"{over['processes_ms_per_item']:.2f} ms, {over['workers']} workers, {over['items']} trivial items)"
        if "ratio" in over
        else f"an item by Ray: {over['missing']}"
    )
    real = found["real_model.py"]
    lines.append(f"a real model: skipped, {real['skipped']}" if "skipped" in real else real_model(real))
    tuned = found["lora.py"]
    lines.append(
        f"a LoRA update: skipped, {tuned['skipped']}"
        if "skipped" in tuned
        else f"a LoRA update against TRL's: {tuned['lora_ratio']:.2f} x the tokens a CPU second "
        f"({tuned['lora_ratios'][0]:.2f} to {tuned['lora_ratios'][-1]:.2f}), "
        f"peaks of {tuned['ours']['peak_gb']:.1f} and {tuned['trl']['peak_gb']:.1f} GB"
    )
    grid = found["weak_students.py"]
    lines.append(
        f"{grid['students']} students of weak supervisors (3 sizes x 6 losses x 5 seeds): {grid['all_s'] / 60:.1f} min on two "
        f"workers (wanted: 15), {grid['all_cpu_s'] / 60:.1f} CPU min"
    )
    units = found["explaining.py"]["speed"]
    lines.append(f"units explained and scored: {units['per_s']:.0f} a second on two processes (wanted: 500)")
    page = found["explorer.py"]
    lines.append(
        f"the explorer: skipped, {page['skipped']}"
        if "skipped" in page
        else f"the explorer at {page['units']:,} units: "
        + ", ".join(f"{row['case']} {row['ms']:.0f} ms" for row in page["rows"])
        + " (wanted: first paint 1,000, search and sort 100)"
    )
    lines.append(
        f"superalign --help: {statistics.median(help_s):.2f} s, median of {len(help_s)} "
        f"({help_s[0]:.2f} to {help_s[-1]:.2f}; wanted: 0.5)"
    )
    return lines


def real_model(found: dict[str, Any]) -> str:
    wanted = {"sampling, batch 1": 1.3, "sampling, batch 16": 1.5, "sampling, batch 64": 1.5}
    told = [
        f"{row['case']} {row['ratio_cpu']:.2f} x"
        + (f" (wanted: {wanted[row['case']]})" if row["case"] in wanted else "")
        for row in found["rows"]
    ]
    products = found["half"]["speedup_of_products"]
    return f"a real model in CPU time: {'; '.join(told)}; products in 16 bits are {products:.2f} x as fast"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whole", action=argparse.BooleanOptionalAction, default=True, help="also time `make run`")
    given = parser.parse_args()
    name = machine()
    print(name, flush=True)
    scripts = (
        "ledger_append.py",
        "executors.py",
        "sampler.py",
        "taps.py",
        "policy_gradient.py",
        "real_model.py",
        "lora.py",
        "weak_students.py",
        "explorer.py",
        "explaining.py",
    )
    found = {script: run(script) for script in scripts}
    help_s = helped()
    print(f"\n== Summary, {name}; one thread, medians of at least 5", flush=True)
    print("\n".join(summary(found, help_s)), flush=True)
    print(WHY_BELOW_THE_ROOF, flush=True)
    print(f"whole `make run`: {whole() if given.whole else 'left out'}", flush=True)


if __name__ == "__main__":
    main()
