"""Weighted token batches: what supervised training and pre-training feed to `fit`.

Shape suffixes: B batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from superalign.models.forward import logprobs_at


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids and what each counts in the loss, both (B, T)."""

    tokens_BT: Tensor
    weights_BT: Tensor


def collate(rows: Sequence[tuple[Sequence[int], Sequence[float]]], *, pad: int) -> Batch:
    """Put encoded documents side by side, padded on the right with tokens that count nothing.

    Example:
        >>> collate([([5, 6], [0.0, 1.0]), ([7], [1.0])], pad=0).tokens_BT.tolist()
        [[5, 6], [7, 0]]
    """
    longest = max(len(ids) for ids, _ in rows)
    tokens_BT = np.full((len(rows), longest), pad, np.int64)
    weights_BT = np.zeros((len(rows), longest), np.float32)
    for b, (ids, counts) in enumerate(rows):
        tokens_BT[b, : len(ids)], weights_BT[b, : len(ids)] = ids, counts
    return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(weights_BT))


def split_batch(batch: Batch, parts: int) -> list[tuple[Batch, float]]:
    """Split a batch into at most so many smaller ones, each with its share of the weights that count.

    What stands behind the last token that counts in any document of a part is left out, so that documents in order of their
    length are less padded in parts than together.

    Returns:
        Parts whose weighted losses, times their shares, add up to the loss of the batch; at least one document each.

    Example:
        >>> whole = collate([([5, 6], [0.0, 1.0]), ([7, 8], [0.0, 3.0])], pad=0)
        >>> [share for _, share in split_batch(whole, 4)]
        [0.25, 0.75]
    """
    total = batch.weights_BT[:, 1:].sum().clamp_min(1e-8)
    some = np.array_split(np.arange(len(batch.tokens_BT)), min(parts, len(batch.tokens_BT)))
    last_B = (torch.arange(batch.tokens_BT.shape[1]) * (batch.weights_BT > 0)).amax(dim=1)
    parts_of = []
    for rows in some:
        end = int(last_B[rows].max()) + 1
        weights_BT = batch.weights_BT[rows, :end]
        parts_of.append((Batch(batch.tokens_BT[rows, :end], weights_BT), float(weights_BT[:, 1:].sum() / total)))
    return parts_of


def update_bytes(network: nn.Module, batch: Batch) -> int:
    """Estimate the memory that one update of an adapter takes beside the weights, in bytes: a bound to plan with, in 32 bits.

    Logits with their log-probs and gradients, what each layer keeps of each token, matrices with their adapters merged, and
    the adapter's own gradients and averages.
    """
    config = network.config
    vocabulary, width, layers, heads = (
        int(getattr(config, name, least) or least)
        for name, least in (("vocab_size", 1), ("hidden_size", 1), ("num_hidden_layers", 1), ("num_attention_heads", 1))
    )
    inner = int(getattr(config, "intermediate_size", 0) or 4 * width)
    rows, tokens = batch.tokens_BT.shape
    logits = 4 * int((batch.weights_BT > 0).sum()) * vocabulary
    kept = rows * tokens * layers * (12 * width + 4 * inner + 2 * heads * tokens)
    merged = 2 * sum(p.numel() for p in network.parameters())
    adapter = 4 * sum(p.numel() for p in network.parameters() if p.requires_grad)
    return 4 * (logits + kept + merged + adapter)


def weighted_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Weighted language modelling of a batch, through the forward that also samples."""
    device = next(network.parameters()).device
    tokens_BT, weights_BT = batch.tokens_BT.to(device), batch.weights_BT.to(device)
    counts_BT = torch.nn.functional.pad(weights_BT[:, 1:], (0, 1)) > 0  # what predicts a token that counts
    row_N, at_N = counts_BT.nonzero(as_tuple=True)
    logprob_N = logprobs_at(network, tokens_BT, None, row_N, at_N, tokens_BT[row_N, at_N + 1])
    weight_N = weights_BT[row_N, at_N + 1]
    return -(logprob_N * weight_N).sum() / weight_N.sum().clamp_min(1e-8)
