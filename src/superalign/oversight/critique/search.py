"""Force-sampling beam search of critiques: how long a list of highlights is searched for.

Critiques are drawn that are forced to hold at least so many highlights; the one is kept that has the highest reward plus m times
the number of its highlights. m moves along the frontier of flaws found against nit-picks.

Shape suffixes: B solutions, S steps, K symbols of a step, C candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from superalign.oversight.critique.written import CriticPolicy, write


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Critiques that were drawn for each solution, with what a reward model gives them."""

    flags_CBS: Tensor
    first_CB: Tensor  # the first highlighted step, or STOP
    reward_CB: Tensor

    def chosen(self, m: float) -> tuple[Tensor, Tensor]:
        """Return the candidate with the highest reward + m x highlights: its highlights (B, S), and the first of them (B,)."""
        best_B = (self.reward_CB + m * self.flags_CBS.sum(2)).argmax(0)
        B = torch.arange(self.flags_CBS.shape[1])
        return self.flags_CBS[best_B, B], self.first_CB[best_B, B]


def search(
    policy: CriticPolicy,
    reward: Callable[[Tensor, Tensor], Tensor],
    x_BSK: Tensor,
    *,
    generator: torch.Generator,
    samples: int = 28,
) -> Candidates:
    """Force-sample critiques: as many each with at least 0, 1, 2, ... highlights.

    Args:
        policy: Who writes.
        reward: (solutions, highlights) -> what a reward model gives.
        x_BSK: Solutions.
        generator: Of the draws.
        samples: Candidates for each solution.

    Source:
        McAleese et al., LLM critics help catch LLM bugs, 2024 (arXiv 2407.00215): 28 samples, reward + m x highlights.
    """
    lengths = x_BSK.shape[1] + 1
    candidates = [write(policy, x_BSK, generator=generator, forced=c % lengths) for c in range(samples)]
    with torch.no_grad():
        paid = torch.stack([reward(x_BSK, w.flags_BS) for w in candidates])
    return Candidates(
        flags_CBS=torch.stack([w.flags_BS for w in candidates]),
        first_CB=torch.stack([w.order_BT[:, 0] for w in candidates]),
        reward_CB=paid,
    )


def modifier_at(candidates: Candidates, percentile: float) -> float:
    """Return the m under which the mean number of highlights that are chosen is this percentile of those of the candidates."""
    counts = candidates.flags_CBS.sum(2)
    wanted = float(np.percentile(counts.numpy(), percentile))
    low, high = -20.0, 20.0
    for _ in range(40):
        m = (low + high) / 2
        longer = float(candidates.chosen(m)[0].sum(1).mean()) > wanted
        low, high = (low, m) if longer else (m, high)
    return (low + high) / 2
