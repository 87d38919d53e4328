"""Linear directions in activations: fit one, read it out, and the floor that random directions reach.

Shape suffixes: N items, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from superalign.errors import BadInput
from superalign.stats import auroc


@dataclass(frozen=True, slots=True)
class Standard:
    """How activations are standardised: by the mean and scale of each dimension."""

    mean_D: Float[np.ndarray, " D"]
    scale_D: Float[np.ndarray, " D"]

    def apply(self, x_ND: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
        """Standardise activations."""
        return (x_ND - self.mean_D) / self.scale_D


def standard(x_ND: Float[np.ndarray, "N D"]) -> Standard:
    """Measure the mean and scale of each dimension."""
    return Standard(x_ND.mean(0), x_ND.std(0) + 1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A linear read-out: standardise with the training data's mean and scale, then project."""

    mean_D: Float[np.ndarray, " D"]
    scale_D: Float[np.ndarray, " D"]
    weight_D: Float[np.ndarray, " D"]
    bias: float


def fit_probe(x_ND: Float[np.ndarray, "N D"], y_N: Bool[np.ndarray, " N"], *, ridge: float = 10.0) -> Probe:
    """Fit a logistic probe on standardised activations.

    Args:
        x_ND: Activations, one row per item.
        y_N: True for the class that scores high.
        ridge: Strength of the penalty on the weights.

    Returns:
        The probe; its scores are log-odds.

    Raises:
        BadInput: If only one class is there.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 4)); y = x[:, 0] > 0
        >>> float(auroc(read_out(fit_probe(x, y), x)[y], negatives=read_out(fit_probe(x, y), x)[~y])) > 0.95
        True
    """
    return _fitted(LogisticRegression(C=1.0 / ridge, max_iter=500), x_ND, y_N)


def mean_difference(x_ND: Float[np.ndarray, "N D"], y_N: Bool[np.ndarray, " N"]) -> Probe:
    """Take the difference between the means of two classes, standardised: a direction that nothing is fitted for.

    Example:
        >>> x = np.array([[0.0, 1.0], [0.1, 3.0], [0.0, 1.2], [0.1, 2.8]]); y = np.array([False, True, False, True])
        >>> (read_out(mean_difference(x, y), x) > 0).tolist()
        [False, True, False, True]

    Source:
        Marks and Tegmark, The geometry of truth, 2023 (arXiv 2310.06824).
    """
    y_N, by = _two_classes(y_N), standard(x_ND)
    up_D, down_D = (by.apply(x_ND)[which_N].mean(0) for which_N in (y_N, ~y_N))
    weight_D = up_D - down_D
    return Probe(mean_D=by.mean_D, scale_D=by.scale_D, weight_D=weight_D, bias=-float((up_D + down_D) @ weight_D / 2))


def discriminant(x_ND: Float[np.ndarray, "N D"], y_N: Bool[np.ndarray, " N"]) -> Probe:
    """Fit Fisher's linear discriminant, with the covariance shrunk as Ledoit and Wolf do.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(80, 3)); y = x[:, 1] > 0
        >>> bool(((read_out(discriminant(x, y), x) > 0) == y).mean() > 0.9)
        True

    Source:
        Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.
    """
    return _fitted(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), x_ND, y_N)


def _fitted(classifier: Any, x_ND: np.ndarray, y_N: np.ndarray) -> Probe:
    """Fit a linear classifier on standardised activations."""
    by = standard(x_ND)
    found = classifier.fit(by.apply(x_ND), _two_classes(y_N))
    return Probe(mean_D=by.mean_D, scale_D=by.scale_D, weight_D=found.coef_[0], bias=float(found.intercept_[0]))


def paired(
    plus_PD: Float[np.ndarray, "P D"], minus_PD: Float[np.ndarray, "P D"], true_P: Bool[np.ndarray, " P"]
) -> Probe:
    """Fit a logistic probe on the differences between statements and their negations: what both share falls out.

    Args:
        plus_PD: States of the statements.
        minus_PD: States of their negations, in the same order.
        true_P: Which statements are true; the negations of the others are.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> true = rng.random(60) < 0.5; t = np.where(true, 2.0, -2.0)[:, None] * np.eye(3)[0]
        >>> topic = 9 * rng.normal(size=(60, 3))
        >>> probe = paired(topic + t, topic - t, true)
        >>> bool(((read_out(probe, t) > 0) == true).all())
        True
    """
    sign_P1 = np.where(true_P, 1.0, -1.0)[:, None]
    over_PD = (plus_PD - minus_PD) * sign_P1  # true minus false
    found = fit_probe(np.concatenate([over_PD, -over_PD]), np.repeat([True, False], len(over_PD)))
    middle_D = (plus_PD.mean(0) + minus_PD.mean(0)) / 2
    return Probe(mean_D=middle_D, scale_D=found.scale_D, weight_D=found.weight_D, bias=0.0)


def read_out(probe: Probe, x_ND: Float[np.ndarray, "N D"]) -> Float[np.ndarray, " N"]:
    """Score items, in log-odds, shape (N,)."""
    return Standard(probe.mean_D, probe.scale_D).apply(x_ND) @ probe.weight_D + probe.bias


def random_floor(
    x_ND: Float[np.ndarray, "N D"], y_N: Bool[np.ndarray, " N"], *, n: int = 200, seed: int = 0
) -> Float[np.ndarray, " {n}"]:
    """AUROC of random directions, each with the better of its two signs: what no training at all reaches.

    Returns:
        n values in [0.5, 1], shape (n,), sorted.
    """
    y_N = np.asarray(y_N, bool)
    scores_Nn = standard(x_ND).apply(x_ND) @ np.random.default_rng(seed).normal(size=(x_ND.shape[1], n))
    areas = [float(auroc(scores_Nn[y_N, i], negatives=scores_Nn[~y_N, i])) for i in range(n)]
    return np.sort([max(a, 1.0 - a) for a in areas])


def _two_classes(y_N: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    y_N = np.asarray(y_N, bool)
    if y_N.all() or not y_N.any():
        raise BadInput("Only one class is there. A direction between two classes needs both. Pass items of each.")
    return y_N
