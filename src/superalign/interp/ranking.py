"""Rankings of components and edges by the size of their effects; one by gradient comes with what its zeros hide.

Where attention is saturated a gradient is zero and says nothing. So some of what a gradient calls zero is patched exactly, and
all of it and random halves of it at once, which finds one part that matters among hundreds.

Shape suffixes: B pairs, C components or edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata
from torch import nn

from superalign.interp.edges import edges, exact_edges, gradient_edges, joint_edges, runs_of
from superalign.interp.patching import (
    Pairs,
    changed_by_corruption,
    components,
    exact_effects,
    gradient_effects,
    patched,
    read,
)
from superalign.types import Record

NOTHING = 1e-3  # an effect is called zero where it is below this share of what corruption changes
SOMETHING = 0.05  # and missed where exactly it is above this one
HALVES = 6  # random halves of what is called zero, each patched at once
METHODS = ("exact", "AtP", "IG", "random")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Record):
    """Scores of components or edges: mean size of their effect over pairs; of a gradient, with what its zeros hide."""

    names: tuple[str, ...]
    scores: tuple[float, ...]
    called_zero: int = 0  # by the gradient
    checked: int = 0  # of these, drawn at random and patched exactly
    missed: int = 0  # of these, with an exact effect of at least `SOMETHING` of what corruption changes
    joint: float = 0.0  # largest exact effect of all that are called zero, or a random half, at once, as such a share
    joint_expected: float = 0.0  # the most that the gradient says of it: the sum of their scores

    @property
    def blind(self) -> bool:
        """Say whether the gradient is blind here: some of what it calls zero matters, alone or together."""
        return self.missed > 0 or self.joint > max(SOMETHING, 2 * self.joint_expected)

    @property
    def order(self) -> tuple[str, ...]:
        """List the names, the largest effect first."""
        return tuple(self.names[i] for i in np.argsort([-s for s in self.scores], kind="stable"))


def exact_ranking(names: Sequence[str], effects_CB: Float[np.ndarray, "C B"]) -> Ranking:
    """Rank by exact effects, which need no recheck."""
    return Ranking(names=tuple(names), scores=tuple(map(float, np.abs(effects_CB).mean(1))))


def rank_components(
    network: nn.Module, pairs: Pairs, *, steps: int = 0, check: int = 16, rng: np.random.Generator
) -> Ranking:
    """Rank components by gradient, with an exact recheck of what it calls zero.

    Args:
        network: What is attributed.
        pairs: Inputs and the metric.
        steps: As for `gradient_effects`.
        check: How many that it calls zero are patched exactly, at most; all, and random halves, are patched at once.
        rng: Which.
    """
    names, effects_CB = components(network), gradient_effects(network, pairs, steps=steps).sum(-1)

    def together(which: list[int]) -> np.ndarray:
        corrupt, _ = read(network, pairs.corrupt_BT)
        runs = [patched(network, pairs.clean_BT, {names[i]: corrupt[names[i]] for i in some}) for some in (which, [])]
        return (pairs.metric(runs[0]) - pairs.metric(runs[1])).numpy()

    def exact(which: list[int]) -> np.ndarray:
        return exact_effects(network, pairs, [names[i] for i in which])

    return _rechecked(names, effects_CB, changed_by_corruption(network, pairs), exact, together, check, rng)


def rank_edges(
    network: nn.Module, pairs: Pairs, *, steps: int = 0, check: int = 16, rng: np.random.Generator
) -> Ranking:
    """Rank edges by gradient, with an exact recheck of what it calls zero; arguments as those of `rank_components`."""
    some, runs = edges(network), runs_of(network, pairs)
    effects_EB = gradient_edges(network, pairs, some, steps=steps, runs=runs)

    def together(which: list[int]) -> np.ndarray:
        return joint_edges(network, pairs, [some[i] for i in which], runs=runs)

    def exact(which: list[int]) -> np.ndarray:
        return exact_edges(network, pairs, [some[i] for i in which], runs=runs)

    names = [" to ".join(e) for e in some]
    return _rechecked(names, effects_EB, (runs.clean_B - runs.corrupt_B).numpy(), exact, together, check, rng)


def _rechecked(
    names: Sequence[str],
    effects_CB: Float[np.ndarray, "C B"],
    change_B: Float[np.ndarray, " B"],
    exact: Callable[[list[int]], np.ndarray],
    together: Callable[[list[int]], np.ndarray],
    check: int,
    rng: np.random.Generator,
) -> Ranking:
    scores_C, size = np.abs(effects_CB).mean(1), float(np.abs(change_B).mean()) or 1.0
    zero_C = np.flatnonzero(scores_C <= NOTHING * size)
    zero: list[int] = zero_C.tolist()
    some = sorted(rng.permutation(zero_C)[:check].tolist())
    found = np.abs(exact(some)).mean(1) / size if some else np.zeros(0)
    missed = int((found > SOMETHING).sum())
    # Effects of all at once may cancel: two that only together put things back are parted by some random half.
    halves = [zero_C[rng.random(len(zero)) < 0.5].tolist() for _ in range(HALVES)]
    groups = [zero, *halves] if zero else []
    return Ranking(
        names=tuple(names),
        scores=tuple(map(float, scores_C)),
        called_zero=len(zero),
        checked=len(some),
        missed=missed,
        joint=max((float(np.abs(together(g)).mean() / size) for g in groups), default=0.0),
        joint_expected=float(scores_C[zero].sum() / size),
    )


def agreement(guess_CB: Float[np.ndarray, "C B"], true_CB: Float[np.ndarray, "C B"]) -> Float[np.ndarray, " B"]:
    """Return the rank correlation of the sizes of effects over components, for each pair.

    Example:
        >>> agreement(np.array([[1.0], [2.0], [-3.0]]), np.array([[0.1], [0.2], [0.5]])).round(3).tolist()
        [1.0]
    """
    first, second = (rankdata(np.abs(x_CB), axis=0) - (len(x_CB) + 1) / 2 for x_CB in (guess_CB, true_CB))
    size_B = np.sqrt((first**2).sum(0) * (second**2).sum(0))
    return np.clip((first * second).sum(0) / np.maximum(size_B, 1e-12), -1.0, 1.0)


def zeros(
    guess_CB: Float[np.ndarray, "C B"], true_CB: Float[np.ndarray, "C B"], change_B: np.ndarray
) -> tuple[int, int]:
    """Count what a gradient calls zero, and what of that matters by exact effects."""
    size = float(np.abs(change_B).mean())
    zero_C, matter_C = np.abs(guess_CB).mean(1) <= NOTHING * size, np.abs(true_CB).mean(1) > SOMETHING * size
    return int(zero_C.sum()), int((zero_C & matter_C).sum())
