"""Facts: what every single operation of arithmetic is worth, for graders and for whoever may check a step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from superalign.problems import arithmetic

VALUES, OPERATIONS = arithmetic.MODULUS, len(arithmetic.OPERATORS) * 10


def true_table() -> np.ndarray:
    """List what every operation makes of every value, (operations, values)."""
    facts = [
        [arithmetic.apply(x, arithmetic.OPERATORS[o // 10], o % 10) for x in range(VALUES)] for o in range(OPERATIONS)
    ]
    return np.array(facts)


RESULTS = torch.from_numpy(true_table().T.copy())  # (value before, operation) -> value after
FACTS = RESULTS.numpy().reshape(VALUES, len(arithmetic.OPERATORS), 10)  # (value, operator, operand) -> result


def beliefs(knows: float, seed: int) -> np.ndarray:
    """List the facts as a judge believes them who is wrong for good about a share of them."""
    rng = np.random.default_rng([seed, 17])
    off = rng.random(FACTS.shape) >= knows
    return np.where(off, (FACTS + rng.integers(1, 10, FACTS.shape)) % 10, FACTS)


class VerifiedSteps:
    """Checks of single steps of chains, each distinct one counted once: nobody needs to check the same step again."""

    def __init__(self) -> None:
        self.used = torch.zeros(*RESULTS.shape, VALUES, dtype=torch.bool)

    def __call__(self, before: Tensor, operation: Tensor, after: Tensor) -> Tensor:
        """Say whether steps (value before, operation, value after) are right."""
        self.used[before, operation, after] = True
        return RESULTS[before, operation] == after
