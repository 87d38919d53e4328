"""How much better than its group a rollout did: the weight of its gradient.

A value that the overseer could not measure takes no part: it moves no baseline and its rollout gets weight 0.

Shape suffixes: P problems, G group, R rollouts (R = P * G).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from superalign.errors import BadInput
from superalign.types import Signal, Unmeasured

_SMALLEST_SPREAD = 1e-6  # below, all values of a group are the same and there is nothing to prefer


def columns(signal: Signal, *, rollouts: int) -> tuple[Float[np.ndarray, " R"], Bool[np.ndarray, " R"]]:
    """Split a signal into numbers and a mask of which of them were measured.

    Args:
        signal: An overseer's answer.
        rollouts: How many rollouts it was asked about.

    Returns:
        values_R (0 where there is none) and measured_R.

    Raises:
        BadInput: If the numbers of values and rollouts differ.

    Example:
        >>> made = Signal(overseer="", values=(1.0, Unmeasured("no steps")))
        >>> [c.tolist() for c in columns(made, rollouts=2)]
        [[1.0, 0.0], [True, False]]
    """
    if len(signal.values) != rollouts:
        raise BadInput(
            f"Signal has {len(signal.values)} values for {rollouts} rollouts. Values are matched to rollouts by position, "
            "so a missing one would reward the wrong rollout. Return one value per rollout, and Unmeasured where the "
            "overseer cannot tell."
        )
    measured_R = np.array([not isinstance(v, Unmeasured) for v in signal.values], bool)
    values_R = np.array([0.0 if isinstance(v, Unmeasured) else float(v) for v in signal.values])
    if not np.isfinite(values_R).all():
        raise BadInput(
            "Signal holds a value that is not a finite number. It would spread to every weight in one update. Return "
            "Unmeasured with the reason where the overseer cannot tell."
        )
    return values_R, measured_R


def _centred(values_PG: np.ndarray, measured_PG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if values_PG.size == 0 or values_PG.shape != measured_PG.shape:
        raise BadInput(
            f"Values of shape {values_PG.shape} with a mask of shape {measured_PG.shape}. A group's baseline needs both for "
            "every rollout, and at least one rollout. Pass two arrays of shape (P, G)."
        )
    count_P1 = measured_PG.sum(1, keepdims=True)
    mean_P1 = (values_PG * measured_PG).sum(1, keepdims=True) / np.maximum(count_P1, 1)
    # One measured rollout has nothing to be compared with.
    return np.where(measured_PG & (count_P1 > 1), values_PG - mean_P1, 0.0), count_P1


def leave_one_out(
    values_PG: Float[np.ndarray, "P G"], *, measured_PG: Bool[np.ndarray, "P G"]
) -> Float[np.ndarray, "P G"]:
    """Take from each value the mean of the other measured values of its group.

    Args:
        values_PG: Values, shape (P, G), in the overseer's unit.
        measured_PG: Which of them are numbers, shape (P, G).

    Returns:
        Advantages, shape (P, G), same unit; 0 where unmeasured or alone.

    Raises:
        BadInput: For empty or unequal shapes.

    Example:
        >>> leave_one_out(np.array([[1.0, 0.0, 0.0]]), measured_PG=np.ones((1, 3), bool)).tolist()
        [[1.0, -0.5, -0.5]]

    Source:
        Kool, van Hoof and Welling, Buy 4 REINFORCE samples, get a baseline for free, 2019.
    """
    centred_PG, count_P1 = _centred(values_PG, measured_PG)
    return centred_PG * count_P1 / np.maximum(count_P1 - 1, 1)


def group_normalised(
    values_PG: Float[np.ndarray, "P G"], *, measured_PG: Bool[np.ndarray, "P G"]
) -> Float[np.ndarray, "P G"]:
    """Standardise each value within its group; a group without spread gets 0.

    Args:
        values_PG: Values, shape (P, G), in the overseer's unit.
        measured_PG: Which of them are numbers, shape (P, G).

    Returns:
        Advantages, shape (P, G), in standard deviations of the group (divided by n - 1).

    Raises:
        BadInput: For empty or unequal shapes.

    Example:
        >>> group_normalised(np.array([[1.0, 0.0], [1.0, 1.0]]), measured_PG=np.ones((2, 2), bool)).round(3).tolist()
        [[0.707, -0.707], [0.0, 0.0]]

    Source:
        Shao et al., DeepSeekMath, 2024.
    """
    centred_PG, count_P1 = _centred(values_PG, measured_PG)
    spread_P1 = np.sqrt((centred_PG**2).sum(1, keepdims=True) / np.maximum(count_P1 - 1, 1))
    return np.where(spread_P1 > _SMALLEST_SPREAD, centred_PG / np.maximum(spread_P1, _SMALLEST_SPREAD), 0.0)
