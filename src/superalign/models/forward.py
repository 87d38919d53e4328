"""The one forward over token ids that samples, scores and trains: our decoder where it knows the network, else its own.

Shape suffixes: R rollouts, B sequences, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int32, Int64
from torch import Tensor, nn

from superalign.models import decoder as D
from superalign.models import weights

TOKENS_AT_ONCE = 16_384  # bounds the memory of one forward without gradients


def forward_logits(
    network: nn.Module, tokens_BT: Int[Tensor, "B T"], *, length_B: Int[Tensor, " B"] | None = None
) -> Float[Tensor, "B T V"]:
    """Compute the logits of whole sequences; differentiable, for any causal LM, LoRA included.

    Args:
        network: `model.network`. A wrapped one (DDP, FSDP) runs its own forward.
        tokens_BT: Token ids, right-padded with any valid id.
        length_B: Tokens of each sequence; needed only by networks whose forward is not strictly causal.

    Returns:
        Logits, (B, T, V); those at padding mean nothing.
    """
    B, T = tokens_BT.shape
    if weights.supported(network):
        decoder = weights.read(network, length=T, live=True)
        return D.read_out(decoder, D.stream(decoder, tokens_BT)).view(B, T, -1)
    return own_forward(network, tokens_BT, length_B)


def own_forward(network: Any, tokens_BT: Tensor, length_B: Tensor | None) -> Tensor:
    """Compute the logits (B, T, V) of right-padded sequences with the network's own forward."""
    mask_BT = None
    if length_B is not None:
        mask_BT = (torch.arange(tokens_BT.shape[1], device=tokens_BT.device) < length_B[:, None]).long()
    logits: Tensor = network(input_ids=tokens_BT, attention_mask=mask_BT, use_cache=False).logits
    return logits.float()


def logits_at(network: Any, tokens_BT: Tensor, length_B: Tensor, row_N: Tensor, at_N: Tensor) -> Tensor:
    """Compute the logits (N, V) at some places of right-padded sequences: place `at_N` of row `row_N`."""
    if not weights.supported(network):
        return own_forward(network, tokens_BT, length_B)[row_N, at_N]
    decoder = weights.read(network, length=tokens_BT.shape[1], live=torch.is_grad_enabled())
    return D.read_out(decoder, D.stream(decoder, tokens_BT)[row_N * tokens_BT.shape[1] + at_N])


def states_at(network: Any, tokens_BT: Tensor, length_B: Tensor, row_N: Tensor, at_N: Tensor) -> Float[Tensor, "N D"]:
    """Compute the stream in front of the output layer, (N, D), at some places of right-padded sequences, with gradients.

    Each state is scaled to a mean square of 1; a gain of the last norm is left out where our decoder knows the network.
    """
    if weights.supported(network):
        decoder = weights.read(network, length=tokens_BT.shape[1], live=torch.is_grad_enabled())
        x_ND = D.normalise(D.stream(decoder, tokens_BT, at_M=row_N * tokens_BT.shape[1] + at_N), decoder.norm).float()
    else:
        mask_BT = (torch.arange(tokens_BT.shape[1], device=tokens_BT.device) < length_B[:, None]).long()
        out = network(input_ids=tokens_BT, attention_mask=mask_BT, use_cache=False, output_hidden_states=True)
        x_ND = out.hidden_states[-1][row_N, at_N].float()
    return F.rms_norm(x_ND, x_ND.shape[-1:])


def logprobs_at(
    network: Any, tokens_BT: Tensor, length_B: Tensor | None, row_N: Tensor, at_N: Tensor, token_N: Tensor
) -> Tensor:
    """Compute the log-prob (N,) of one token at some places of right-padded sequences, with gradients where enabled."""
    if not weights.supported(network):
        logits_NV = own_forward(network, tokens_BT, length_B)[row_N, at_N]
        return -F.cross_entropy(logits_NV, token_N, reduction="none")
    decoder = weights.read(network, length=tokens_BT.shape[1], live=torch.is_grad_enabled())
    return D.chosen(decoder, D.stream(decoder, tokens_BT)[row_N * tokens_BT.shape[1] + at_N], token_N)


def positions(network: Any) -> int | None:
    """Return how many tokens a network can read; None if it has no limit or names none."""
    limit = getattr(network.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None  # XLNet says -1


def pad(rows: Sequence[Int[np.ndarray, " _"]]) -> tuple[Int64[np.ndarray, "B T"], Int32[np.ndarray, " B"]]:
    """Put token rows of different lengths into one right-padded array, with their lengths."""
    length_B = np.array([len(row) for row in rows], np.int32)
    out_BT = np.zeros((len(rows), int(length_B.max(initial=0))), np.int64)
    for b, row in enumerate(rows):
        out_BT[b, : len(row)] = row
    return out_BT, length_B


def sequence_logprobs(
    network: nn.Module, prompts: Sequence[Int[np.ndarray, " _"]], responses: Sequence[Int[np.ndarray, " _"]]
) -> Float[Tensor, "R T"]:
    """Compute the log-prob of every response token in one forward, with gradients where they are enabled.

    Args:
        network: `model.network`.
        prompts: Token ids of each templated prompt.
        responses: Token ids of each response.

    Returns:
        Natural log-probs at temperature 1, (R, T) with T the longest response; 0 beyond each end.
    """
    device = next(network.parameters()).device
    joined_BT, length_B = pad([np.concatenate([p, r]) for p, r in zip(prompts, responses, strict=True)])
    tokens_BT = torch.from_numpy(joined_BT).to(device)
    response_RT, size_R = (torch.from_numpy(a).to(device) for a in pad(responses))
    R, T = response_RT.shape
    start_R = torch.tensor([len(p) for p in prompts], device=device)
    within_RT = torch.arange(T, device=device)[None] < size_R[:, None]
    # The logits that predict response token t stand one place before it.
    row_N, t_N = within_RT.nonzero(as_tuple=True)
    at_N = start_R[row_N] + t_N - 1
    whole_R, token_N = torch.from_numpy(length_B).to(device), response_RT[row_N, t_N]
    chosen_N = logprobs_at(network, tokens_BT, whole_R, row_N, at_N, token_N)
    return torch.zeros(R, T, device=device).index_put((row_N, t_N), chosen_N)


def chunks(
    prompts: Sequence[Int[np.ndarray, " _"]], responses: Sequence[Int[np.ndarray, " _"]]
) -> Iterator[Int[np.ndarray, " _"]]:
    """Indices in chunks of similar length that hold at most TOKENS_AT_ONCE tokens each."""
    size = np.array([len(p) + len(r) for p, r in zip(prompts, responses, strict=True)])
    order = np.argsort(-size, kind="stable")
    at = 0
    while at < len(order):
        count = max(1, TOKENS_AT_ONCE // max(1, int(size[order[at]])))
        yield order[at : at + count]
        at += count
