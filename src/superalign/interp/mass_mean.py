"""Mass-mean probe: the difference of two class means, whitened with a shrunk pooled covariance; closed form, no fitting.

Shape suffixes: N items, D width.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from sklearn.covariance import ledoit_wolf_shrinkage

from superalign.errors import BadInput
from superalign.interp.directions import Probe


def fit_mass_mean(
    x_ND: Float[np.ndarray, "N D"], y_N: Bool[np.ndarray, " N"], *, whiten: bool = True, shrinkage: float | None = None
) -> Probe:
    """Point a probe from one class mean to the other.

    With equal covariances its AUROC is Phi(D / sqrt 2), where D is the distance of the means in units of the noise.

    Args:
        x_ND: Activations, one row per item.
        y_N: True for the class that scores high.
        whiten: Divide by the covariance within classes, so that loud directions that tell nothing do not count.
        shrinkage: Share of a round covariance that is mixed in; None takes what Ledoit and Wolf estimate from these items
            alone, so that no held-out item has a say.

    Returns:
        The probe, read with `read_out`; whitened scores are log-odds if both classes are Gaussian and equally frequent.

    Raises:
        BadInput: If a class has fewer than two items, or the shrinkage is outside [0, 1].

    Example:
        >>> x = np.array([[0.0, 9.0], [0.2, -9.0], [1.0, -9.0], [1.2, 9.0]])
        >>> fit_mass_mean(x, np.array([False, False, True, True]), whiten=False).weight_D.round(6).tolist()
        [1.0, 0.0]

    Source:
        Marks and Tegmark, The Geometry of Truth, 2023 (arXiv 2310.06824); Ledoit and Wolf, A well-conditioned estimator for
        large-dimensional covariance matrices, 2004.
    """
    y_N = np.asarray(y_N, bool)
    if min(int(y_N.sum()), int((~y_N).sum())) < 2:
        raise BadInput(
            "A class has fewer than two items. Its mean would be one item, and nothing is known of the spread. "
            "Pass at least two items of each."
        )
    if shrinkage is not None and not 0.0 <= shrinkage <= 1.0:
        raise BadInput(
            f"A shrinkage of {shrinkage} is no share. The covariance would be undefined. Choose from 0 to 1."
        )
    high_D, low_D = x_ND[y_N].mean(0, dtype=np.float64), x_ND[~y_N].mean(0, dtype=np.float64)
    middle_D, ones_D = (high_D + low_D) / 2, np.ones(x_ND.shape[1])
    if not whiten:
        return Probe(mean_D=middle_D, scale_D=ones_D, weight_D=high_D - low_D, bias=0.0)
    within_ND = x_ND - np.where(y_N[:, None], high_D, low_D)
    # Scaled first: what a round covariance means must not depend on the unit of each coordinate.
    scale_D = within_ND.std(0) + 1e-6
    within_ND = within_ND / scale_D
    share = float(ledoit_wolf_shrinkage(within_ND, assume_centered=True)) if shrinkage is None else shrinkage
    pooled_DD = within_ND.T @ within_ND / max(len(x_ND) - 2, 1)
    round_D = np.full(len(scale_D), np.trace(pooled_DD) / len(scale_D))
    shrunk_DD = (1.0 - share) * pooled_DD + share * np.diag(round_D)
    # The pseudo-inverse, because with a shrinkage of 0 and few items the covariance is singular.
    weight_D = np.linalg.pinv(shrunk_DD, hermitian=True) @ ((high_D - low_D) / scale_D)
    return Probe(mean_D=middle_D, scale_D=scale_D, weight_D=weight_D, bias=0.0)
