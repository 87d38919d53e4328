"""Contrast-consistent search: a direction whose probability is consistent on a claim and its negation, without labels.

Beside it stands a relative in closed form, the top component of the differences, and the floor that random directions
reach. Which side means "true" is not identified, so accuracies are those of the better sign, for the floor as well.

Shape suffixes: N pairs, D width, S starts, K directions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from superalign.errors import BadInput
from superalign.interp.directions import Standard, standard

SAME = 0.75  # share of pairs on which two directions must agree to count as one
SPLIT = 0.2  # share of starts that ends elsewhere and makes the outcome a matter of luck
DECAY = 1e-3  # on the squared weights: without it every direction that is consistent at all reaches loss zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What the search found."""

    plus: Standard = field(repr=False)  # each side by itself: a constant offset between the sides would solve the loss
    minus: Standard = field(repr=False)
    weight_D: Float[np.ndarray, " D"] = field(repr=False)  # of the start that reached the lowest loss
    bias: float
    loss: float
    agreement_S: Float[np.ndarray, " S"]  # share of pairs on which each start agrees with the best, by the better sign
    ambiguous: bool  # starts split, or one that is as good within the noise of the pairs says something else


def search_contrast(
    plus_ND: Float[np.ndarray, "N D"], minus_ND: Float[np.ndarray, "M D"], *, starts: int = 10, seed: int = 0
) -> Contrast:
    """Search for a consistent direction from several starts and keep the one of lowest loss.

    Args:
        plus_ND: Activations of claims said to be true, one row per claim.
        minus_ND: Of the same claims said to be false, in the same order.
        starts: Random starts.
        seed: Of the starts.

    Returns:
        The direction, how all starts came out, and whether they split.

    Raises:
        BadInput: If the two sides are not equally many, or hold fewer than four pairs.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> t = np.where(rng.random(200) < 0.5, 4.0, -4.0)[:, None] * np.eye(8)[0]
        >>> found = search_contrast(rng.normal(size=(200, 8)) + t, rng.normal(size=(200, 8)) - t)
        >>> read_contrast(found, t + 9, 9 - t).shape, found.ambiguous
        ((200,), False)

    Source:
        Burns et al., Discovering Latent Knowledge in Language Models Without Supervision, 2022 (arXiv 2212.03827); without
        choosing the sign by accuracy, which takes labels.
    """
    if plus_ND.shape != minus_ND.shape or len(plus_ND) < 4:
        raise BadInput(
            f"{len(plus_ND)} and {len(minus_ND)} activations make no pairs to search. A claim is matched with its negation by "
            "position, and fewer than four pairs are consistent along any direction. Pass both sides of at least four claims."
        )
    plus, minus = standard(plus_ND), standard(minus_ND)
    a_ND, c_ND = plus.apply(plus_ND).astype(np.float64), minus.apply(minus_ND).astype(np.float64)
    rng, D = np.random.default_rng(seed), plus_ND.shape[1]
    fits = []
    for _ in range(starts):
        start = np.concatenate([rng.normal(size=D) / np.sqrt(D), [0.0]])
        fitted = minimize(_objective, start, args=(a_ND, c_ND), jac=True, method="L-BFGS-B", options={"maxiter": 300})
        fits.append((float(fitted.fun), fitted.x))
    fits.sort(key=lambda f: f[0])
    said_SN = np.array([np.greater(*_sides(x, a_ND, c_ND)) for _, x in fits])
    agreement_S = _better((said_SN == said_SN[0]).mean(1))
    item_SN = np.array([_item_losses(x, a_ND, c_ND) for _, x in fits])
    extra_SN = item_SN - item_SN[0]
    # As good within the noise of the pairs: which of the two it is was decided by these pairs, not by consistency.
    as_good_S = extra_SN.mean(1) <= 2.0 * extra_SN.std(1, ddof=1) / np.sqrt(len(a_ND))
    other_S = agreement_S < SAME
    return Contrast(
        plus=plus,
        minus=minus,
        weight_D=fits[0][1][:-1],
        bias=float(fits[0][1][-1]),
        loss=fits[0][0],
        agreement_S=agreement_S,
        ambiguous=bool((as_good_S & other_S).any() or other_S.mean() >= SPLIT),
    )


def read_contrast(
    found: Contrast, plus_ND: Float[np.ndarray, "N D"], minus_ND: Float[np.ndarray, "N D"]
) -> Float[np.ndarray, " N"]:
    """Say how far pairs lie on the one side: (p(x+) + 1 - p(x-)) / 2, in [0, 1]; which side is true is not identified."""
    up_N, down_N = contrast_sides(found, plus_ND, minus_ND)
    return np.asarray((expit(up_N) + 1.0 - expit(down_N)) / 2)


def contrast_sides(
    found: Contrast, plus_ND: Float[np.ndarray, "N D"], minus_ND: Float[np.ndarray, "N D"]
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Score each side of pairs by itself, in log-odds; which sign is true is not identified."""
    up_N, down_N = found.plus.apply(plus_ND) @ found.weight_D, found.minus.apply(minus_ND) @ found.weight_D
    return up_N + found.bias, down_N + found.bias


def contrast_floor(
    plus_ND: Float[np.ndarray, "N D"],
    minus_ND: Float[np.ndarray, "N D"],
    true_N: Bool[np.ndarray, " N"],
    *,
    n: int = 200,
    seed: int = 0,
) -> Float[np.ndarray, " {n}"]:
    """Return the accuracy of random directions on the normalised differences, each with the better of its two signs.

    Returns:
        n values in [0.5, 1], shape (n,), sorted.
    """
    apart_ND = standard(plus_ND).apply(plus_ND) - standard(minus_ND).apply(minus_ND)
    directions_Dn = np.random.default_rng(seed).normal(size=(plus_ND.shape[1], n))
    right_n = ((apart_ND @ directions_Dn > 0) == np.asarray(true_N, bool)[:, None]).mean(0)
    return np.sort(_better(right_n))


def _better(share: ArrayLike) -> np.ndarray:
    """Return max(p, 1 - p)."""
    return np.asarray(np.maximum(share, 1.0 - np.asarray(share)))


def _sides(x: np.ndarray, a_ND: np.ndarray, c_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of both sides by weights, the bias last."""
    return expit(a_ND @ x[:-1] + x[-1]), expit(c_ND @ x[:-1] + x[-1])


def _item_losses(x: np.ndarray, a_ND: np.ndarray, c_ND: np.ndarray) -> np.ndarray:
    """Inconsistency and lack of confidence of each pair."""
    p_N, q_N = _sides(x, a_ND, c_ND)
    return np.asarray((p_N + q_N - 1.0) ** 2 + np.minimum(p_N, q_N) ** 2)


def _objective(x: np.ndarray, a_ND: np.ndarray, c_ND: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss with its decay, and the gradient."""
    p_N, q_N = _sides(x, a_ND, c_ND)
    apart_N, least_N = p_N + q_N - 1.0, np.minimum(p_N, q_N)
    dp_N = (2.0 * apart_N + 2.0 * least_N * (p_N <= q_N)) * p_N * (1.0 - p_N) / len(p_N)
    dq_N = (2.0 * apart_N + 2.0 * least_N * (p_N > q_N)) * q_N * (1.0 - q_N) / len(q_N)
    loss = float((apart_N**2 + least_N**2).mean() + DECAY * (x[:-1] ** 2).sum())
    slope_D = a_ND.T @ dp_N + c_ND.T @ dq_N + 2.0 * DECAY * x[:-1]
    return loss, np.append(slope_D, (dp_N + dq_N).sum())
