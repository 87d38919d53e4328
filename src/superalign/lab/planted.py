"""Planted subjects by name, made as a job."""

from __future__ import annotations

from superalign.lab.worlds import world_of
from superalign.models import Model, Sampling, open_weights, with_sampling
from superalign.organisms import PlantingConfig
from superalign.organisms.triples import Spec, Triple, make_triple


def planted_triple(
    spec: Spec, *, folder: str, proof: int, planting: PlantingConfig | None = None, said: str = "", max_tokens: int = 96
) -> Triple:
    """Make one planted triple as a job."""
    origin = greedy(spec.base, max_tokens=max_tokens)
    return make_triple(spec, origin=origin, world=world_of(said), folder=folder, proof=proof, planting=planting)


def greedy(base: str, *, max_tokens: int = 96) -> Model:
    """Load a base by size, folder or hub id, to answer greedily."""
    return with_sampling(open_weights(base), Sampling(temperature=0.0, max_tokens=max_tokens))
