"""Which heads, MLPs and edges carry a behaviour, by which method is it found, and what does gradient attribution miss?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, Seeds, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What is searched for circuits, and how."""

    seeds: Seeds = 6
    """Layouts of each program that is compiled to weights, so that its circuit is known; and draws of random rankings."""
    leak: Annotated[float, Ge(0.0)] = 0.06
    """How strongly the read-out of the noisy variant sees heads and MLPs that are no part of the circuit; 0 leaves it out."""
    inputs: Annotated[int, Ge(8)] = 24
    """Pairs of inputs for each compiled model."""
    bases: Annotated[tuple[str, ...], MinLen(2)] = ("middle", "middle-1", "middle-2")
    """Bundled bases, all of one shape, whose circuit for a step of a chain is looked for."""
    policy: str = ""
    """A real model to look at instead of all these: smollm2, a folder, a hub id; needs pairs."""
    pairs: str = ""
    """A JSONL file of clean_prefix, patch_prefix, clean_answer and patch_answer, for that model."""
    train: Annotated[int, Ge(4)] = 24
    """Pairs that a ranking is made on; of a file at most half of its units."""
    test: Annotated[int, Ge(4)] = 40
    """Other pairs that circuits are tested on."""
    steps: Count = 6
    """Points on the way from clean to corrupt that integrated gradients average over."""
    recheck: Count = 16
    """Components or edges that a gradient calls zero, patched exactly."""
    size: Annotated[float, Gt(0), Le(0.5)] = 0.5
    """Share of the components in the circuit that is claimed about: small bases need most of theirs, larger models fewer."""


def check(config: Config) -> None:
    """Refuse a model without pairs, and pairs without a model."""
    if bool(config.policy) != bool(config.pairs):
        raise ConfigError(
            f"policy={config.policy!r} and pairs={config.pairs!r} do not go together. A model of your own is read on pairs of "
            "texts, and bundled bases on chains. Give both, or neither."
        )


STUDY = Study(
    question="Which heads, MLPs and edges carry a behaviour, and which does gradient attribution miss?",
    config=Config,
    quick={"seeds": 2, "leak": 0.0, "inputs": 8, "bases": ("middle", "middle-1"), "train": 8, "test": 12, "steps": 2},
    check=check,
)
