"""How many flaws a critic finds against how many nit-picks it makes, and critics that are set to as many nit-picks.

A nit-pick is a highlighted step that is right.

Shape suffixes: B solutions, S steps, L levels of nit-picks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from superalign.oversight.critique.flaw_planter import Flags
from superalign.oversight.critique.search import search
from superalign.oversight.critique.written import CriticPolicy, write


def flags_of(policy: CriticPolicy, x_BSK: Tensor, *, seed: int, bias: float = 0.0) -> np.ndarray:
    """Draw a critique of each solution and return which steps it highlights, (B, S)."""
    drawn = write(policy, x_BSK, generator=torch.Generator().manual_seed(seed), stop_bias=bias)
    return drawn.flags_BS.numpy() > 0


def drawn_anew(policy: CriticPolicy, bias: float) -> Flags:
    """Return a critic's highlights as what draws them anew at every call."""
    seeds = itertools.count()

    def flags(x_BSK: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(next(seeds))
        return write(policy, x_BSK, generator=generator, stop_bias=bias).flags_BS

    return flags


def caught(flags_BS: np.ndarray, wrong_BS: np.ndarray) -> np.ndarray:
    """Say whether some wrong step of each solution is highlighted.

    Example:
        >>> caught(np.array([[True, False]] * 2), np.array([[True, True], [False, True]])).tolist()
        [True, False]
    """
    return np.asarray((flags_BS & wrong_BS).any(1))


def nitpicks(flags_BS: np.ndarray, wrong_BS: np.ndarray) -> np.ndarray:
    """Count the highlighted steps of each solution that are right."""
    return np.asarray((flags_BS & ~wrong_BS).sum(1).astype(float))


def bias_at(policy: CriticPolicy, x_BSK: Tensor, wrong_BS: np.ndarray, level: float) -> float:
    """Find the stop bias under which a critic makes about so many nit-picks a solution."""
    low, high = -12.0, 12.0
    for _ in range(12):
        bias = (low + high) / 2
        more = nitpicks(flags_of(policy, x_BSK, seed=1, bias=bias), wrong_BS).mean() > level
        low, high = (bias, high) if more else (low, bias)
    return (low + high) / 2


def modifier_for(
    policy: CriticPolicy, reward: Callable[[Tensor, Tensor], Tensor], x_BSK: Tensor, wrong_BS: np.ndarray, level: float
) -> float:
    """Find the modifier of a search that makes about so many nit-picks a solution."""
    candidates = search(policy, reward, x_BSK, generator=torch.Generator().manual_seed(2))
    low, high = -20.0, 20.0
    for _ in range(30):
        m = (low + high) / 2
        more = nitpicks(candidates.chosen(m)[0].numpy() > 0, wrong_BS).mean() > level
        low, high = (low, m) if more else (m, high)
    return low


def frontier(
    points: Sequence[np.ndarray], wrong_BS: np.ndarray, levels: Sequence[float]
) -> tuple[list[tuple[float, float]], np.ndarray]:
    """Draw a critic's frontier from its critiques at several settings.

    Between two points, and between the shortest and silence, a critic can be drawn by chance; so the frontier is a broken line.

    Args:
        points: Highlights at each setting, (B, S).
        wrong_BS: Which steps are wrong.
        levels: Nit-picks a solution.

    Returns:
        Its corners as (nit-picks a solution, share of flaws caught), and for each level whether each flawed solution is caught,
        (L, flawed).
    """
    flawed = wrong_BS.any(1)
    corners = [(0.0, np.zeros(int(flawed.sum()))), (float((~wrong_BS).sum(1).mean()), np.ones(int(flawed.sum())))]
    corners += [(float(nitpicks(f, wrong_BS).mean()), caught(f, wrong_BS)[flawed].astype(float)) for f in points]
    corners.sort(key=lambda c: (c[0], c[1].mean()))
    at = np.array([c[0] for c in corners])
    out = []
    for level in levels:
        high = int(np.searchsorted(at, level, side="left").clip(1, len(at) - 1))
        share = (level - at[high - 1]) / max(1e-9, at[high] - at[high - 1])
        out.append((1 - share) * corners[high - 1][1] + share * corners[high][1])
    return [(c[0], float(c[1].mean())) for c in corners], np.array(out)
