"""The two games of amplification with known truth: what an overseer may look up, the graders, and held-out questions.

Shape suffixes: B questions, N elements, P rows of questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from superalign.grants.facts import RESULTS
from superalign.oversight.amplification.games import Expressions, Permutations
from superalign.oversight.amplification.teachers import Answer
from superalign.stats.streams import seed_for

Game: TypeAlias = Permutations | Expressions


def looked_up(questions: Tensor) -> Tensor:
    """Return what one operation is worth: all that the overseer can look up."""
    return worked(questions)


def worked(questions: Tensor) -> Tensor:
    """Return the value of each chain of operations: the grader of expressions."""
    value_B = questions[:, 0]
    for t in range(1, questions.shape[1]):
        value_B = RESULTS[value_B, questions[:, t]]
    return value_B


def powered(sigma_BN: Tensor, doublings: int) -> Tensor:
    """Return where each element is after 2^doublings applications: the grader of permutations.

    Example:
        >>> powered(torch.tensor([[1, 2, 0]]), 1).tolist()
        [[2, 0, 1]]
    """
    for _ in range(doublings):
        sigma_BN = sigma_BN.gather(1, sigma_BN)
    return sigma_BN


def truth_of(game: Game) -> Answer:
    """Return who knows every answer of a game."""
    return powered if isinstance(game, Permutations) else lambda questions, depth: worked(questions)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Held-out questions of one depth, with what is correct."""

    depth: int
    asked: Tensor
    right: Tensor
    counts: Tensor  # False where the answer is the element itself: who says "nothing moves" would be right

    def wrong_P(self, answer: Answer) -> np.ndarray:
        """Return the share of wrong answers in each row that has a question that counts."""
        rows = len(self.asked)
        hit = ((answer(self.asked, self.depth) != self.right) & self.counts).float().reshape(rows, -1).sum(1)
        of = self.counts.float().reshape(rows, -1).sum(1)
        return np.asarray((hit / of)[of > 0].double().numpy())


def held_out(game: Game, n: int) -> list[HeldOut]:
    """Draw the questions of every depth that each arm and seed is tested on."""
    out = []
    for depth in range(game.depths + 1):
        made = torch.Generator().manual_seed(seed_for(0, "held out", depth if isinstance(game, Expressions) else 0))
        asked = game.draw(n, depth, made)
        right = truth_of(game)(asked, depth)
        still = torch.arange(asked.shape[1]) if isinstance(game, Permutations) else torch.full_like(right, -1)
        out.append(HeldOut(depth, asked, right, right != still))
    return out
