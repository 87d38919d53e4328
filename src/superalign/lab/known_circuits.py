"""Methods that rank components and edges, held against the circuits of compiled programs, which are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from superalign.interp.edges import edges, exact_edges
from superalign.interp.patching import Pairs, components, exact_effects
from superalign.interp.ranking import METHODS, exact_ranking, rank_components, rank_edges
from superalign.kit.evidence import Array
from superalign.lab.compiled import HARD, SOFT, Compiled, compile_program
from superalign.lab.compiled_programs import PROGRAMS, accuracy, draw_pairs
from superalign.stats import auroc
from superalign.stats.streams import stream
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledJob(Record):
    """One compiled model and its pairs."""

    program: str
    variant: str  # soft, hard, or noisy: the read-out then sees random parts too
    seed: int
    leak: float
    inputs: int
    steps: int
    recheck: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(Record):
    """How methods do on one compiled model; rows are `METHODS`, columns components and edges."""

    right: float  # share of answers that the compiled model gets right
    area_M2: Array  # under the ROC curve
    blind_M2: Array  # whether the exact recheck declares the gradient blind


def compiled(job: CompiledJob) -> Scores:
    """Compile a program, and hold every method against its circuit."""
    rng, program = stream(job.seed, job.program, job.variant), PROGRAMS[job.program]
    sharpness, leak = HARD if job.variant == "hard" else SOFT, job.leak if "noisy" in job.variant else 0.0
    model = compile_program(program, seed=job.seed, sharpness=sharpness, leak=leak)
    pairs = draw_pairs(program, n=job.inputs, rng=rng)
    area_M2, blind_M2 = scored(model, pairs, steps=job.steps, check=job.recheck, rng=rng)
    return Scores(right=accuracy(model.network, program, n=100, rng=rng), area_M2=area_M2, blind_M2=blind_M2)


def scored(
    model: Compiled, pairs: Pairs, *, steps: int, check: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "M 2"], Float[np.ndarray, "M 2"]]:
    """Hold the methods against the circuit of a compiled model.

    Returns:
        For each of `METHODS`, on components and on edges: the area under the ROC curve, and whether it is declared blind.
    """
    names, some = components(model.network), edges(model.network)
    truths = ([n in model.nodes for n in names], [e in model.edges for e in some])
    exact = (exact_effects(model.network, pairs), exact_edges(model.network, pairs))
    area_M2, blind_M2 = np.zeros((len(METHODS), 2)), np.zeros((len(METHODS), 2))
    for part, (rank, true_CB, truth) in enumerate(zip((rank_components, rank_edges), exact, truths, strict=True)):
        labels = [str(i) for i in range(len(truth))]
        rankings = [
            exact_ranking(labels, true_CB),
            *(rank(model.network, pairs, steps=s, check=check, rng=rng) for s in (0, steps)),
            exact_ranking(labels, rng.random((len(labels), 1))),
        ]
        for m, ranking in enumerate(rankings):
            scores_C, true_C = np.array(ranking.scores), np.array(truth)
            area_M2[m, part] = auroc(scores_C[true_C], negatives=scores_C[~true_C])
            blind_M2[m, part] = ranking.blind
    return area_M2, blind_M2
