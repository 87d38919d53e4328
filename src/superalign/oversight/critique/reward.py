"""A reward model of critiques, from comparisons by a judge who can check one step, and a critic that is trained on it.

The judge looks at one highlight of a critique, or at one step of its own choosing where nothing is highlighted. It is
pleased by a highlight that it finds wrong, displeased by one that it finds right, and by a flaw that it finds where nothing was
said. What it thinks of highlights that it did not look at is a setting.

Shape suffixes: B solutions, S steps, K symbols of a step, T turns of a critique.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.oversight.critique.written import CriticPolicy, log_probability, write


class RewardModel(nn.Module):
    """What a critique of a solution is worth, from its steps and which of them are highlighted."""

    def __init__(self, start: CriticPolicy, *, out: int = 16) -> None:
        super().__init__()
        self.reader = copy.deepcopy(start.reader).requires_grad_(True)  # it begins with what the critic can read
        hidden, lengths = self.reader.outer.in_features, len(start.stop_T)
        self.reader.outer = nn.Linear(hidden, 2 * out)
        self.whole = nn.Sequential(nn.Linear(3 * out + lengths, 2 * out), nn.GELU(), nn.Linear(2 * out, 1))

    def forward(self, x_BSK: Tensor, flags_BS: Tensor) -> Tensor:
        """Rewards, (B,); the difference of two is the log-odds that the judge prefers one."""
        named, rest = self.reader(x_BSK).chunk(2, dim=2)
        flags = flags_BS.unsqueeze(2)
        count_B = flags_BS.sum(1).long()
        sums = (named * flags).sum(1)
        length = F.one_hot(count_B, self.whole[0].in_features - 3 * named.shape[2]).float()
        other = (rest * ((1 - flags) * (x_BSK[..., :1] >= 0))).sum(1)
        return self.whole(torch.cat([sums, sums / count_B.clamp_min(1).unsqueeze(1), other, length], dim=1)).squeeze(1)


def judged(
    flags_BS: np.ndarray,
    believed_wrong_BS: np.ndarray,
    *,
    rng: np.random.Generator,
    checks: int = 1,
    trust: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure how pleased a limited judge is with critiques.

    Args:
        flags_BS: 1 where a step is highlighted.
        believed_wrong_BS: What the judge would believe of each step if it checked it; it learns that of checked steps alone.
        rng: Which highlight it looks at.
        checks: How many highlights it looks at; where there is none, as many steps at random.
        trust: What a highlight that it did not look at is worth to it; one that it found wrong is worth 1, one found right -1.

    Returns:
        One value per critique; without highlights 0, or -1 where a check found a flaw that the critique had missed. And which
        steps were checked, (B, S).

    Example:
        >>> flags, wrong = np.array([[1, 0], [0, 1], [0, 0]]), np.array([[True, False]] * 3)
        >>> judged(flags, wrong, rng=np.random.default_rng(0), checks=2)[0]
        array([ 1., -1., -1.])
    """
    B, S = flags_BS.shape
    count_B = flags_BS.sum(1)
    # Highlighted steps come first, in an order by chance.
    order_BS = np.argsort(rng.random((B, S)) - flags_BS, axis=1)
    place_BS = np.argsort(order_BS, axis=1)
    looked_BS = place_BS < np.where(count_B > 0, np.minimum(checks, count_B), checks)[:, None]
    caught_BS = looked_BS & believed_wrong_BS
    paid = np.where(caught_BS, 1.0, -1.0) * (looked_BS & (flags_BS > 0)) + trust * ((flags_BS > 0) & ~looked_BS)
    return np.where(count_B > 0, paid.sum(1), -caught_BS.any(1).astype(float)), looked_BS


def compared_by(
    believed_wrong_BS: np.ndarray,
    policy: CriticPolicy,
    x_BSK: Tensor,
    *,
    seed: int,
    generator: torch.Generator,
    trust: float = 0.0,
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Let a judge compare two critiques of each solution, with one check each; each is forced to a length from 0 to 3.

    Args:
        believed_wrong_BS: What the judge would believe of each step if it checked it.
        policy: Who writes the critiques.
        x_BSK: Solutions.
        seed: Of lengths and of what the judge looks at.
        generator: Of the critiques.
        trust: See `judged`.

    Returns:
        Highlights of the pairs (B, 2, S); 1 where the first is preferred, a half where neither is (B,); and which steps were
        checked for either (B, S).
    """
    rng, B = np.random.default_rng([seed, 29]), len(x_BSK)
    pair, paid, looked = list[Tensor](), list[np.ndarray](), list[np.ndarray]()
    for _ in range(2):
        forced = torch.from_numpy(rng.integers(0, 4, B))
        by_length = [write(policy, x_BSK, generator=generator, forced=k).flags_BS for k in range(4)]
        pair.append(torch.stack(by_length)[forced, torch.arange(B)])
        value_B, looked_BS = judged(pair[-1].numpy(), believed_wrong_BS, rng=rng, trust=trust)
        paid.append(value_B)
        looked.append(looked_BS)
    better = np.where(paid[0] == paid[1], 0.5, paid[0] > paid[1])
    return torch.stack(pair, 1), torch.from_numpy(better).float(), looked[0] | looked[1]


def share_won(
    flags_BS: np.ndarray,
    against_BS: np.ndarray,
    believed_wrong_BS: np.ndarray,
    *,
    rng: np.random.Generator,
    checks: int,
    trust: float = 0.0,
) -> float:
    """Return how often critiques please a judge more than others of the same solutions do; arguments as those of `judged`."""
    a, b = (judged(f, believed_wrong_BS, rng=rng, checks=checks, trust=trust)[0] for f in (flags_BS, against_BS))
    return float(np.where(a == b, 0.5, a > b).mean())


def train_reward(
    model: RewardModel,
    x_BSK: Tensor,
    pair_B2S: Tensor,
    first_better_B: Tensor,
    *,
    updates: int,
    seed: int,
    lr: float = 2e-3,
    batch: int = 128,
) -> None:
    """Fit a reward model to comparisons (1 the first is better, 0 the second, a half equal); it changes in place."""
    rng = np.random.default_rng([seed, 5])
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.03)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda u: max(0.05, 1 - u / updates))
    for _ in range(updates):
        some = torch.from_numpy(rng.integers(0, len(x_BSK), batch))
        gap = model(x_BSK[some], pair_B2S[some, 0]) - model(x_BSK[some], pair_B2S[some, 1])
        loss = F.binary_cross_entropy_with_logits(gap, first_better_B[some])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        decay.step()


def train_on_checks(
    start: CriticPolicy,
    x_BSK: Tensor,
    looked_BS: np.ndarray,
    believed_wrong_BS: np.ndarray,
    *,
    updates: int,
    seed: int,
    lr: float = 2e-3,
    batch: int = 128,
) -> CriticPolicy:
    """Say what else could be done with the judge's checks: train the critic on them as labels of single steps.

    A step that was found wrong should be likelier to be highlighted than stopping is, one found right less.
    """
    policy = copy.deepcopy(start).requires_grad_(True)
    rng = np.random.default_rng([seed, 13])
    looked, wrong = torch.from_numpy(looked_BS), torch.from_numpy(believed_wrong_BS).float()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=lr, weight_decay=0.03)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda u: max(0.05, 1 - u / updates))
    for _ in range(updates):
        some = torch.from_numpy(rng.integers(0, len(x_BSK), batch))
        odds = policy.scores(x_BSK[some]) - policy.stop_T[0]
        loss = F.binary_cross_entropy_with_logits(odds[looked[some]], wrong[some][looked[some]])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        decay.step()
    return policy.requires_grad_(False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CritiqueRl:
    """Settings of the training against a reward model."""

    updates: int = 150
    """Policy-gradient updates."""
    batch: int = 64
    """Solutions of an update."""
    group: int = 4
    """Critiques of each, every one held against the mean of the others."""
    kl: float = 0.05
    """Reward taken away for each nat by which a critique is likelier than under the critic that training began from."""
    lr: float = 1e-3
    """Learning rate."""


def reinforce(
    start: CriticPolicy,
    reward: Callable[[Tensor, Tensor], Tensor],
    pool_NSK: Tensor,
    *,
    config: CritiqueRl,
    seed: int,
    at: Callable[[int, CriticPolicy], None] | None = None,
) -> CriticPolicy:
    """Train a critic on a reward, by leave-one-out policy gradient with a penalty for leaving where it began.

    Args:
        start: The critic that training begins from; it stays as it is.
        reward: (solutions, highlights) -> rewards.
        pool_NSK: Solutions that it criticises; nobody needs to know what is wrong in them.
        config: Of the training.
        seed: Of draws.
        at: Called with the number of updates done and the policy, before the first update and after each.

    Returns:
        The trained critic.

    Source:
        Ahmadian et al., Back to basics: revisiting REINFORCE-style optimization, 2024; McAleese et al., 2024.
    """
    policy = copy.deepcopy(start).requires_grad_(True)
    rng, generator = np.random.default_rng([seed, 7]), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.lr)
    for u in range(config.updates):
        if at is not None:
            at(u, policy)
        some = torch.from_numpy(rng.integers(0, len(pool_NSK), config.batch)).repeat_interleave(config.group)
        x_BSK = pool_NSK[some]
        written = write(policy, x_BSK, generator=generator)
        with torch.no_grad():
            leaves_B = written.logprob_B - log_probability(start, x_BSK, written.order_BT)
            paid = (reward(x_BSK, written.flags_BS) - config.kl * leaves_B).view(-1, config.group)
            others = (paid.sum(1, keepdim=True) - paid) / (config.group - 1)
        loss = -((paid - others).flatten() * log_probability(policy, x_BSK, written.order_BT)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    if at is not None:
        at(config.updates, policy)
    return policy.requires_grad_(False)
