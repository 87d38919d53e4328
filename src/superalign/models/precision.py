"""Weights of few bits: round a model's, and tell whether a model's are rounded.

What was lost in rounding is not what was planted, so a rounded model is to be held against rounded ones.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from superalign.models.adapters import merge
from superalign.models.model import Model
from superalign.models.subject import weights_digest
from superalign.models.weights import named_weights

BITS = (2, 3, 4, 5, 6, 7, 8)
READ = 256  # rows of a matrix that say how far apart its values lie
NEAR = 1e-3  # of a step: how far from a whole number of steps a weight may lie, for 16-bit copies of rounded weights


def quantised(model: Model, *, bits: int) -> Model:
    """Round every matrix of a model to so many bits, row by row, as weight-only quantisation does.

    Args:
        model: Not touched; an adapter is merged first, since nobody deploys a rounded base with rounded adapter halves.
        bits: Of each weight; the largest of a row keeps its size.

    Example:
        >>> from superalign.models import base
        >>> small = base("small")
        >>> len(set(quantised(small, bits=2).network.get_input_embeddings().weight[0].tolist()))
        3

    Source:
        Round-to-nearest with one scale for each row, the plainest form of post-training quantisation: Nagel et al., A white
        paper on neural network quantization, 2021.
    """
    whole = merge(model)
    network = copy.deepcopy(whole.network)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                step = _step(parameter, bits)
                parameter.copy_((parameter / step).round_() * step)
    subject = replace(model.subject, weights=weights_digest(network), how=f"{model.subject.how}, {bits} bits a weight")
    return replace(model, network=network, subject=subject)


def bits_of(model: Model) -> int | None:
    """Tell to how few bits a model's matrices are rounded: each row a whole number of equal steps, or few different values.

    Returns:
        2 to 8, or None for weights that are not rounded. Steps with an offset, or of groups within a row, are seen where a
        row has many more weights than values.

    Example:
        >>> from superalign.models import base
        >>> small = base("small")
        >>> bits_of(small), bits_of(quantised(small, bits=4))
        (None, 4)
    """
    matrices = [weight[:READ].float() for _, weight in named_weights(model.network) if weight.dim() == 2]
    return next((b for b in BITS if matrices and all(_rounded(rows, b) for rows in matrices)), None)


def _step(rows: torch.Tensor, bits: int) -> torch.Tensor:
    """Distance of neighbouring values in each row."""
    return rows.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-12) / (2 ** (bits - 1) - 1)


def _rounded(rows: torch.Tensor, bits: int) -> bool:
    if 2 ** (bits + 1) <= rows.shape[1] and all(len(row.unique()) <= 2**bits for row in rows):
        return True
    steps = rows / _step(rows, bits)
    return bool(((steps - steps.round()).abs() <= NEAR * 2 ** (bits - 1)).all())
