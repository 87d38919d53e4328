"""Tests for paired twins, and the correction for asking many questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from superalign.errors import BadInput
from superalign.stats.inputs import column, counted
from superalign.stats.resampling import chunk_sizes
from superalign.types import Unmeasured

Alternative: TypeAlias = Literal["greater", "less", "different"]
_EXACT_UP_TO = 14  # 16,384 sign patterns


def sign_flip_test(
    differences: ArrayLike, *, seed: int, side: Alternative = "greater", draws: int = 10_000
) -> float | Unmeasured:
    """P-value that paired differences are centred on zero, by flipping their signs.

    Exact up to 14 pairs; beyond that, seeded flips with the observed signs counted among them, so never 0.

    Args:
        differences: score(plant) - score(twin) per pair, shape (N,).
        seed: Seed of the flips; without effect where the test is exact.
        side: "greater" if plants are expected to score higher.
        draws: Flips, where not exact.

    Returns:
        The p-value; `Unmeasured` without pairs, or if all differences are zero.

    Raises:
        BadInput: If a difference is not a finite number, or the side is unknown.

    Example:
        >>> sign_flip_test([0.2, 0.5, 0.1, 0.4, 0.3], seed=0)
        0.03125

    Source:
        Fisher, The design of experiments, 1935.
    """
    d = column(differences, name="differences")
    counted(draws, name="draws", least=100)
    if side not in ("greater", "less", "different"):
        raise BadInput(f'side is "{side}". It says what counts as extreme. Pass "greater", "less" or "different".')
    if not len(d) or not d.any():
        return Unmeasured(f"undefined: {len(d)} pairs, none of which differ" if len(d) else "undefined: no pairs")
    n = len(d)
    observed = _extremity(np.array([d.sum()]), side=side)[0]
    slack = 1e-12 * float(np.abs(d).sum())  # sums that differ by rounding are ties
    if n <= _EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((_extremity(signs @ d, side=side) >= observed - slack).mean())
    rng = np.random.default_rng(seed)
    hits = 0
    for b in chunk_sizes(draws, n):
        signs = 1 - 2 * rng.integers(0, 2, size=(b, n), dtype=np.int8)
        hits += int((_extremity(signs @ d, side=side) >= observed - slack).sum())
    return (1 + hits) / (1 + draws)


def holm(p_values: Sequence[float | Unmeasured]) -> tuple[float | Unmeasured, ...]:
    """Adjust p-values for their number; rejecting those at most alpha errs anywhere with chance at most alpha.

    A question that could not be answered still counts as asked.

    Args:
        p_values: One per question, `Unmeasured` where there is none.

    Returns:
        Adjusted p-values in the same order; `Unmeasured` stays.

    Raises:
        BadInput: If a p-value is not between 0 and 1.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        (0.03, 0.06, 0.06)

    Source:
        Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    measured = [(i, p) for i, p in enumerate(p_values) if not isinstance(p, Unmeasured)]
    p = column([p for _, p in measured], name="p_values")
    if ((p < 0) | (p > 1)).any():
        raise BadInput(
            f"p_values range from {p.min():g} to {p.max():g}. A p-value is a probability, so these are something else. "
            "Pass values between 0 and 1."
        )
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(p_values) - np.arange(len(p)))))
    adjusted: list[float | Unmeasured] = list(p_values)
    for rank, place in enumerate(order):
        adjusted[measured[int(place)][0]] = float(steps[rank])
    return tuple(adjusted)


def _extremity(sums: Float[np.ndarray, " B"], *, side: Alternative) -> Float[np.ndarray, " B"]:
    """How far sums lie towards the alternative."""
    return {"greater": sums, "less": -sums, "different": np.abs(sums)}[side]
