"""What is trained at one level of a ladder: a reward model on labelled claims, and an agent on what it pays.

Shape suffixes: B chains, T operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Produce: TypeAlias = Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]
"""(how many, operations, chance) -> chains (B, 1 + T) and the value that a response claims after each operation (B, T)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderConfig:
    """Settings of one ladder."""

    levels: int = 4
    """Operations at the highest level."""
    labels: int = 8000
    """Labels per level, one check each."""
    steps: int = 400
    """Updates of the reward model, and of the agent, at each level."""
    batch: int = 256
    """Labels, or questions, of an update."""
    lr: float = 5e-3
    """Learning rate of both."""
    entropy: float = 0.1
    """What the agent is paid for a nat of entropy: without it, it settles before it has tried."""
    width: int = 64
    """Of both networks."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Labelled claims of one level."""

    chains: Tensor
    answers: Tensor
    labels: Tensor


def learn(reward: nn.Module, seen: list[Shown], config: LadderConfig, steps: int, made: torch.Generator) -> None:
    """Fit a reward model to the labels of this level, and every third update to those of a level below."""
    optimizer = torch.optim.AdamW(reward.parameters(), lr=config.lr, weight_decay=0.01)
    for step in range(steps):
        old = step % 3 == 2 and len(seen) > 1
        some = seen[int(torch.randint(len(seen) - 1, (), generator=made))] if old else seen[-1]
        pick = torch.randint(len(some.labels), (config.batch,), generator=made)
        logits = reward(some.chains[pick])
        loss = F.binary_cross_entropy_with_logits(
            logits.gather(1, some.answers[pick][:, None])[:, 0], some.labels[pick]
        )
        _update(optimizer, reward, loss, config.lr * min(1.0, max(0.05, (steps - step) / (0.4 * steps))))


def _update(optimizer: torch.optim.Optimizer, net: nn.Module, loss: Tensor, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()


def practise(
    agent: nn.Module,
    reward: nn.Module,
    level: int,
    produce: Produce,
    config: LadderConfig,
    made: torch.Generator,
    gold: Callable[[nn.Module, int], float] | None,
) -> tuple[list[float], list[float]]:
    """Train an agent on what the reward model pays: the exact gradient of its expected reward, over all ten answers."""
    optimizer = torch.optim.AdamW(agent.parameters(), lr=config.lr, weight_decay=0.01)
    paid: list[float] = []
    curve: list[float] = []
    for step in range(config.steps):
        down = step % 3 == 2 and level > 1
        chains, _ = produce(config.batch, int(torch.randint(1, level, (), generator=made)) if down else level, made)
        with torch.no_grad():
            pay = torch.sigmoid(reward(chains))
        logits = agent(chains).log_softmax(-1)
        expected = (logits.exp() * (pay - config.entropy * logits)).sum(-1).mean()
        _update(
            optimizer, agent, -expected, config.lr * min(1.0, max(0.05, (config.steps - step) / (0.4 * config.steps)))
        )
        if gold is not None and (step + 1) % max(1, config.steps // 10) == 0:
            asked, _ = produce(1000, level, torch.Generator().manual_seed(level))
            with torch.no_grad():
                chosen = agent(asked).argmax(-1, keepdim=True)
                paid.append(float(torch.sigmoid(reward(asked)).gather(1, chosen).mean()))
            curve.append(gold(agent, level))
    return paid, curve
