"""Keep what the quick run of every study claims at seed 0, and say where a new run claims something else.

    python tools/goldens.py                        # run all studies, compare with tests/golden; exit code 1 where they differ
    python tools/goldens.py --only debate,market   # some of them
    python tools/goldens.py --keep                 # write what was found: only with a line in docs/LOG.md that says why

Every study runs as a user runs it, in a process of its own. A run that was stopped is finished by the same command. Numbers
are equal if they are within --tolerance of one another (of their size, where that is above 1): the same code with other
instructions of a processor differs in the last digits, and training carries these into the first. So studies run here with AVX2,
with which the files were made, also where a processor has more; on one without it some will differ.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
FIELDS = ("name", "value", "low", "high", "n", "null", "holds")
TOLERANCE = 1e-6
AVX2 = {  # what each library reads that sums for us
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
NEEDS = {  # studies that read files which do not ship, and the option that says where these lie
    "belief": ("statements", "problems=statements:{}"),
    "critic-transfer": ("gsm8k", "problems=gsm8k:{}"),
    "text-protocols": ("statements", "problems=statements:{}"),
    "truth-probes": ("statements", "problems=statements:{}"),
}

SILENT = ("generalization",)  # shows claims of other runs, and makes none


def studies() -> list[str]:
    """Names of all studies, as the command lists them."""
    listed = subprocess.run([sys.executable, "-m", "superalign", "studies"], check=True, capture_output=True, text=True)
    return [line.split()[0] for line in listed.stdout.splitlines() if line and not line[0].isspace()]


def claims(name: str, out: Path, *, workers: int, settings: Sequence[str] = ()) -> tuple[list[dict[str, Any]], float]:
    """Run a study and return its claims, and the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "superalign", "run", name, "--quick", "--seed", "0", "--out", str(out)]
    command += ["--workers", str(workers), *(part for setting in settings for part in ("--set", setting))]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | AVX2)
    if ended.returncode:
        raise SystemExit(
            f"{name} ended with exit code {ended.returncode}:\n{ended.stdout[-1500:]}{ended.stderr[-1500:]}"
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads((out / "result.json").read_text())["claims"]
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [{field: claim[field] for field in FIELDS} for claim in found], spent


def differences(kept: Any, found: Any, *, tolerance: float, at: str = "") -> list[str]:
    """Where two JSON values differ, by place; numbers within the tolerance are equal.

    Example:
        >>> differences({"a": [1.0, None]}, {"a": [1.0 + 1e-9, 2]}, tolerance=1e-6)
        ['a[1]: None, now 2']
    """
    if isinstance(kept, dict) and isinstance(found, dict):
        names = [*kept, *(k for k in found if k not in kept)]
        return [
            d
            for k in names
            for d in differences(kept.get(k), found.get(k), tolerance=tolerance, at=f"{at}.{k}".lstrip("."))
        ]
    if isinstance(kept, list) and isinstance(found, list):
        if len(kept) != len(found):
            return [f"{at}: {len(kept)} entries, now {len(found)}"]
        return [
            d
            for i, (a, b) in enumerate(zip(kept, found, strict=True))
            for d in differences(a, b, tolerance=tolerance, at=f"{at}[{i}]")
        ]
    numbers = [x for x in (kept, found) if isinstance(x, int | float) and not isinstance(x, bool)]
    close = len(numbers) == 2 and math.isclose(*numbers, rel_tol=tolerance, abs_tol=tolerance)
    return [] if close or (type(kept) is type(found) and kept == found) else [f"{at}: {kept!r}, now {found!r}"]


def compared(kept: list[dict[str, Any]], found: list[dict[str, Any]], *, tolerance: float) -> list[str]:
    """What is new, missing or different among claims, each by its name."""
    old, new = ({c["name"]: c for c in some} for some in (kept, found))
    out = [f"missing: {n}" for n in old if n not in new] + [f"new: {n}" for n in new if n not in old]
    for name in old:
        if name in new:
            out += [f"{name}: {d}" for d in differences(old[name], new[name], tolerance=tolerance)]
    return out


def main() -> int:
    """Run, compare or keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names of studies, with commas between them")
    parser.add_argument(
        "--out", type=Path, help="folder of the runs; goes on there if they are begun (default: a new one)"
    )
    parser.add_argument("--keep", action="store_true", help="write the files instead of comparing with them")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    parser.add_argument("--gsm8k", type=Path, help="folder of GSM8K's files, for the study that reads them")
    parser.add_argument(
        "--statements", type=Path, help="folder of true and false statements, for the study that reads them"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    out = given.out or Path(tempfile.mkdtemp(prefix="goldens-"))
    wrong = 0
    for name in [n for n in given.only.split(",") if n] or [n for n in studies() if n not in SILENT]:
        option, setting = NEEDS.get(name, ("", ""))
        where = getattr(given, option, None)
        if option and where is None:
            print(f"{name:14s} not run: it reads files, say where with --{option}", flush=True)
            continue
        settings = [setting.format(where)] if option else []
        found, spent = claims(name, out / name, workers=given.workers, settings=settings)
        path = GOLDEN / f"{name}.json"
        if given.keep:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
        kept = json.loads(path.read_text()) if path.exists() else []
        said = compared(kept, found, tolerance=given.tolerance)
        wrong += bool(said)
        print(
            f"{name:14s} {len(found):3d} claims, {spent:6.1f} CPU s, {'as kept' if not said else 'DIFFERS'}", flush=True
        )
        for line in said:
            print(f"    {line}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
