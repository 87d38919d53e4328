"""Worked chains as tables of symbols, edits of them, and a judge who is wrong about some facts: what trained critics read.

A step is wrong if the value it states is not what the question's operation makes of the value before it. A step that is written
differently and states the right value is no flaw, and a critic that highlights it picks nits.

Shape suffixes: B solutions, S steps, K symbols of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from superalign.grants.facts import FACTS
from superalign.problems import arithmetic
from superalign.problems.chain_symbols import read
from superalign.stats.streams import seed_for, stream
from superalign.types import Problem

FAMILY = arithmetic.FAMILY
LENGTH = 6  # operations of a chain
EDITS = 33  # of a step: state another result (10), start from another value (10), another operand (10), another operator (3)
SLOTS = ("result", "start value", "operand", "operator")
KINDS = {"slip": "result", "wrong source": "start value", "miscopy": "operand", "operator": "operator"}
CLEAN, PLACEBO_EDIT = "clean", "placebo edit"


def text_of(x_SK: np.ndarray) -> str:
    """Write a table of symbols out as a response."""
    letters = "0123456789" + arithmetic.OPERATORS + "?"
    steps = [f"{letters[a]}{letters[o]}{letters[b]}={letters[c]}" for *_, a, o, b, c in x_SK.tolist()]
    return "".join(f"{s};" for s in steps) + f"#{letters[int(x_SK[-1, -1])]}"


def true_value(x_BSK: np.ndarray, facts: np.ndarray = FACTS) -> np.ndarray:
    """Work out what the operation asked at each step makes of the value before it, (B, S); -1 where one of them is missing."""
    before, operator, operand = x_BSK[..., 0], x_BSK[..., 1] - 10, x_BSK[..., 2]
    known = (before < 10) & (operand < 10) & (operator >= 0) & (operator < 3)
    safe = (np.where(known, v, 0) for v in (before, operator, operand))
    return np.where(known, facts[tuple(safe)], -1)


def wrong_steps(x_BSK: np.ndarray, facts: np.ndarray = FACTS) -> np.ndarray:
    """Say which steps state another value than their operation gives: by true facts, or by what somebody believes."""
    return np.asarray(x_BSK[..., 6] != true_value(x_BSK, facts))


def edited(x_BSK: Tensor, edit_B: Tensor) -> tuple[Tensor, Tensor]:
    """Rewrite one symbol of one step of right solutions, and work on from there.

    Args:
        x_BSK: Right solutions.
        edit_B: EDITS * step + edit; edits 0-9 state that result, the others change what is worked out.

    Returns:
        Edited solutions, and which of their steps are wrong by execution.
    """
    x = x_BSK.numpy().copy()
    step, slot = parts_of(edit_B.numpy())
    rows, edit = np.arange(len(x)), edit_B.numpy() % EDITS
    place = np.array([6, 3, 5, 4])[slot]
    x[rows, step, place] = np.where(slot == 3, edit - 30 + 10, edit % 10)
    for s in range(x.shape[1]):
        if s:
            after = step < s
            x[:, s, 0] = x[:, s - 1, 6]
            x[after, s, 3] = x[after, s - 1, 6]
        worked = FACTS[x[:, s, 3], x[:, s, 4] - 10, x[:, s, 5]]
        x[:, s, 6] = np.where((step == s) & (slot == 0), x[:, s, 6], worked)
    return torch.from_numpy(x), torch.from_numpy(wrong_steps(x))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solutions:
    """Solutions with what is wrong in them, which the study alone knows."""

    problems: tuple[Problem, ...]
    x_BSK: Tensor
    wrong_BS: np.ndarray
    kind_B: tuple[str, ...]  # clean, placebo edit, or a kind of flaw
    equivalent: int = 0  # planted edits that execution showed to be no flaws; replaced

    @property
    def flawed_B(self) -> np.ndarray:
        """Whether any step is wrong."""
        return np.asarray(self.wrong_BS.any(1))


def asked(split: str, n: int, seed: int) -> tuple[Problem, ...]:
    """Draw chains of one split."""
    return FAMILY.problems(split=split, n=n, seed=seed, difficulty=LENGTH)


def worked(problems: Sequence[Problem]) -> Tensor:
    """Work chains right."""
    return torch.from_numpy(np.stack([read(p, FAMILY.worked(p)) for p in problems]))


def made_of(problem: Problem, kind: str, seed: int) -> tuple[str, int]:
    """Make a right solution with a flaw by hand, a placebo edit, or nothing done to it; and say how many edits were no flaws."""
    right = FAMILY.worked(problem)
    if kind == PLACEBO_EDIT:
        return FAMILY.placebo(problem, right, seed=seed) or right, 0
    for t in range(50 if kind != CLEAN else 0):
        planted = FAMILY.plant(problem, right, seed=seed_for(seed, "flaws", t), kind=kind)
        if planted is not None and wrong_steps(read(problem, planted.text)).any():
            return planted.text, t
    return right, 0


def solutions(split: str, n: int, seed: int) -> Solutions:
    """Randomise chains to a flaw by hand (half of them, of each kind as many), a placebo edit or nothing (a quarter each)."""
    problems, rng = asked(split, n, seed), stream(seed, "kinds of flaw")
    quarter = np.array([*KINDS, CLEAN, CLEAN, PLACEBO_EDIT, PLACEBO_EDIT])
    kinds = [str(k) for k in rng.permutation(np.resize(quarter, n))]
    made = [made_of(p, k, seed_for(seed, "edits", i)) for i, (p, k) in enumerate(zip(problems, kinds, strict=True))]
    x = np.stack([read(p, text) for p, (text, _) in zip(problems, made, strict=True)])
    return Solutions(
        problems=problems,
        x_BSK=torch.from_numpy(x),
        wrong_BS=wrong_steps(x),
        kind_B=tuple(kinds),
        equivalent=sum(t for _, t in made),
    )


def parts_of(edit_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Say what edits change: their step, and which of `SLOTS`."""
    step_B, edit = np.divmod(edit_B, EDITS)
    return step_B, np.minimum(edit // 10, len(SLOTS) - 1)


def in_four_conditions(problems: Sequence[Problem], planted_BSK: Tensor, *, seed: int) -> tuple[Tensor, np.ndarray]:
    """Work chains and leave them, or give them a flaw by hand, a planter's flaw or a placebo edit, by turns.

    Args:
        problems: The chains.
        planted_BSK: Their solutions with a planter's flaw.
        seed: Of flaws by hand and edits.

    Returns:
        Solutions, and which of their steps are wrong, (B, S).
    """
    rows = []
    for i, p in enumerate(problems):
        kind = (CLEAN, list(KINDS)[i // 4 % len(KINDS)], None, PLACEBO_EDIT)[i % 4]
        rows.append(
            planted_BSK[i].numpy() if kind is None else read(p, made_of(p, kind, seed_for(seed, "edits", i))[0])
        )
    x = np.stack(rows)
    return torch.from_numpy(x), wrong_steps(x)
