"""Long chains of arithmetic, two claims about the value of each, who reads them and who judges: what debates are about.

What a debate is granted stands here: worked training chains for readers, and one check of one operation for a judge.

Shape suffixes: N chains, L operations of a chain.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from superalign.grants.facts import OPERATIONS, VALUES, true_table
from superalign.oversight.debate.halving import Check, Table
from superalign.oversight.debate.held_out import Ground
from superalign.oversight.debate.readers import Reader, ReaderConfig, Worked, beliefs_of, train_reader
from superalign.problems import arithmetic
from superalign.problems.family import split_of
from superalign.stats.streams import seed_for, stream


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
    rng, out = stream(seed, "chains", split, length), list[str]()
    while len(out) < n:
        prompt = arithmetic.draw(rng, length)
        if split_of(prompt) == split:
            out.append(prompt)
    return out


def disputed(prompts: list[str], seed: int) -> Table:
    """Put the true value of each chain on side 0 and a false one on side 1."""
    start_N, op_NL = encode(prompts)
    true_N = np.array([int(arithmetic.solve(p).answer or 0) for p in prompts])
    false_N = (true_N + stream(seed, "false claims").integers(1, VALUES, len(prompts))) % VALUES
    return Table(op_BL=op_NL, start_B=start_N, claim_B2=np.stack([true_N, false_N], 1))


def values_along(table: Table, check: Check) -> np.ndarray:
    """Work every operation out in turn, by a check that may be wrong about some: the value after each, (N, L)."""
    value_N, out = table.start_B, list[np.ndarray]()
    for t in range(table.op_BL.shape[1]):
        value_N = check(table.op_BL[:, t], value_N)
        out.append(value_N)
    return np.stack(out, 1)


def check_of(accuracy: float, seed: int) -> Check:
    """Make a judge's check of one operation, wrong for good about a share of all elementary facts."""
    facts, rng = true_table(), stream(seed, "judge errors")
    wrong = rng.random(facts.shape) >= accuracy
    believed = np.where(wrong, (facts + rng.integers(1, VALUES, facts.shape)) % VALUES, facts)
    return lambda op, before: believed[op, before]


def _worked(length: int, seed: int, size: int = 256) -> Callable[[int], Worked]:
    start_N, op_NL = encode(chains("train", 8000, length, seed_for(seed, "judge's training chains")))
    facts = check_of(1.0, 0)
    value_NL = values_along(Table(op_BL=op_NL, start_B=start_N, claim_B2=np.zeros((len(start_N), 2), int)), facts)

    def draw(step: int) -> Worked:
        some = stream(seed, "batches", step).integers(0, len(start_N), size)
        return start_N[some], op_NL[some], value_NL[some]

    return draw


@functools.lru_cache(maxsize=4)
def readers(length: int, seed: int) -> tuple[tuple[Reader, float], ...]:
    """Train one reader and keep it at many stages, each with the share of whole training chains that it reads right."""
    last = 128 + 24 * length  # by then every seed tried reads whole chains almost without error
    stages = tuple(range(0, last + 1, 10))
    kept = train_reader(
        _worked(length, seed),
        operations=OPERATIONS,
        values=VALUES,
        checkpoints=stages,
        config=ReaderConfig(),
        seed=seed,
    )
    table = disputed(chains("train", 1000, length, seed_for(seed, "judge's test chains")), seed)
    start, op = torch.from_numpy(table.start_B), torch.from_numpy(table.op_BL)
    true_N = table.claim_B2[:, 0]
    return tuple((r, float((r(start, op)[:, -1].argmax(-1).numpy() == true_N).mean())) for r in kept)


def reader_of(length: int, seed: int, ability: float) -> Reader:
    """Return the stage of a seed's reader whose share of whole chains read right is closest to an ability."""
    return min(readers(length, seed), key=lambda stage: abs(stage[1] - ability))[0]


def ground_of(split: str, n: int, length: int, *, seeds: tuple[int, int], reader: Reader, check: Check) -> Ground:
    """Draw chains of a split, put a false value beside the true one of each, and let a reader read them.

    Args:
        split: train or test.
        n: Chains.
        length: Operations of each.
        seeds: Of the chains, and of the false values.
        reader: Whose beliefs both debaters hold.
        check: The judge's.
    """
    table = disputed(chains(split, n, length, seeds[0]), seeds[1])
    return Ground(table=table, beliefs=beliefs_of(reader, table.op_BL), check=check)
