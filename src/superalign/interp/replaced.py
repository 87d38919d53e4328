"""What is left of a neuron's effect on the next token when its simulation stands in its place: the causal test of an explanation.

Shape suffixes: W windows, T tokens of a window, V vocabulary, U neurons.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from superalign.interp.layers import AT_ONCE
from superalign.models.forward import own_forward
from superalign.models.model import Model
from superalign.models.taps import changed, tapped
from superalign.models.weights import plain


def divergence(first: Float[Tensor, "*N V"], second: Float[Tensor, "*N V"]) -> Float[Tensor, "*N"]:
    """Return the Jensen-Shannon divergence of distributions from their log-probabilities, in nats, 0 to log 2.

    Example:
        >>> same = torch.zeros(1, 2).log_softmax(-1)
        >>> divergence(same, same).item()
        0.0
    """
    middle = torch.logaddexp(first, second) - math.log(2)
    apart = sum(0.5 * (p.exp() * (p - middle)).sum(-1) for p in (first, second))
    return torch.as_tensor(apart).clamp(0.0, math.log(2))


def next_token(model: Model, tokens_WT: Int[np.ndarray, "W T"]) -> Float[Tensor, "W T V"]:
    """Compute the log-probabilities of the next token at every token of some windows."""
    ids = torch.from_numpy(np.asarray(tokens_WT, np.int64))
    with torch.no_grad():
        return own_forward(model.network, ids, None).log_softmax(-1)


def neurons_over(
    model: Model, tokens_WT: Int[np.ndarray, "W T"], *, layer: int, neurons: tuple[int, ...]
) -> Float[np.ndarray, "W T U"]:
    """Read some neurons of a layer at every token of some windows."""
    out_WTU = np.zeros((*tokens_WT.shape, len(neurons)), np.float32)
    for start in range(0, len(tokens_WT), AT_ONCE):
        ids = torch.from_numpy(tokens_WT[start : start + AT_ONCE]).long().to(model.network.device)
        seen: list[Tensor] = []
        with torch.no_grad(), tapped(model.network, {f"neurons.{layer}": seen.append}):
            plain(model.network).base_model(input_ids=ids, use_cache=False)
        out_WTU[start : start + AT_ONCE] = seen[0].view(*ids.shape, -1)[..., list(neurons)].float().cpu().numpy()
    return out_WTU


def neuron_at(
    model: Model, tokens_WT: Int[np.ndarray, "W T"], at_W: Int[np.ndarray, " W"], *, layer: int, neuron: int
) -> Float[np.ndarray, " W"]:
    """Read what a neuron does at one token of each window."""
    return neurons_over(model, tokens_WT, layer=layer, neurons=(neuron,))[np.arange(len(at_W)), at_W, 0]


def effects(
    model: Model,
    tokens_WT: Int[np.ndarray, "W T"],
    scored_WT: Bool[np.ndarray, "W T"],
    unchanged: Float[Tensor, "W T V"],
    *,
    layer: int,
    neuron: int,
    values: tuple[Float[np.ndarray, "W T"], ...],
) -> Float[np.ndarray, "X W"]:
    """Return the mean Jensen-Shannon divergence (nats) from the unchanged model, by window, for each set of values of a neuron.

    With the divergence under its mean as denominator and under its simulation as numerator, 1 minus the ratio is the share of the
    neuron's effect that the explanation keeps: 1 for its own values, 0 for its mean, below 0 for worse than its mean.

    Source:
        Bricken et al., Towards monosemanticity, 2023, for replacing units by their simulations.
    """
    keep, rows = torch.from_numpy(scored_WT), []
    for value_WT in values:

        def put(x: Tensor, value_WT: np.ndarray = value_WT) -> Tensor:
            x = x.clone()
            x[..., neuron] = torch.from_numpy(value_WT).to(x.dtype).view(x.shape[:-1])
            return x

        with changed(model.network, {f"neurons.{layer}": put}):
            apart_WT = divergence(unchanged, next_token(model, tokens_WT))
        total_W = torch.where(keep, apart_WT, 0.0).sum(1) / keep.sum(1).clamp_min(1)
        rows.append(total_W.double().numpy())
    return np.stack(rows)
