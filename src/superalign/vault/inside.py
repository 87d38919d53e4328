"""Runs an artefact in the sandbox: `inside.py FOLDER`. It needs numpy alone (and safetensors for weights), and nothing of ours.

The artefact shares this process: what is said here of functions that it changed is a trace, not a proof. No answer is near.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


def main() -> None:
    """Run the artefact on each job; write its scores as float64 and the names of functions that are not as before."""
    folder = Path(sys.argv[1])
    before = functions()
    jobs = json.loads((folder / "jobs.json").read_text())
    solve = weights(folder / "artefact") if jobs["form"] == "weights" else code(folder / "artefact")
    for number, (public, inputs, seed) in enumerate(jobs["jobs"]):
        scores = solve(arrays(folder / public), arrays(folder / inputs), seed)
        (folder / f"scores-{number}").write_bytes(np.ascontiguousarray(scores, dtype="<f8").tobytes())
    after = functions()
    (folder / "changed.json").write_text(json.dumps([name for name in before if after.get(name) != before[name]]))


def code(file: Path) -> Callable[[Arrays, Arrays, int], np.ndarray]:
    """Return the `solve` that a source defines."""
    found: dict[str, Any] = {"__name__": "artefact"}
    exec(compile(file.read_bytes(), "artefact", "exec"), found)
    return found["solve"]


def weights(file: Path) -> Callable[[Arrays, Arrays, int], np.ndarray]:
    """Return a linear score of the features `x` by the weights of a file."""
    from safetensors.numpy import load

    kept = load(file.read_bytes())
    return lambda public, inputs, seed: inputs["x"] @ kept["w"] + kept["b"]


def arrays(file: Path) -> Arrays:
    """Read arrays, without pickles."""
    with np.load(file, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


def functions() -> dict[str, int]:
    """Return the identity of what numpy and the clock can do, by name."""
    return {f"{m.__name__}.{name}": id(value) for m in (np, np.random, time) for name, value in vars(m).items()}


if __name__ == "__main__":
    main()
