"""Weighted token batches: what supervised training and pre-training feed to `fit`.

Shape suffixes: B batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from superalign.models import forward_logits
from superalign.train.losses import weighted_nats


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


def weighted_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Weighted language modelling of a batch, through the forward that also samples."""
    device = next(network.parameters()).device
    tokens_BT, weights_BT = batch.tokens_BT.to(device), batch.weights_BT.to(device)
    counts_BT = torch.nn.functional.pad(weights_BT[:, 1:], (0, 1)) > 0  # what predicts a token that counts
    logits_NV = forward_logits(network, tokens_BT, at_BT=counts_BT)
    return weighted_nats(logits_NV, tokens_BT[:, 1:][counts_BT[:, :-1]], weights_BT[:, 1:][counts_BT[:, :-1]])
