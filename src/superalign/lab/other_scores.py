"""Scores of explanations that others print, beside ours, and which of them order explanations as they should.

Activations and predictions are of sequences, (S, L): S sequences of L tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from sklearn.metrics import average_precision_score, balanced_accuracy_score

LESS = 0.1  # how much lower an explanation must score that misses half, or says three times too much

Score = Callable[[np.ndarray, np.ndarray, np.random.Generator], float]


def uniform_correlation(a_SL: Float[np.ndarray, "S L"], s_SL: Float[np.ndarray, "S L"], rng: object = None) -> float:
    """Return Pearson's correlation over all tokens.

    Example:
        >>> uniform_correlation(np.array([[0.0, 1.0]]), np.array([[0.0, 2.0]]))
        1.0
    """
    a, s = a_SL.ravel(), s_SL.ravel()
    return float(np.corrcoef(a, s)[0, 1].round(12)) if a.std() > 0 and s.std() > 0 else 0.0


def weighted_correlation(
    a_SL: Float[np.ndarray, "S L"],
    s_SL: Float[np.ndarray, "S L"],
    rng: np.random.Generator,
    *,
    top: int = 20,
    random: int = 200,
) -> float:
    """Estimate uniform correlation from top and random sequences, each weighted by 1 over its chance of being drawn.

    Source:
        Horvitz and Thompson, A generalization of sampling without replacement from a finite universe, 1952.
    """
    first, rest = _parts(a_SL, top)
    drawn = rng.choice(rest, min(random, len(rest)), replace=False)
    weight = np.concatenate([np.ones(len(first)), np.full(len(drawn), len(rest) / max(1, len(drawn)))])
    some = np.concatenate([first, drawn])
    w = np.repeat(weight, a_SL.shape[1])
    a, s = a_SL[some].ravel(), s_SL[some].ravel()
    a, s = a - np.average(a, weights=w), s - np.average(s, weights=w)
    spread = np.sqrt(np.average(a * a, weights=w) * np.average(s * s, weights=w))
    return float(np.average(a * s, weights=w) / spread) if spread > 0 else 0.0


def top_and_random(
    a_SL: Float[np.ndarray, "S L"], s_SL: Float[np.ndarray, "S L"], rng: np.random.Generator, *, each: int = 5
) -> float:
    """Correlate over as many top sequences as random ones, as the first neuron explainer does.

    Misses:
        What fires where the unit does not: three times too broad scores above half of the concept.

    Source:
        Bills et al., Language models can explain neurons in language models, 2023.
    """
    first, rest = _parts(a_SL, each)
    some = np.concatenate([first, rng.choice(rest, each, replace=False)])
    return uniform_correlation(a_SL[some], s_SL[some])


def area_precision_recall(a_SL: Float[np.ndarray, "S L"], s_SL: Float[np.ndarray, "S L"], rng: object = None) -> float:
    """Return the area under precision and recall for which tokens excite the unit."""
    return float(average_precision_score(_on(a_SL).ravel(), s_SL.ravel()))


def overlap(a_SL: Float[np.ndarray, "S L"], s_SL: Float[np.ndarray, "S L"], rng: object = None) -> float:
    """Return the intersection over union of where the unit fires and where it is said to."""
    on, said = _on(a_SL), s_SL > 0
    return float((on & said).sum() / max(1, (on | said).sum()))


def balanced_tokens(a_SL: Float[np.ndarray, "S L"], s_SL: Float[np.ndarray, "S L"], rng: object = None) -> float:
    """Return the mean of hits and correct rejections over tokens.

    Misses:
        Ten times too broad is hardly punished where units are rare.
    """
    return float(balanced_accuracy_score(_on(a_SL).ravel(), (s_SL > 0).ravel()))


def detection(
    a_SL: Float[np.ndarray, "S L"], s_SL: Float[np.ndarray, "S L"], rng: np.random.Generator, *, each: int = 50
) -> float:
    """Return the accuracy at telling contexts in which the unit fires from as many in which it does not.

    Misses:
        Which token it was, and how rare it is: a balanced set forgives what is too broad.

    Source:
        Paulo et al., Automatically interpreting millions of features in large language models, 2024 (arXiv 2410.13928).
    """
    on, said = _on(a_SL).any(1), np.asarray((s_SL > 0).any(1))
    some = [rng.choice(np.flatnonzero(x), min(each, int(x.sum())), replace=False) for x in (on, ~on)]
    return float(np.mean([said[some[0]].mean(), 1 - said[some[1]].mean()]))


COMPARED: Mapping[str, Score] = MappingProxyType(
    {
        "uniform correlation": uniform_correlation,
        "weighted correlation, 20 top and 200 random": weighted_correlation,
        "area under precision-recall": area_precision_recall,
        "intersection over union": overlap,
        "correlation, 5 top and 5 random": top_and_random,
        "balanced accuracy of tokens": balanced_tokens,
        "detection, balanced contexts": detection,
    }
)


def passes_sanity(exact: float, half: float, broad: float) -> bool:
    """Say whether a score falls both for half of a concept and for three times too much, as it should.

    Example:
        >>> passes_sanity(0.96, 0.69, 0.54), passes_sanity(1.0, 0.75, 0.995)
        (True, False)

    Source:
        Oikarinen et al., Evaluating neuron explanations, 2025 (arXiv 2506.05774).
    """
    return exact - half >= LESS and exact - broad >= LESS


def _on(a_SL: np.ndarray) -> np.ndarray:
    """Where a unit counts as active: above a quarter of its highest activation."""
    return np.asarray(a_SL > 0.25 * a_SL.max())


def _parts(a_SL: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-a_SL.max(1), kind="stable")
    return order[:top], order[top:]
