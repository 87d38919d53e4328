"""The correction for asking many questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import false_discovery_control

from superalign.errors import BadInput
from superalign.stats.inputs import column
from superalign.types import Unmeasured

Alternative: TypeAlias = Literal["greater", "less", "different"]


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


def discoveries(p_K: Float[np.ndarray, " K"], *, rate: float = 0.05) -> Bool[np.ndarray, " K"]:
    """Say which hypotheses are rejected at a false discovery rate; one without a p-value (nan) is not asked.

    Args:
        p_K: One per hypothesis.
        rate: Share of the rejected ones that may be true, on average.

    Example:
        >>> discoveries(np.array([0.001, 0.8, 0.03, np.nan])).tolist()
        [True, False, True, False]

    Source:
        Benjamini and Hochberg, Controlling the false discovery rate, 1995.
    """
    asked_K = ~np.isnan(p_K)
    out_K = np.zeros(len(p_K), bool)
    if asked_K.any():
        out_K[asked_K] = false_discovery_control(p_K[asked_K]) <= rate
    return out_K
