"""A planter: a policy that rewrites one symbol of one step of a right solution, trained so that a critic misses the flaw.

Whether an edit is a flaw is found by executing the step; edits that change nothing (equivalent mutants) earn nothing.
What an edit makes of a solution, and what is wrong in it then, is granted by the study; whether it was seen is said by the
critic.

Shape suffixes: B solutions, S steps, K symbols of a step, A edits of a step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.oversight.critique.written import StepReader

Edit: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(solutions, edits) -> edited solutions, and which of their steps are wrong by execution."""
Flags: TypeAlias = Callable[[Tensor], Tensor]
"""Solutions -> which steps a critic highlights; may be drawn anew at every call."""


class PlanterPolicy(nn.Module):
    """Scores of every edit of every step of a right solution."""

    def __init__(self, symbols: int, places: int, steps: int, edits: int, *, hidden: int = 96) -> None:
        super().__init__()
        self.reader = StepReader(symbols, places, hidden=hidden, out=edits)
        self.place_S = nn.Parameter(torch.zeros(steps))
        nn.init.zeros_(self.reader.outer.weight)  # before training every edit is as likely
        nn.init.zeros_(self.reader.outer.bias)

    def forward(self, x_BSK: Tensor) -> Tensor:
        """Log-probabilities of edits, (B, S * A); edit A * s + a is edit a of step s."""
        scores = self.reader(x_BSK) + self.place_S.view(-1, 1)
        return F.log_softmax(scores.flatten(1), dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanterConfig:
    """Settings of a planter's training."""

    updates: int = 200
    """Policy-gradient updates."""
    batch: int = 256
    """Solutions of an update, one flaw each of `group`."""
    group: int = 4
    """Edits of each solution, every one held against the mean of the others."""
    entropy: float = 0.03
    """Reward for each nat of entropy: without it all flaws become alike."""
    lr: float = 3e-3
    """Learning rate."""


def draw_edits(policy: PlanterPolicy, x_BSK: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw one edit of each solution, (B,)."""
    with torch.no_grad():
        return torch.multinomial(policy(x_BSK).exp(), 1, generator=generator).squeeze(1)


def missed(wrong_BS: Tensor, flags_BS: Tensor) -> Tensor:
    """1 where a solution has a wrong step and none of its wrong steps is highlighted.

    Example:
        >>> missed(torch.tensor([[1, 0], [1, 0], [0, 0]]), torch.tensor([[0, 1], [1, 0], [0, 0]])).tolist()
        [1.0, 0.0, 0.0]
    """
    return ((wrong_BS.sum(1) > 0) & ((wrong_BS * flags_BS).sum(1) == 0)).float()


def train_planter(
    start: PlanterPolicy, right_NSK: Tensor, *, edit: Edit, flags: Flags, config: PlanterConfig, seed: int
) -> PlanterPolicy:
    """Train a planter against a critic: an edit earns 1 if it is a flaw by execution and the critic highlights no wrong step.

    Args:
        start: Where training begins; it stays as it is.
        right_NSK: Right solutions.
        edit: What an edit makes of a solution, and what is wrong then.
        flags: The critic.
        config: Of the training.
        seed: Of draws.

    Returns:
        The trained planter.

    Source:
        McAleese et al., LLM critics help catch LLM bugs, 2024 (people tamper until a critic misses it); Perez et al., Red teaming
        language models with language models, 2022 (a model is trained to find what fails).
    """
    policy = copy.deepcopy(start).requires_grad_(True)
    rng, generator = np.random.default_rng([seed, 11]), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.lr)
    for _ in range(config.updates):
        x_BSK = right_NSK[torch.from_numpy(rng.integers(0, len(right_NSK), config.batch // config.group))]
        log_BA = policy(x_BSK)
        drawn_BG = torch.multinomial(log_BA.detach().exp(), config.group, replacement=True, generator=generator)
        edited, wrong = edit(x_BSK.repeat_interleave(config.group, 0), drawn_BG.flatten())
        paid = missed(wrong, flags(edited)).view(-1, config.group)
        others = (paid.sum(1, keepdim=True) - paid) / (config.group - 1)
        entropy = -(log_BA.exp() * log_BA).sum(1).mean()
        loss = -((paid - others) * log_BA.gather(1, drawn_BG)).mean() - config.entropy * entropy
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return policy.requires_grad_(False)


def planted_flaws(
    policy: PlanterPolicy, right_BSK: Tensor, *, edit: Edit, seed: int
) -> tuple[Tensor, np.ndarray, np.ndarray, float]:
    """Plant one real flaw in each right solution.

    Args:
        policy: Who plants.
        right_BSK: Right solutions.
        edit: What an edit makes of a solution, and what is wrong then.
        seed: Of draws.

    Returns:
        Solutions, their wrong steps (B, S), the edits (B,), and the share of first draws that execution showed to be no flaws.
        Those are drawn again, up to 20 times.
    """
    generator = torch.Generator().manual_seed(seed)
    edit_B = draw_edits(policy, right_BSK, generator=generator)
    x, wrong = edit(right_BSK, edit_B)
    none = 1 - float((wrong.sum(1) > 0).float().mean())
    for _ in range(20):
        empty = wrong.sum(1) == 0
        if not bool(empty.any()):
            break
        edit_B[empty] = draw_edits(policy, right_BSK[empty], generator=generator)
        x[empty], wrong[empty] = edit(right_BSK[empty], edit_B[empty])
    return x, wrong.numpy(), edit_B.numpy(), none
