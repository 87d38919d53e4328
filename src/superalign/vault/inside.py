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
    given = json.loads((folder / "jobs.json").read_text())
    jobs = [(arrays(folder / public), arrays(folder / inputs), seed) for public, inputs, seed in given["jobs"]]
    body = (folder / "artefact").read_bytes()
    for (
        file
    ) in folder.iterdir():  # it is called as it would be in use: with arrays, and without a list of what comes next
        file.unlink()
    solve = weights(body) if given["form"] == "weights" else code(body)
    for number, (public, inputs, seed) in enumerate(jobs):
        scores = solve(public, inputs, seed)
        (folder / f"scores-{number}").write_bytes(np.ascontiguousarray(scores, dtype="<f8").tobytes())
    after = functions()
    (folder / "changed").write_text("\n".join(name for name in before if after.get(name) != before[name]))


def code(body: bytes) -> Callable[[Arrays, Arrays, int], np.ndarray]:
    """Return the `solve` that a source defines."""
    found: dict[str, Any] = {"__name__": "artefact"}
    exec(compile(body, "artefact", "exec"), found)
    return found["solve"]


def weights(body: bytes) -> Callable[[Arrays, Arrays, int], np.ndarray]:
    """Return a linear score of the features `x` by the weights of a safetensors file."""
    from safetensors.numpy import load

    kept = load(body)
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
