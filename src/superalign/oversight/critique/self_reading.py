"""What a self-critic reads of responses, and the small networks on it that say whether, and where, something is wrong.

Shape suffixes: R responses, S steps of all responses, N what the network looks at (tokens or steps), H networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.models import Model
from superalign.oversight.critique.critic import Spans, read_steps
from superalign.types import Problem, Rollouts

SLOTS = 5  # tokens of a step that are read where steps are read as wholes


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCriticConfig:
    """Settings of the network on top of the frozen states."""

    whole_steps: bool = False
    """Look at steps as wholes and at the model's view of the problem, which needs many labels; else at tokens one by one."""
    hidden: int = 32
    """Hidden units, which D and C share."""
    networks: int = 4
    """Networks trained from different initial weights and averaged."""
    steps: int = 200
    """Updates."""
    batch: int = 128
    """Responses in an update; all of them if there are no more."""
    lr: float = 5e-3
    """Learning rate."""
    weight_decay: float = 0.1
    """Decoupled weight decay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseReading:
    """What the frozen model's states say about the steps of some responses."""

    features_NF: Tensor
    step_N: Tensor  # the step, counted over all responses, that each row belongs to; ascending
    count_R: Int[np.ndarray, " R"]  # steps of each response
    tokens: int

    @property
    def owner_S(self) -> Int[np.ndarray, " S"]:
        """The response that each step stands in."""
        return np.repeat(np.arange(len(self.count_R)), self.count_R)

    @property
    def start_R(self) -> Int[np.ndarray, " R"]:
        """The first step of each response."""
        return np.cumsum(self.count_R) - self.count_R


def read(
    model: Model, problems: Sequence[Problem], rollouts: Rollouts, spans: Spans, *, whole_steps: bool
) -> ResponseReading:
    """Read responses once with the frozen model.

    Args:
        model: Whose states are read.
        problems: Of the rollouts.
        rollouts: The responses.
        spans: text -> where each step begins and ends.
        whole_steps: One row a step (its tokens side by side, and the state before the response); else one row a token.
    """
    token_NF, step_N, count, tokens = read_steps(model, problems, rollouts, spans)
    order = torch.argsort(step_N, stable=True)
    token_NF, step_N, count_R = token_NF[order], step_N[order], np.asarray(count, np.int64)
    if not whole_steps:
        return ResponseReading(features_NF=token_NF, step_N=step_N, count_R=count_R, tokens=tokens)
    S, width = int(count_R.sum()), token_NF.shape[1]
    every_S = torch.arange(S)
    slot_N = torch.arange(len(step_N)) - torch.searchsorted(step_N, every_S)[step_N]
    kept = slot_N < SLOTS
    tokens_SF = torch.zeros(S, SLOTS, width)
    tokens_SF[step_N[kept], slot_N[kept]] = token_NF[kept]
    before = np.repeat(np.cumsum(count_R) - count_R, count_R)  # the state that predicted the response's first token
    whole_SF = torch.cat([tokens_SF.flatten(1), tokens_SF[before, 0, : width // 3]], dim=1)
    return ResponseReading(features_NF=whole_SF, step_N=every_S, count_R=count_R, tokens=tokens)


class Networks(nn.Module):
    """Several networks side by side: shared hidden units, one rate for D and one for C."""

    centre: Tensor
    spread: Tensor

    def __init__(self, width: int, config: SelfCriticConfig, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        H, K = config.networks, config.hidden
        self.inner = nn.Parameter(torch.randn(H, width, K, generator=generator) * width**-0.5)
        self.inner_bias = nn.Parameter(torch.zeros(H, 1, K))
        self.outer = nn.Parameter(torch.randn(H, K, 2, generator=generator) * K**-0.5)
        self.outer_bias = nn.Parameter(torch.full((H, 1, 2), -2.5))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def forward(self, features_NF: Tensor, step_N: Tensor, S: int) -> Tensor:
        """Rates (H, S, 2) at which each step adds to D's and to C's belief that something is wrong."""
        x_NF = (features_NF - self.centre) / self.spread
        hidden = F.gelu(torch.baddbmm(self.inner_bias, x_NF.expand(len(self.inner), -1, -1), self.inner))
        rate_HN2 = F.softplus(torch.baddbmm(self.outer_bias, hidden, self.outer))
        return torch.full((len(self.inner), S, 2), 1e-6).index_add(1, step_N, rate_HN2)
