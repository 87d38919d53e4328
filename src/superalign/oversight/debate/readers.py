"""What a debater can see for itself: a small recurrent reader of chains of operations, and its beliefs about every segment.

A reader is trained by imitation on chains whose values the study grants; how long is the dial of its ability. Its mistakes
are its own: the same on every reading, and more of them the longer the segment.

Shape suffixes: N chains, L operations of a chain (a power of two), T operations of a segment, S segments of one length, V values.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from superalign.errors import ConfigError

Beliefs: TypeAlias = tuple[Tensor, ...]  # by halving, whole chain first: (N, S, V from, V to), each row a distribution
Worked: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]  # start_N, op_NT, value after each operation (N, T)

ROWS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderConfig:
    """Settings of a reader."""

    width: int = 48
    """State."""
    lr: float = 4e-3
    """Learning rate."""


class Reader(nn.Module):
    """Reads operations one by one from a start value; after each it says what the value is."""

    def __init__(self, operations: int, values: int, width: int) -> None:
        super().__init__()
        self.start = nn.Embedding(values, width)
        self.operation = nn.Embedding(operations, width)
        self.cell = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, values)

    def forward(self, start_N: Tensor, op_NT: Tensor) -> Tensor:
        """Logits of the value after each operation, (N, T, V)."""
        states_NTD, _ = self.cell(self.operation(op_NT), self.start(start_N)[None])
        said: Tensor = self.out(states_NTD)
        return said


def train_reader(
    draw: Callable[[int], Worked],
    *,
    operations: int,
    values: int,
    checkpoints: Sequence[int],
    config: ReaderConfig,
    seed: int,
) -> list[Reader]:
    """Train one reader by imitation and keep it at several stages.

    Args:
        draw: step -> worked chains; a privilege that the study grants.
        operations: Kinds of operation.
        values: How many values there are.
        checkpoints: Updates after which to keep a copy, rising; 0 for the untrained one.
        config: Settings.
        seed: Of the initial weights.

    Returns:
        One reader per checkpoint.

    Raises:
        ConfigError: If the checkpoints do not rise.
    """
    if not checkpoints or any(a >= b for a, b in itertools.pairwise(checkpoints)):
        raise ConfigError(
            f"The checkpoints {tuple(checkpoints)} do not rise. Abilities would come out in another order than they are named. "
            "Give at least one, smallest first."
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        reader = Reader(operations, values, config.width)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=config.lr, weight_decay=0.0)
    kept = []
    for step in range(checkpoints[-1] + 1):
        if step in checkpoints:
            kept.append(copy.deepcopy(reader).eval().requires_grad_(False))
        start_N, op_NT, value_NT = (torch.from_numpy(x) for x in draw(step))
        loss = F.cross_entropy(reader(start_N, op_NT).flatten(0, 1), value_NT.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
    return kept


def halvings(length: int) -> int:
    """Measure how often a chain can be halved down to one operation.

    Raises:
        ConfigError: If its length is not a power of two of at least two.

    Example:
        >>> halvings(8)
        3
    """
    if length < 2 or length & (length - 1):
        raise ConfigError(
            f"A chain of {length} operations cannot be halved down to one. Both halves of a dispute must be equally long. "
            "Choose 2, 4, 8 or 16."
        )
    return length.bit_length() - 1


def beliefs_of(reader: Reader, op_NL: np.ndarray) -> Beliefs:
    """Read every segment that halving can reach, from every value that it could start at.

    Args:
        reader: Whose beliefs.
        op_NL: Operations of the chains.

    Returns:
        By halving: `beliefs[h][n, s, v]` is the distribution of the value at the end of segment s, if it starts at v.
    """
    (N, L), V = op_NL.shape, reader.out.out_features
    op, out = torch.from_numpy(op_NL), []
    with torch.no_grad():
        for h in range(halvings(L) + 1):
            parts, T = op.reshape(-1, L >> h), L >> h  # (N * S, T)
            whole = parts.repeat_interleave(V, 0)
            start = torch.arange(V).repeat(len(parts))
            said = [
                reader(s, o)[:, T - 1]
                for s, o in zip(start.split(ROWS_AT_ONCE), whole.split(ROWS_AT_ONCE), strict=True)
            ]
            out.append(torch.cat(said).softmax(-1).reshape(N, 1 << h, V, V))
    return tuple(out)


def packed(reader: Reader) -> str:
    """Write a reader's weights as text.

    Example:
        >>> reader = Reader(3, 10, 2)
        >>> packed(reader_from(packed(reader))) == packed(reader)
        True
    """
    return json.dumps({name: w.tolist() for name, w in reader.state_dict().items()})


def reader_from(text: str) -> Reader:
    """Read weights that `packed` wrote; the reader is not to be trained further."""
    state = {name: torch.tensor(w) for name, w in json.loads(text).items()}
    values, width = state["start.weight"].shape
    reader = Reader(len(state["operation.weight"]), values, width)
    reader.load_state_dict(state)
    return reader.eval().requires_grad_(False)
