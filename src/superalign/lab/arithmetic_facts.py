"""What every single operation of arithmetic is worth: facts that studies grant to graders, and to whoever may check a step."""

from __future__ import annotations

import numpy as np
import torch

from superalign.problems import arithmetic

VALUES, OPERATIONS = arithmetic.MODULUS, len(arithmetic.OPERATORS) * 10


def true_table() -> np.ndarray:
    """Every operation from every value, (operations, values)."""
    facts = [
        [arithmetic.apply(x, arithmetic.OPERATORS[o // 10], o % 10) for x in range(VALUES)] for o in range(OPERATIONS)
    ]
    return np.array(facts)


RESULTS = torch.from_numpy(true_table().T.copy())  # (value before, operation) -> value after
