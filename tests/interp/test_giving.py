"""A task like indirect-object identification with a forced mechanism (G8): a fifth of the edges keep the behaviour, and which."""

import functools

import numpy as np
import pytest
from jaxtyping import Float

from superalign.interp.edges import Edge, edges, gradient_edges
from superalign.interp.patching import Pairs, components, exact_effects, faithfulness
from superalign.interp.ranking import exact_ranking
from superalign.lab.compiled_programs import accuracy
from tests.interp.giving import compiled_giving, giving, giving_pairs, other_names, receiver, sentence
from tests.interp.interchange import Student, circuit_metric, lessons, student_of, train_student

LARGEST, KEPT, WANTED = 0.2, 0.9, 0.95  # the last where the size is chosen: on other names a circuit keeps less
# Shares of the edges: the smallest that keeps enough on one half of the names is tried on the other.
SIZES = (0.025, 0.05, 0.1, 0.15, LARGEST)
SEEDS = range(2)


@functools.cache
def forced(seed: int) -> Student:
    return train_student(compiled_giving(seed), seed=seed, steps=900, other=other_names)


def kept_by(student: Student, pairs: Pairs, circuits: list[list[Edge]]) -> Float[np.ndarray, "K B"]:
    """Faithfulness of circuits, pair by pair: 0 for no edges, 1 for all."""
    whole = list(edges(student.network))
    metric_KB = np.stack([circuit_metric(student.network, pairs, some) for some in ([], *circuits, whole)])
    return faithfulness([metric_KB])[1:-1, :, 0]


@functools.cache
def ranked(seed: int) -> tuple[list[Edge], Pairs]:
    """Edges by what integrated gradients say on one half of the names, and these sentences."""
    network, pairs = forced(seed).network, giving_pairs(48, np.random.default_rng([seed, 3]), half=0)
    score_E = np.abs(gradient_edges(network, pairs, steps=8)).mean(1)
    every = edges(network)
    return [every[i] for i in np.argsort(-score_E, kind="stable")], pairs


def test_the_program_says_who_is_given_to() -> None:
    rng = np.random.default_rng(0)
    assert accuracy(compiled_giving(0).network, giving(), n=200, rng=rng) == 1.0
    ids, other = sentence(rng)
    assert max(receiver(ids)) != max(receiver(other))  # the other one gives, so the first one is given to
    made = lessons(compiled_giving(0), 200, rng, other=other_names)
    shares = [float((m == made.answer_BT)[made.answer_BT >= 0].float().mean()) for m in made.moved.values()]
    assert all(0.02 < s < 0.98 for s in shares)  # every part carries something that another sentence may change


def test_all_edges_are_the_clean_run_and_none_the_corrupt_one() -> None:
    network = student_of(compiled_giving(0), width=32, neurons=16).requires_grad_(False)
    pairs = giving_pairs(12, np.random.default_rng(0), half=0)
    assert np.allclose(
        circuit_metric(network, pairs, edges(network)), pairs.metric(network(pairs.clean_BT).logits), atol=1e-5
    )
    assert np.allclose(circuit_metric(network, pairs, []), pairs.metric(network(pairs.corrupt_BT).logits), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_mechanism_is_forced_into_three_heads(seed: int) -> None:
    student = forced(seed)
    assert student.right >= 0.99
    assert student.interchanged >= 0.95
    assert student.untouched >= 0.8  # with all other heads and MLPs from another sentence at once
    pairs = giving_pairs(64, np.random.default_rng([seed, 4]), half=1)
    order = exact_ranking(components(student.network), exact_effects(student.network, pairs)).order
    assert set(order[:3]) == student.nodes


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_fifth_of_the_edges_keep_the_behaviour_on_other_names(seed: int) -> None:
    student, (order, train) = forced(seed), ranked(seed)
    circuits = [order[: int(share * len(order))] for share in SIZES]
    reached = kept_by(student, train, circuits).mean(1)
    assert (reached >= WANTED).any(), reached
    circuit = circuits[int(np.argmax(reached >= WANTED))]
    assert len(circuit) <= LARGEST * len(order)
    test = giving_pairs(200, np.random.default_rng([seed, 5]), half=1)
    # No interval: sentences about the same two names are no distinct units, and of such pairs there are a dozen.
    assert kept_by(student, test, [circuit]).mean() >= KEPT
    # Random circuits of the same size keep nothing.
    rng = np.random.default_rng([seed, 6])
    random = [[order[i] for i in rng.permutation(len(order))[: len(circuit)]] for _ in range(20)]
    assert kept_by(student, test, random).mean(1).max() < 0.5
