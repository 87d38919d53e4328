"""A small recurrent network that reads a chain of operations and gives a number to each digit that it may be worth.

A chain is a row: its first digit, then one code per operation (10 x operator + digit).

Shape suffixes: B chains, T operations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

OPERATIONS, DIGITS = 30, 10


class ChainReader(nn.Module):
    """A recurrent network that reads an expression and says what it is worth."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.step = nn.Embedding(10, width), nn.Embedding(30, width)
        self.cell = nn.GRU(width, width, batch_first=True)
        self.out = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 10))

    def forward(self, questions: Tensor, depth: int = 0) -> Tensor:
        """Logits of the value of each row (first digit, then one code of operator and digit per operation), (B, 10)."""
        states, _ = self.cell(self.step(questions[:, 1:]), self.first(questions[:, 0])[None].contiguous())
        return self.out(states[:, -1])


def reader(seed: int, *, width: int = 64) -> ChainReader:
    """Make an untrained reader.

    Example:
        >>> reader(0, width=8)(torch.tensor([[5, 3, 12]])).shape
        torch.Size([1, 10])
    """
    torch.manual_seed(seed)
    return ChainReader(width)
