"""A critic that writes: a list of highlighted steps, drawn one after the other until it stops.

The policy reads every step of a solution and gives it a score; stopping has a score for each number of highlights so far. The
next word of a critique is drawn from the steps not yet highlighted and the stop.

What a solution looks like to the critic is a table of small numbers that the study makes of a problem and a text; no
answer is in it.

Shape suffixes: B solutions, S steps, K symbols of a step, T turns of a critique.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.errors import BadInput

STOP = -1  # in a written critique: the end, and all after it
NEVER = -1e9
ABSENT = -1  # in a table of symbols: there is no such step


class StepReader(nn.Module):
    """Reads the symbols of one step into a state; symbols of all places share one table of vectors."""

    def __init__(self, symbols: int, places: int, *, hidden: int, out: int, width: int = 16) -> None:
        super().__init__()
        self.places = places
        self.table = nn.Embedding(symbols, width)
        self.inner = nn.Linear(places * width, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.outer = nn.Linear(hidden, out)

    def forward(self, x_BSK: Tensor) -> Tensor:
        """States of all steps, (B, S, out)."""
        seen = self.table(x_BSK.clamp_min(0)).flatten(2)
        states: Tensor = self.outer(F.gelu(self.middle(F.gelu(self.inner(seen)))))
        return states


class CriticPolicy(nn.Module):
    """Scores of the next word of a critique: any step, or stop."""

    def __init__(self, symbols: int, places: int, steps: int, *, hidden: int = 96) -> None:
        super().__init__()
        self.reader = StepReader(symbols, places, hidden=hidden, out=1)
        self.stop_T = nn.Parameter(torch.zeros(steps + 1))  # by highlights so far

    def scores(self, x_BSK: Tensor) -> Tensor:
        """Measure how much each step asks to be highlighted; steps that are not there never do."""
        return self.reader(x_BSK).squeeze(-1).masked_fill(x_BSK[..., 0] == ABSENT, NEVER)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Written:
    """Critiques of B solutions."""

    order_BT: Tensor  # the highlighted steps in order, then STOP
    flags_BS: Tensor  # 1 where a step is highlighted
    logprob_B: Tensor  # of the whole critique, nats

    @property
    def count_B(self) -> Tensor:
        """Highlights of each critique."""
        return self.flags_BS.sum(1)


def _next(scores_BS: Tensor, flags_BS: Tensor, stop_T: Tensor) -> Tensor:
    """Log-probabilities of the next word, (B, S + 1); the last is stop."""
    count_B = flags_BS.sum(1).long().clamp_max(len(stop_T) - 1)
    words = torch.cat([scores_BS.masked_fill(flags_BS > 0, NEVER), stop_T[count_B].unsqueeze(1)], dim=1)
    return F.log_softmax(words, dim=1)


def write(
    policy: CriticPolicy, x_BSK: Tensor, *, generator: torch.Generator | None, forced: int = 0, stop_bias: float = 0.0
) -> Written:
    """Write one critique of each solution.

    Args:
        policy: Who writes.
        x_BSK: Solutions.
        generator: Of the draws; None for the most likely word at each turn.
        forced: So many highlights are drawn before stopping is allowed (as many as there are steps, if fewer).
        stop_bias: Added to the score of stopping: below 0 for longer critiques.

    Returns:
        Critiques, with the log-probability that the policy itself, neither forced nor biased, gives them.
    """
    with torch.no_grad():
        scores_BS = policy.scores(x_BSK)
        B, S = scores_BS.shape
        there_B = (x_BSK[..., 0] != ABSENT).sum(1)
        stop_T = (
            policy.stop_T[: S + 1] if len(policy.stop_T) > S else F.pad(policy.stop_T, (0, S + 1 - len(policy.stop_T)))
        )
        flags_BS, done_B = torch.zeros(B, S), torch.zeros(B, dtype=torch.bool)
        order_BT = torch.full((B, S + 1), STOP)
        total_B = torch.zeros(B)
        for t in range(S + 1):
            own = _next(scores_BS, flags_BS, stop_T)
            drawn = own.clone()
            drawn[:, S] += stop_bias
            drawn[:, S] = drawn[:, S].masked_fill(t < there_B.clamp_max(forced), NEVER)
            if generator is not None:
                drawn = drawn - torch.empty_like(drawn).exponential_(generator=generator).clamp_min(1e-20).log()
            word_B = drawn.argmax(1)
            total_B += torch.where(done_B, 0.0, own.gather(1, word_B.unsqueeze(1)).squeeze(1))
            done_B = done_B | (word_B == S)
            order_BT[:, t] = torch.where(done_B, STOP, word_B)
            flags_BS[~done_B, word_B[~done_B]] = 1.0
            if bool(done_B.all()):
                break
    return Written(order_BT=order_BT, flags_BS=flags_BS, logprob_B=total_B)


def log_probability(policy: CriticPolicy, x_BSK: Tensor, order_BT: Tensor) -> Tensor:
    """Log-probability of written critiques, (B,), in nats; gradients reach the policy."""
    scores_BS = policy.scores(x_BSK)
    B, S = scores_BS.shape
    flags_BS, done_B, total_B = torch.zeros(B, S), torch.zeros(B, dtype=torch.bool), torch.zeros(B)
    for t in range(order_BT.shape[1]):
        word_B = torch.where(order_BT[:, t] == STOP, S, order_BT[:, t])
        own = _next(scores_BS, flags_BS, policy.stop_T).gather(1, word_B.unsqueeze(1)).squeeze(1)
        total_B = total_B + torch.where(done_B, 0.0, own)
        done_B = done_B | (word_B == S)
        if bool(done_B.all()):
            break
        flags_BS = flags_BS + F.one_hot(word_B, S + 1)[:, :S] * (~done_B).unsqueeze(1)
    return total_B


def ideal(wrong_BS: np.ndarray) -> Tensor:
    """Return the critiques that somebody who knows would write: every wrong step, early ones first.

    Example:
        >>> ideal(np.array([[False, True, True], [False, False, False]])).tolist()
        [[1, 2, -1, -1], [-1, -1, -1, -1]]
    """
    B, S = wrong_BS.shape
    order = np.argsort(~wrong_BS, axis=1, kind="stable")
    kept = np.arange(S) < wrong_BS.sum(1, keepdims=True)
    return torch.from_numpy(np.concatenate([np.where(kept, order, STOP), np.full((B, 1), STOP)], axis=1))


def supervise(
    policy: CriticPolicy,
    x_BSK: Tensor,
    wrong_BS: np.ndarray,
    *,
    updates: int,
    seed: int,
    lr: float = 3e-3,
    batch: int = 64,
) -> None:
    """Train a critic to write the ideal critique of solutions whose wrong steps are labelled; it changes in place.

    Raises:
        BadInput: If no step is labelled wrong, or all are.
    """
    if wrong_BS.size == 0 or wrong_BS.all() or not wrong_BS.any():
        raise BadInput(
            f"All {wrong_BS.size} step labels are the same. A critic learns by contrast and would say one thing of every "
            "solution. Give solutions with and without flaws."
        )
    order_BT, rng = ideal(wrong_BS), np.random.default_rng([seed, 3])
    optimizer = torch.optim.AdamW(policy.parameters(), lr=lr, weight_decay=0.01)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda u: max(0.05, 1 - u / updates))
    for _ in range(updates):
        some = torch.from_numpy(rng.integers(0, len(x_BSK), min(batch, len(x_BSK))))
        loss = -log_probability(policy, x_BSK[some], order_BT[some]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        decay.step()
