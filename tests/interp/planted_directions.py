"""How many planted directions stand in a dictionary, and how well random ones match.

Shape suffixes: K latents, E width written, M directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MATCH = 0.9  # |cosine| from which a latent counts as a planted direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How many planted directions stand in a dictionary."""

    recall: float  # share of planted directions that some latent matches
    precision: float  # share of latents that match some planted direction
    uniqueness: float  # of the latents that match, share that is the best for its direction
    best_M: Float[np.ndarray, " M"]  # largest |cosine| with any latent


def cosines(first_KE: Float[np.ndarray, "K E"], second_ME: Float[np.ndarray, "M E"]) -> Float[np.ndarray, "K M"]:
    """Return |cosine| of every pair of directions; 0 with a direction of no length."""
    one, two = (v / (np.linalg.norm(v, axis=1, keepdims=True) + 1e-12) for v in (first_KE, second_ME))
    return np.abs(one @ two.T)


def recovery(
    decode_KE: Float[np.ndarray, "K E"], planted_ME: Float[np.ndarray, "M E"], *, at_least: float = MATCH
) -> Recovery:
    """Match latents with planted directions by |cosine|."""
    near_KM = cosines(decode_KE, planted_ME)
    best_M, matches_K = near_KM.max(0), near_KM.max(1) >= at_least
    owners = len(set(near_KM.argmax(0)[best_M >= at_least].tolist()))
    return Recovery(
        recall=float((best_M >= at_least).mean()),
        precision=float(matches_K.mean()),
        uniqueness=owners / max(1, int(matches_K.sum())),
        best_M=best_M,
    )


def chance_cosine(width: int, latents: int, *, share: float = 0.95, draws: int = 400, seed: int = 0) -> float:
    """Return the |cosine| that the best of so many random directions reaches with one that is held out, in a share of draws."""
    rng = np.random.default_rng(seed)
    best = [cosines(rng.normal(size=(latents, width)), np.eye(1, width)).max() for _ in range(draws)]
    return float(np.quantile(best, share))


def agreement(first_KE: Float[np.ndarray, "K E"], second_ME: Float[np.ndarray, "M E"]) -> float:
    """Return how well a dictionary matches another, such as that of another seed: mean over latents of the best |cosine|."""
    return float(cosines(first_KE, second_ME).max(1).mean())
