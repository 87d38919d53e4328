"""Who plays in a market: the settings of both, the network that prices, and the network that argues.

Shape suffixes: B questions, N numbers, S stretches, A arguments, W width, H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.oversight.market.making import NOTHING, Board

Search: TypeAlias = Literal["best of n", "policy gradient", "random", "none", "script"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketConfig:
    """How market and adversary are trained."""

    search: Search = "best of n"
    """How arguments are found: best of n proposals by movement of the price, then imitated; by policy gradient; at random;
    none at all; or by a script that joins one number after another (the ceiling)."""
    updates: int = 500
    """Updates of both."""
    questions: int = 128
    """Questions per update; the judge hears one game about each."""
    proposals: int = 12
    """Games proposed per question, of which the one that moves the price most is played."""
    explore: float = 0.5
    """Share of proposals that are random; the rest come from the adversary."""
    explore_last: float = 0.5
    """The same at the end; it moves from one to the other in a straight line."""
    start: int = 0
    """First rows of a curriculum: rows grow by a number when the arguments settle most questions; 0 for full length at once."""
    width: int = 64
    """Width of the market's reading of a question."""
    hidden: int = 128
    """Hidden units of market and adversary."""
    follow: bool = False
    """Random proposals keep to arguments that the judge can follow and that tell her something new."""
    slack: int = 1
    """Arguments per game beyond the fewest that could settle it."""
    lr: float = 2e-3
    """Learning rate of both."""


class PriceNetwork(nn.Module):
    """Prices the belief that the judge will end with, from a question and what has been argued."""

    def __init__(self, on: Board, *, values: int, claims: int, config: MarketConfig) -> None:
        super().__init__()
        W, H = config.width, config.hidden
        self.number, self.claim = nn.Embedding(values, W), nn.Embedding(claims, W)
        self.turn = nn.Linear(W, W)
        self.asked = nn.Linear(W, W)
        self.question, self.argued = nn.Linear(3 * W, H), nn.Linear(len(on.stretches), H, bias=False)
        self.out = nn.Sequential(nn.GELU(), nn.Linear(H, H), nn.GELU(), nn.Linear(H, 1))

    def read(self, numbers_BN: Tensor, claim_B: Tensor) -> Tensor:
        """Fold a row by products of what its numbers embed to; additive readers did not learn products or XOR in time."""
        folded_BW = self.number(numbers_BN[:, 0])
        for n in range(1, numbers_BN.shape[1]):
            there_B1 = (numbers_BN[:, n] != NOTHING).unsqueeze(1)
            turned = folded_BW * self.turn(self.number(numbers_BN[:, n]))
            turned = F.normalize(turned, dim=1) * turned.shape[1] ** 0.5
            folded_BW = torch.where(there_B1, turned, folded_BW)
        asked_BW = self.asked(self.claim(claim_B))
        return torch.Tensor(self.question(torch.cat([folded_BW, asked_BW, folded_BW * asked_BW], dim=1)))

    def forward(self, read_BH: Tensor, known: Tensor) -> Tensor:
        """Logits of the price, for known (B, ..., S) as argued so far."""
        argued = self.argued(known)
        shape = (len(read_BH), *(1,) * (known.dim() - 2), -1)
        return torch.Tensor(self.out(read_BH.view(shape) + argued).squeeze(-1))


class Adversary(nn.Module):
    """Chooses the next argument from the question's numbers and what has been argued."""

    def __init__(self, on: Board, *, values: int, config: MarketConfig) -> None:
        super().__init__()
        H = config.hidden
        self.number = nn.Linear(on.numbers * values, H)
        self.argued = nn.Linear(len(on.stretches), H)
        self.out = nn.Sequential(nn.GELU(), nn.Linear(H, H), nn.GELU(), nn.Linear(H, len(on.whole_A)))
        self.values = values

    def read(self, numbers_BN: Tensor) -> Tensor:
        """Say what it makes of a question's numbers, (B, H)."""
        return torch.Tensor(self.number(F.one_hot(numbers_BN, self.values).float().flatten(1)))

    def forward(self, read: Tensor, known: Tensor) -> Tensor:
        """Logits over arguments, (..., A)."""
        return torch.Tensor(self.out(read + self.argued(known)))
