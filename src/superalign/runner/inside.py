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
    head, body = json.loads((folder / "head.json").read_text()), (folder / "artefact").read_bytes()
    with np.load(folder / "given.npz", allow_pickle=False) as kept:
        given = {name: kept[name] for name in kept.files}
    for file in folder.iterdir():  # called as it would be in use: with arrays, and without a list of what comes next
        file.unlink()
    solve = weights(body) if head["form"] == "weights" else code(body)
    scores = [solve(of(given, f"{i}/public/"), of(given, f"{i}/inputs/"), s) for i, s in enumerate(head["seeds"])]
    (folder / "scores").write_bytes(b"".join(np.ascontiguousarray(some, dtype="<f8").tobytes() for some in scores))
    after = functions()
    (folder / "changed").write_text("\n".join(name for name in before if after.get(name) != before[name]))


def of(given: Arrays, front: str) -> Arrays:
    """Return a copy of the arrays of one call, by their own names."""
    return {name.removeprefix(front): x.copy() for name, x in given.items() if name.startswith(front)}


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


def functions() -> dict[str, int]:
    """Return the identity of what numpy and the clock can do, by name."""
    return {f"{m.__name__}.{name}": id(value) for m in (np, np.random, time) for name, value in vars(m).items()}


if __name__ == "__main__":
    main()
