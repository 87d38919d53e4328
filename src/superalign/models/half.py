"""Weights in 16 bits for sampling and scoring, where the processor gains by it and the numbers stay close: both measured.

The matrix products are in bfloat16; norms, rotations, attention, the residual stream and log-softmax stay in 32 bits.

Shape suffixes: T tokens, V vocabulary, K likely tokens.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from superalign.models.adapters import merge
from superalign.models.forward import forward_logits, positions
from superalign.models.model import Model, encode
from superalign.models.weights import scattered

PROMPTS = (
    "What is the capital of France?",
    "Add 17 and 25, and show your steps.",
    "Write one sentence about rain on a tin roof.",
    "Is it true that all birds can fly? Answer with True or False.",
)
SAID = "I think that the answer is simple, but let me say first why: one thing follows from another."
LIKELY = 8  # tokens at each place whose log-probs are compared
ROWS = 256  # of the matrices that are multiplied to see what 16 bits gain
REPEATS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InHalf:
    """What rounding a model's weights to 16 bits brought and cost, and the model to use."""

    model: Model  # rounded, or as it was given
    speedup: float  # of matrix products of its width: time in 32 bits over time in 16
    # Largest difference of a log-prob among the likely tokens; not measured (nan) without a speedup.
    largest_nats: float
    mean_nats: float  # mean of these differences
    within_nats: float  # how large the largest might be

    @property
    def rounded(self) -> bool:
        """Whether the model is in 16 bits."""
        return self.model.rounded


def in_half(model: Model, *, faster: float = 1.2, within_nats: float = 0.5) -> InHalf:
    """Round the weights of a copy to 16 bits, if that makes products faster here and leaves log-probs close.

    The copy keeps its subject, so it is known by the weights that were given; it samples, scores and is tapped, and is
    refused where weights are changed or kept. Compare models with one another in one precision only.

    Args:
        model: Not touched; an adapter is merged first.
        faster: Least speedup of matrix products that is worth rounding.
        within_nats: Largest difference of a likely token's log-prob that is taken.

    Returns:
        The model, rounded or as it was given, and what was measured.

    Example:
        >>> from superalign.models import base
        >>> in_half(base("small"), faster=1e9).rounded
        False
    """
    nothing = float("nan")
    if model.rounded:
        return InHalf(model=model, speedup=nothing, largest_nats=nothing, mean_nats=nothing, within_nats=within_nats)
    speedup = products_gain(int(model.network.get_input_embeddings().weight.shape[1]))
    kept = InHalf(model=model, speedup=speedup, largest_nats=nothing, mean_nats=nothing, within_nats=within_nats)
    if model.network.device.type != "cpu" or speedup < faster or _narrow(model) or scattered(model.network):
        return kept
    network = copy.deepcopy(merge(model).network)
    for parameter in network.parameters():  # not the buffers: frequencies of rotary positions need their bits
        parameter.requires_grad_(False)
        parameter.data = parameter.data.to(torch.bfloat16)
    half = dataclasses.replace(model, network=network, rounded=True)
    gap = torch.cat([_gap(model, half, prompt) for prompt in PROMPTS])
    largest, mean = float(gap.max()), float(gap.mean())
    within = largest <= within_nats  # not where it is no number
    return dataclasses.replace(kept, model=half if within else model, largest_nats=largest, mean_nats=mean)


def _narrow(model: Model) -> bool:
    """Whether the weights have fewer than 32 bits already."""
    return any(p.dtype != torch.float32 for p in model.network.parameters())


def _gap(model: Model, half: Model, prompt: str) -> Tensor:
    """How far apart the likely tokens' log-probs are at each place of a prompt and a response, (T * K,) nats."""
    prompts, responses = encode(model, [prompt], [SAID])
    whole_T = np.concatenate([prompts[0], responses[0]])[: positions(model.network)]
    tokens_1T = torch.from_numpy(whole_T).unsqueeze(0)
    with torch.no_grad():
        one_TV, other_TV = (torch.log_softmax(forward_logits(m.network, tokens_1T)[0], -1) for m in (model, half))
    top_TK = one_TV.topk(min(LIKELY, one_TV.shape[-1])).indices
    return (one_TV.gather(-1, top_TK) - other_TV.gather(-1, top_TK)).abs().flatten()


def products_gain(width: int) -> float:
    """Measure how much faster matrix products of a width are in 16 bits than in 32 on this machine's CPU.

    Returns:
        Median CPU time in 32 bits over that in 16: below 1 where the processor has no unit for them.

    Example:
        >>> products_gain(64) > 0
        True
    """
    with torch.inference_mode():
        wide = torch.ones(ROWS, width), torch.ones(4 * width, width)
        return _seconds(wide) / _seconds([part.to(torch.bfloat16) for part in wide])


def _seconds(parts: Sequence[Tensor]) -> float:
    """Median CPU time of a product."""
    taken = []
    for _ in range(REPEATS + 1):
        began = time.process_time_ns()
        torch.mm(parts[0], parts[1].t())
        taken.append(time.process_time_ns() - began)
    return statistics.median(taken[1:]) / 1e9
