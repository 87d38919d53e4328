"""Semi-synthetic circuits (G5): weights from training, with a circuit forced by interchange training; methods find it in order.

Which parts carry the program is forced; through which of a head's queries, keys and values is not, so an edge between two
components is scored by the largest of its ports.
"""

import functools

import numpy as np
import pytest
from jaxtyping import Float

from superalign.interp.edges import edges, exact_edges, gradient_edges
from superalign.interp.patching import Pairs, components, exact_effects, gradient_effects
from superalign.lab.compiled import Stack, compile_program
from superalign.lab.compiled_programs import PROGRAMS, draw_pairs
from superalign.stats import auroc
from tests.interp.interchange import Student, train_student

NAMES = ("reverse", "sort", "histogram", "seen before", "frac-prevs")
SEEDS = range(2)


@functools.cache
def forced(name: str, seed: int) -> Student:
    made = compile_program(PROGRAMS[name], seed=seed)
    return train_student(made, seed=seed, steps=1800, width=48, neurons=64, batch=64, lr=3e-3)


def without_port(edge: tuple[str, str]) -> tuple[str, str]:
    """Return an edge into a head whatever it is read as.

    Example: ("L0.H1", "L1.H2.q") is ("L0.H1", "L1.H2").
    """
    source, port = edge
    return source, port.rsplit(".", 1)[0] if port.count(".") == 2 else port


def area(score_C: Float[np.ndarray, " C"], true_C: np.ndarray) -> float:
    found = auroc(score_C[true_C], negatives=score_C[~true_C])
    assert isinstance(found, float)
    return found


def by_pair(network: Stack, effect_EB: Float[np.ndarray, "E B"]) -> dict[tuple[str, str], float]:
    """Score pairs of components by the largest mean effect of an edge between them."""
    best: dict[tuple[str, str], float] = {}
    for edge, score in zip(edges(network), np.abs(effect_EB).mean(1).tolist(), strict=True):
        best[without_port(edge)] = max(score, best.get(without_port(edge), 0.0))
    return best


@functools.cache
def areas(name: str, seed: int) -> Float[np.ndarray, "M 2"]:
    """Area under the curve of exact effects, integrated gradients, gradients and chance, over components and over edges."""
    made, network = compile_program(PROGRAMS[name], seed=seed), forced(name, seed).network
    rng = np.random.default_rng([seed, 7])
    pairs: Pairs = draw_pairs(PROGRAMS[name], n=32, rng=rng)
    node_C = np.array([n in made.nodes for n in components(network)])
    true = {without_port(e) for e in made.edges}
    exact, ig, atp = exact_effects(network, pairs), *(gradient_effects(network, pairs, steps=s).sum(-1) for s in (8, 0))
    of_edges = exact_edges(network, pairs), *(gradient_edges(network, pairs, steps=s) for s in (8, 0))
    by_node = [np.abs(x).mean(1) for x in (exact, ig, atp)]
    found = [by_pair(network, x) for x in of_edges]
    true_E = np.array([e in true for e in found[0]])
    areas_M2 = [
        [area(n, node_C), area(np.array(list(e.values())), true_E)] for n, e in zip(by_node, found, strict=True)
    ]
    random = [np.mean([area(rng.random(len(t)), t) for _ in range(50)]) for t in (node_C, true_E)]
    return np.array([*areas_M2, random])


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_students_answer_as_the_program_does_under_every_intervention(name: str, seed: int) -> None:
    student = forced(name, seed)
    assert student.right >= 0.99
    assert student.interchanged >= 0.95
    assert student.untouched >= 0.98


@pytest.mark.slow
def test_exact_effects_find_the_circuit_best_then_integrated_gradients_then_gradients() -> None:
    every = np.stack([areas(name, seed) for name in NAMES for seed in SEEDS])
    exact, ig, atp, random = every.mean(0)  # of each method over networks: components, edges
    assert every[:, :2].min() >= 0.9  # exact and integrated gradients, in every network
    assert (exact >= ig).all()
    assert (ig >= atp).all()
    assert (atp > random + 0.25).all()
    assert np.abs(random - 0.5).max() < 0.1
