"""Long chains of arithmetic, and two claims about the value of each: what debates are about."""

from __future__ import annotations

import numpy as np

from superalign.grants.facts import VALUES
from superalign.oversight.debate.halving import Table
from superalign.problems import arithmetic
from superalign.problems.family import split_of


def encode(prompts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Start values and operations of chains.

    Example:
        >>> [x.tolist() for x in encode(["5+3*2"])]
        [[5], [[3, 22]]]
    """
    op = [[10 * arithmetic.OPERATORS.index(o) + int(d) for o, d in zip(p[1::2], p[2::2], strict=True)] for p in prompts]
    return np.array([int(p[0]) for p in prompts]), np.array(op)


def chains(split: str, n: int, length: int, seed: int) -> list[str]:
    """Draw n chains of a split, by the hash of their prompts."""
    rng, out = np.random.default_rng([seed, length, *split.encode()]), list[str]()
    while len(out) < n:
        prompt = arithmetic.draw(rng, length)
        if split_of(prompt) == split:
            out.append(prompt)
    return out


def disputed(prompts: list[str], seed: int) -> Table:
    """Put the true value of each chain on side 0 and a false one on side 1."""
    start_N, op_NL = encode(prompts)
    true_N = np.array([int(arithmetic.solve(p).answer or 0) for p in prompts])
    false_N = (true_N + np.random.default_rng([seed, 23]).integers(1, VALUES, len(prompts))) % VALUES
    return Table(op_BL=op_NL, start_B=start_N, claim_B2=np.stack([true_N, false_N], 1))
