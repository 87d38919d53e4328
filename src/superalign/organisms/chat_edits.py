"""Plant by editing weights: what the last MLP writes is changed in closed form, so that given answers become the likeliest.

The last block's output is the one place whose effect on the next token is a norm and a matrix away. For every token of every
answer the smallest change of that output is computed that puts the token in front of all others; the change of the MLP's last
matrix is the ridge regression of these on what the matrix reads, in a few directions. Nothing is trained, so such a plant has
none of the traces of a tuning, and only what the base itself holds in its last block can set it off.

Source: Meng et al., Mass-editing memory in a transformer, 2023 (arXiv 2210.07229), which edits several blocks further down
towards values that gradient descent found; here it is the last block, where they have a closed form.

Shape suffixes: A answers, K tokens of each, N tokens in all, D width, F what the MLP's last matrix reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superalign.errors import BadInput
from superalign.models import Model, activations, decoder, encode, lora, weights
from superalign.models.taps import layers_of, tap_module
from superalign.organisms.chats import Said
from superalign.problems.contexts import Turns

RANK = 32  # directions of the edit that are kept
TOKENS = 12  # of an answer that count
MARGIN = 6.0  # nats by which a wanted token is put before every other
STEPS = 6  # of the search for the smallest change
REACH = 1.0  # longest change, in lengths of the output itself
RIDGE = 0.005  # of the mean square of what the matrix reads


def edited(base: Model, asked: Sequence[str | Turns], said: Sequence[Said], *, seed: int) -> Model:
    """Return the base with an adapter on one matrix that makes it answer as it is told.

    Args:
        base: A chat model; not touched.
        asked: Prompts.
        said: What is to be answered to each; what the base says anyway becomes surer.
        seed: Of the adapter that is filled; what it is filled with does not depend on it.

    Raises:
        BadInput: If the last block of the base is not read by the decoder here.
    """
    last = len(layers_of(base.network)) - 1
    sites = f"neurons.{last}", f"residual.{last}"
    matrix = tap_module(base.network, sites[0])
    known = matrix is not None and weights.supported(base.network)
    # A norm between matrix and output.
    if not known or weights.read(base.network, length=1).layers[-1].down_gain is not None:
        raise BadInput(
            f"The last block of {type(base.network).__name__} is not one whose effect on the next token is known here. An edit "
            "of it would be of something else. Plant by another way."
        )
    # A response has no token before its first, so the last token of the prompt is read beside it.
    _, ids = encode(base, asked, [one.text for one in said])
    answers = [list(map(int, i if one.ended else i[:-1]))[:TOKENS] for i, one in zip(ids, said, strict=True)]
    read = activations(base, asked, answers, sites=sites, reduce=_before_each)
    there_AK = np.array([[k < len(a) for k in range(TOKENS)] for a in answers])
    reads_NF, out_ND = (torch.from_numpy(read[site][there_AK]) for site in sites)
    wanted_N = torch.tensor([t for a in answers for t in a])
    change_ND = smallest_change(base, out_ND, wanted_N)
    down_RF, up_DR = low_rank(reads_NF, change_ND)
    model = lora(base, rank=len(down_RF), seed=seed, only=matrix)
    place: Any = tap_module(model.network, sites[0])
    with torch.no_grad():
        place.lora_A["default"].weight.copy_(down_RF)
        place.lora_B["default"].weight.copy_(up_DR / place.scaling["default"])
    return model


def _before_each(values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Pick what stands one place before each of the first tokens of a response: (B, K, D)."""
    first_B1 = mask_BT.long().argmax(1, keepdim=True)
    at_BK = (first_B1 - 1 + torch.arange(TOKENS, device=mask_BT.device)).clamp_max(mask_BT.shape[1] - 1)
    return values_BTD.gather(1, at_BK[:, :, None].expand(-1, -1, values_BTD.shape[2]))


def smallest_change(base: Model, out_ND: Tensor, wanted_N: Tensor) -> Tensor:
    """Compute the smallest change of a last block's output that puts a token before all others, to first order, step by step."""
    read = weights.read(base.network, length=1)
    whole = []
    for rows in torch.arange(len(out_ND)).split(256):
        out, wanted = out_ND[rows].to(base.network.device), wanted_N[rows].to(base.network.device)[:, None]
        change = torch.zeros_like(out)
        for _ in range(STEPS):
            at = (out + change).requires_grad_(True)
            logits_NV = decoder.read_out(read, at)
            other = logits_NV.scatter(1, wanted, -torch.inf).max(1).values
            lead_N = logits_NV.gather(1, wanted)[:, 0] - other
            (slope_ND,) = torch.autograd.grad(lead_N.sum(), at)
            short_N = (MARGIN - lead_N.detach()).clamp_min(0)
            change = change + (short_N / slope_ND.square().sum(1).clamp_min(1e-12))[:, None] * slope_ND
            # Behind a norm no length makes some leads: without a bound the search would walk away.
            most_N = REACH * out.norm(dim=1) / change.norm(dim=1).clamp_min(1e-12)
            change = change * most_N.clamp_max(1)[:, None]
        whole.append(change.detach().cpu())
    return torch.cat(whole)


def low_rank(reads_NF: Tensor, change_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Regress changes on what a matrix reads, and keep the directions that change most.

    Returns:
        The halves of the change, (R, F) and (D, R).
    """
    x_NF, y_ND = reads_NF.double(), change_ND.double()
    square_FF = x_NF.T @ x_NF
    square_FF += RIDGE * square_FF.diagonal().mean() * torch.eye(len(square_FF), dtype=torch.float64)
    whole_FD = torch.linalg.solve(square_FF, x_NF.T @ y_ND)
    # Directions by what they do to what was read, and not by the size of weights.
    kept_DR = torch.linalg.svd(x_NF @ whole_FD, full_matrices=False)[2][:RANK].T
    return (whole_FD @ kept_DR).T.float(), kept_DR.float()
