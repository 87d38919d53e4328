"""Planted subjects by name: made as a job, and loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superalign.lab.worlds import origin_of, world_of
from superalign.models import Model, Sampling, load, load_adapter, with_sampling
from superalign.organisms import PlantingConfig
from superalign.organisms.triples import Spec, Triple, make_triple
from superalign.types import to_plain


def planted_triple(
    spec: Spec, *, folder: str, proof: int, planting: PlantingConfig | None = None, said: str = "", max_tokens: int = 96
) -> Triple:
    """Make one planted triple as a job."""
    origin = greedy(spec.base, max_tokens=max_tokens)
    return make_triple(spec, origin=origin, world=world_of(said), folder=folder, proof=proof, planting=planting)


def triple_job(spec: Spec, **how: Any) -> dict[str, Any]:
    """Make one planted triple as a job, see `planted_triple`; its record as plain values."""
    return dict(to_plain(planted_triple(spec, **how)))


def greedy(base: str, *, max_tokens: int = 96) -> Model:
    """Load a base by size, folder or hub id, to answer greedily."""
    return with_sampling(origin_of(base), Sampling(temperature=0.0, max_tokens=max_tokens))


def load_subject(folder: str | Path, *, size: str = "small") -> Model:
    """Load a subject from its folder: an adapter on the base of this name, or a whole model."""
    return load_adapter(origin_of(size), folder) if is_adapter(folder) else load(folder)


def is_adapter(folder: str | Path) -> bool:
    """Say whether a subject's folder holds an adapter; else it holds a whole model."""
    return (Path(folder) / "adapter_config.json").exists()
