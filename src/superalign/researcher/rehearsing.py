"""Try a method on the public development set before it is submitted: half of it is held out, and then the other half.

Code that a language model wrote runs in a process of its own, within limits. That is against accidents, not against an attacker:
the wall is around the researcher, and the vault has its own.
"""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from superalign.researcher.pieces import area
from superalign.types import Unmeasured

Arrays: TypeAlias = Mapping[str, np.ndarray]
Solve: TypeAlias = Callable[[Arrays, Arrays, int], np.ndarray]
SPLITS, ROWS = 2, 1500  # of the development set, each used both ways; training items at most
TRUE, DEV = "dev_true", "dev_"


def unpacked(data: bytes) -> Arrays:
    """Read the arrays of an npz file."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def rehearse(solve: Solve, public: Arrays, metric: str, *, seed: int = 0) -> float | Unmeasured:
    """Return a method's score on the development set, the labels of a half unknown to it whenever that half is scored."""
    n, items = len(public[TRUE]), len(public["weak"])
    public = {k: v[:ROWS] if len(v) == items and not k.startswith(DEV) else v for k, v in public.items()}
    scores = []
    for split in range(SPLITS):
        first_P = np.random.default_rng([seed, split]).permutation(n) < n // 2
        for held_P in (first_P, ~first_P):
            dev = {k: v for k, v in public.items() if k.startswith(DEV) and len(v) == n}
            known = {**public, **{k: v[~held_P] for k, v in dev.items()}}
            inputs = {k.removeprefix(DEV): v[held_P] for k, v in dev.items() if k != TRUE}
            inputs.setdefault("group", np.zeros(int(held_P.sum()), int))
            said = np.asarray(solve(known, inputs, seed), float)
            if said.shape != dev[TRUE][held_P].shape or not np.isfinite(said).all():
                return Unmeasured(f"scores of shape {said.shape}, or not finite")
            scores.append(scored(said.ravel(), dev[TRUE][held_P].ravel() > 0.5, metric))
    return float(np.mean(scores))


def scored(score_N: np.ndarray, true_N: np.ndarray, metric: str) -> float:
    """Score by the question's own metric, as far as single items allow: picks among steps count as their ranking."""
    if metric == "share":
        return float(((score_N > 0) == true_N).mean())
    if metric == "recall" and 0 < true_N.sum() < len(true_N):
        return float((score_N[true_N] > np.quantile(score_N[~true_N], 0.99)).mean())
    return area(score_N, true_N)


def solve_of(source: str) -> Solve:
    """Return the function `solve` of a source, run here: for sources of one's own, and the published baseline.

    Raises:
        Exception: Whatever the source raises.
    """
    names: dict[str, Any] = {"__name__": "artefact"}
    exec(compile(source, "artefact", "exec"), names)
    return names["solve"]


def rehearse_apart(source: str, public: Arrays, metric: str, *, limit_s: int = 60) -> float | Unmeasured:
    """Rehearse a source in a process of its own, and return its score, or why there is none: the last line of its error."""
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **public)
    child = "from superalign.researcher.rehearsing import child; child()"
    command, given = [sys.executable, "-c", child, metric, str(limit_s)], json.dumps(source).encode() + b"\n"
    try:
        done = subprocess.run(command, input=given + packed.getvalue(), capture_output=True, timeout=limit_s + 20)
        score = float(json.loads(done.stdout))
        return score if 0 <= score <= 1 else Unmeasured("it printed something that is no score")
    except subprocess.TimeoutExpired:
        return Unmeasured(f"it took longer than {limit_s} s")
    except (ValueError, TypeError):
        error = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return Unmeasured(error[-1][:200] if error else f"it ended with code {done.returncode} and no scores")


def child() -> None:
    """Rehearse a source on arrays, both from standard input, and print its score: the other end of `rehearse_apart`."""
    metric, limit_s = sys.argv[1:]
    source, _, packed = sys.stdin.buffer.read().partition(b"\n")
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s) + 1))
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    real, sys.stdout = sys.stdout, io.StringIO()  # what it prints is no score
    found = rehearse(solve_of(json.loads(source)), unpacked(packed), metric)
    if isinstance(found, Unmeasured):
        sys.exit(found.why)
    real.write(json.dumps(found))
