"""Whether a one-dimensional patch acts along the feature that it is named after, or through a path that is dormant otherwise.

A direction can be the sum of two parts: one that differs between clean and corrupt but that nothing reads, and one that is
read but never differs. Patching along it moves the output, though neither part carries the feature.

Shape suffixes: N inputs, D width, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from superalign.errors import BadInput
from superalign.types import Record

AGREE = 0.5  # effects that are less than this share of the patch's own disagree with it


@dataclass(frozen=True, slots=True, kw_only=True)
class SubspacePatch(Record):
    """Mean effects on the metric of three patches, from corrupt into clean."""

    along: float  # along the direction alone
    whole: float  # of the whole component
    visible: float  # along the part of the direction that the read-out can see
    flagged: bool  # the first is not borne out by one of the others


def subspace_patch(
    clean_ND: Float[np.ndarray, "N D"],
    corrupt_ND: Float[np.ndarray, "N D"],
    direction_D: Float[np.ndarray, " D"],
    *,
    metric: Callable[[np.ndarray], np.ndarray],
    read_OD: Float[np.ndarray, "O D"],
    least: float = 1e-6,
) -> SubspacePatch:
    """Patch along a direction, along its visible part and whole, and flag a direction whose effect the others do not bear out.

    Args:
        clean_ND: A component's output on clean inputs.
        corrupt_ND: The same on corrupt ones.
        direction_D: What is patched along; its length does not matter.
        metric: Outputs of the component (N, D) -> the metric (N,), everything else as on the clean inputs.
        read_OD: The weights that read the component. What none of its rows sees is dormant.
        least: An effect along the direction below this is none, and nothing is flagged.

    Raises:
        BadInput: If the direction is zero.
    """
    length = float(np.linalg.norm(direction_D))
    if length == 0:
        raise BadInput("The direction is zero. There is nothing to patch along. Give a direction with a length.")
    _, sizes, rows = np.linalg.svd(read_OD, full_matrices=False)
    rows_RD = rows[sizes > 1e-6 * sizes.max(initial=0.0)]
    visible_D = rows_RD.T @ (rows_RD @ direction_D)
    base_N, change_ND = metric(clean_ND), corrupt_ND - clean_ND

    def effect(direction: np.ndarray) -> float:
        size = float(np.linalg.norm(direction))
        if size <= 1e-6 * length:
            return 0.0
        unit = direction / size
        return float((metric(clean_ND + np.outer(change_ND @ unit, unit)) - base_N).mean())

    along, visible = effect(direction_D), effect(visible_D)
    whole = float((metric(corrupt_ND) - base_N).mean())
    share = [other / along if abs(along) > least else 1.0 for other in (whole, visible)]
    return SubspacePatch(along=along, whole=whole, visible=visible, flagged=min(share) < AGREE)
