"""What the vault owns of a question: inputs, hidden truth, and whether it is an impossible twin. A folder of arrays, no code.

Shape suffixes: N items of one tier, S scores of an item where a method gives several.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from superalign.errors import DataError
from superalign.runner.calls import Arrays
from superalign.types import Choice, Question, Tier, canonical_json, rebuild

TIERS: tuple[Tier, ...] = ("climb", "confirm", "sealed")
SECRET = "secret.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The items of one tier."""

    inputs: Arrays  # what a method is given; first axis N in every array
    truth_NS: Shaped[np.ndarray, "N ..."]  # what it is scored by


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A question with its answers."""

    question: Question
    # What a researcher may read: training inputs with imperfect labels, a development set with true ones.
    public: Arrays
    parts: Mapping[Tier, Part]  # climb and confirm alike in distribution, sealed from a family that `public` lacks
    twin: bool  # no honest method can beat the baseline
    floor: float  # the weak reference's score on the sealed tier, where a share of a gap is told; else nan
    ceiling: float


def write_bench(bench: Bench, folder: Path) -> Path:
    """Write a bench as arrays without pickles; return the folder that holds it."""
    into = folder / bench.question.name
    into.mkdir(parents=True, exist_ok=False)
    (into / "question.json").write_text(canonical_json(bench.question))
    (into / SECRET).write_text(json.dumps({"twin": bench.twin, "floor": bench.floor, "ceiling": bench.ceiling}))
    kept: dict[str, Arrays] = {"public": bench.public}
    for tier, part in bench.parts.items():
        kept |= {tier: part.inputs, f"{tier}.truth": {"truth": part.truth_NS}}
    for name, arrays in kept.items():
        np.savez(into / f"{name}.npz", allow_pickle=False, **arrays)
    return into


def read_bench(folder: Path) -> Bench:
    """Read what `write_bench` wrote.

    Raises:
        DataError: If something is missing or would have to be unpickled.
    """
    nouns = {noun.__name__: noun for noun in (Question, Choice)}
    try:
        return Bench(
            question=rebuild(json.loads((folder / "question.json").read_text()), nouns),
            public=_load(folder / "public.npz"),
            parts={tier: _part(folder, tier) for tier in TIERS},
            **json.loads((folder / SECRET).read_text()),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} holds no question of a vault ({error}). Nothing can be scored without inputs and answers. "
            "Write one with `vault.write_bench`."
        ) from error


def _part(folder: Path, tier: Tier) -> Part:
    return Part(inputs=_load(folder / f"{tier}.npz"), truth_NS=_load(folder / f"{tier}.truth.npz")["truth"])


def _load(file: Path) -> Arrays:
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
