"""What was measured: error rates of methods against known circuits, and circuits of real models with what they leave out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from superalign.kit.evidence import Array, Curve, Estimate
from superalign.types import Record

METHODS = ("exact", "AtP", "IG")  # the exact one, and gradients
VARIANTS = ("soft", "soft, noisy", "hard")
PARTS = ("components", "edges")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients(Record):
    """What gradients say of one real model on its training pairs, and what exact patching says of edges."""

    atp_CB: Array
    ig_CB: Array
    change_B: Array  # m(clean) - m(corrupt)
    top_atp_EB: Array  # edges with the largest effects by AtP
    top_exact_EB: Array
    edges: int
    zero: int  # edges that AtP calls zero
    checked: int  # of these, patched exactly
    missed: int  # of these, how many matter
    joint: float  # effect of all of them at once, as a share of what corruption changes


class Found(NamedTuple):
    """One method on compiled models of one variant."""

    variant: str
    method: str
    part: str
    area: Estimate  # over compiled models
    null: Estimate  # of a random ranking
    by_program: tuple[Estimate, ...]
    declared: Estimate  # share of models in which the gradient is declared blind
    undeclared: Estimate  # share with an area below .95 that is not declared


class Circuit(NamedTuple):
    """One ranking of a real model's components, on held-out pairs."""

    method: str
    fill: str  # what stands in for what is left out
    faithful: Curve  # share of components -> share of the behaviour
    without: Curve  # the same of all others
    at_size: Estimate
    rest: Estimate  # of all others, at that size
    above_random: Estimate
    agreement: Estimate  # rank correlation with exact effects on training pairs
    zero: int  # components called zero, in all models
    missed: int  # of these, with an exact effect that matters


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All of it."""

    programs: tuple[str, ...]
    compiled: tuple[Found, ...]
    right: tuple[tuple[str, Estimate], ...]  # variant -> share of answers that compiled models get right
    models: tuple[str, ...]
    components: int
    size: int  # of the circuit that is claimed about
    seeds: int
    train: int
    test: int
    top: tuple[str, ...]  # the largest components of each model
    circuits: tuple[Circuit, ...]
    random: Curve
    random_null: Estimate  # between which values 95 % of random rankings lie, less their mean
    permuted: Estimate  # rank correlation with components permuted
    gradients: tuple[Gradients, ...]
    edges: Estimate  # rank correlation of the largest edges
    edges_permuted: Estimate
