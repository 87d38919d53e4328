"""Linear directions in activations: fit one, read it out, and the floor that random directions reach.

Shape suffixes: N items, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression

from superalign.errors import BadInput
from superalign.stats import auroc


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
    y_N = np.asarray(y_N, bool)
    if y_N.all() or not y_N.any():
        raise BadInput("Only one class is there. A direction between two classes needs both. Pass items of each.")
    mean_D, scale_D = x_ND.mean(0), x_ND.std(0) + 1e-6
    fitted = LogisticRegression(C=1.0 / ridge, max_iter=500).fit((x_ND - mean_D) / scale_D, y_N)
    return Probe(mean_D=mean_D, scale_D=scale_D, weight_D=fitted.coef_[0], bias=float(fitted.intercept_[0]))


def read_out(probe: Probe, x_ND: Float[np.ndarray, "N D"]) -> Float[np.ndarray, " N"]:
    """Score items, in log-odds, shape (N,)."""
    scores_N: np.ndarray = ((x_ND - probe.mean_D) / probe.scale_D) @ probe.weight_D + probe.bias
    return scores_N


def random_floor(
    x_ND: Float[np.ndarray, "N D"], y_N: Bool[np.ndarray, " N"], *, n: int = 200, seed: int = 0
) -> Float[np.ndarray, " {n}"]:
    """AUROC of random directions, each with the better of its two signs: what no training at all reaches.

    Returns:
        n values in [0.5, 1], shape (n,), sorted.
    """
    y_N = np.asarray(y_N, bool)
    standard_ND = (x_ND - x_ND.mean(0)) / (x_ND.std(0) + 1e-6)
    directions_Dn = np.random.default_rng(seed).normal(size=(x_ND.shape[1], n))
    scores_Nn = standard_ND @ directions_Dn
    areas = [float(auroc(scores_Nn[y_N, i], negatives=scores_Nn[~y_N, i])) for i in range(n)]
    return np.sort([max(a, 1.0 - a) for a in areas])
