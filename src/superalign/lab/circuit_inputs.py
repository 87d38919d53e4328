"""Clean and corrupt inputs of equal length for a real model: steps of chains of a bundled base, or pairs of texts."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import torch

from superalign.errors import DataError
from superalign.interp.patching import Pairs
from superalign.models import Model, encode
from superalign.problems.arithmetic import draw, solve
from superalign.problems.family import split_of
from superalign.problems.text_pairs import TextPair, read_pairs
from superalign.stats.streams import stream

LEAST = 4  # units in each half
DEPTH = 2


def inputs(model: Model, pairs: str, *, split: str, n: int, seed: int) -> Pairs:
    """Draw pairs for a model: from a file if there is one, else first steps of chains.

    Args:
        model: Whose tokens they are.
        pairs: A file of pairs of texts, or nothing.
        split: "train" or "test"; no unit is in both.
        n: Pairs at most, each of another unit.
        seed: Which.
    """
    rng = stream(seed, "circuit inputs", split)
    return (
        text_pairs(model, pairs, split=split, n=n, rng=rng) if pairs else chain_pairs(model, split=split, n=n, rng=rng)
    )


def chain_pairs(model: Model, *, split: str, n: int, rng: np.random.Generator) -> Pairs:
    """Draw chains up to the result of their first step, with another chain as the corrupt one."""
    rows, seen = list[tuple[str, str, str, str]](), set[str]()
    while len(rows) < n:
        clean, corrupt = draw(rng, DEPTH), draw(rng, DEPTH)
        right, wrong = (solve(p).steps[0] for p in (clean, corrupt))
        if split_of(clean) == split and right[-1] != wrong[-1] and clean not in seen:
            seen.add(clean)
            rows.append((clean, corrupt, right, wrong))
    prompts = [r[0] for r in rows] + [r[1] for r in rows]
    steps = [r[2] for r in rows] + [r[3] for r in rows]
    ids = [np.concatenate(pair) for pair in zip(*encode(model, prompts, steps, end=False), strict=True)]
    whole = np.stack(ids)  # every character is one token, so all are of one length
    return _pairs(whole[:n, :-1], whole[n:, :-1], whole[:n, -1], whole[n:, -1])


def text_pairs(model: Model, path: str, *, split: str, n: int, rng: np.random.Generator) -> Pairs:
    """Read pairs of texts whose tokens are as many, and whose answers begin with different tokens; one pair of each unit.

    Raises:
        DataError: If too few units are left in a half.
    """
    rows: dict[tuple[str, ...], list[tuple[list[int], list[int], int, int]]] = {}
    for pair in read_pairs(path):
        ids = _ids(model.tokenizer, pair)
        if len(ids[0]) == len(ids[1]) and ids[2] != ids[3]:
            rows.setdefault(pair.unit, []).append(ids)
    length = Counter(len(r[0]) for some in rows.values() for r in some)
    common = max(length, key=lambda k: length[k], default=0)
    able = {u: [r for r in some if len(r[0]) == common] for u, some in rows.items()}
    # Units in an order that their own words decide, every other one for testing: halves are as large in small files.
    units = sorted((u for u in able if able[u]), key=lambda u: hashlib.sha256(" ".join(u).encode()).digest())
    half = units[split == "test" :: 2]
    if len(units) < 2 * LEAST:
        raise DataError(
            f"{path} has {len(units)} units whose texts have as many tokens as each other. A circuit that is chosen on some "
            f"could not be tested on others. Give pairs that differ in at least {2 * LEAST} different words."
        )
    chosen = [able[u][rng.integers(len(able[u]))] for u in (half[i] for i in rng.permutation(len(half))[:n])]
    columns = [np.array(c) for c in zip(*chosen, strict=True)]
    return _pairs(columns[0], columns[1], columns[2], columns[3])


def _ids(tokenizer: Any, pair: TextPair) -> tuple[list[int], list[int], int, int]:
    texts = (pair.clean, pair.corrupt, pair.right, pair.wrong)
    clean, corrupt, right, wrong = (
        list(tokenizer(t, add_special_tokens=i < 2)["input_ids"]) for i, t in enumerate(texts)
    )
    return clean, corrupt, right[0], wrong[0]


def _pairs(clean_BT: np.ndarray, corrupt_BT: np.ndarray, right_B: np.ndarray, wrong_B: np.ndarray) -> Pairs:
    """Pairs that are read at their last token."""
    last_B = np.full(len(clean_BT), clean_BT.shape[1] - 1)
    a, b, c, d, e = (
        torch.from_numpy(np.asarray(x, np.int64)) for x in (clean_BT, corrupt_BT, last_B, right_B, wrong_B)
    )
    return Pairs(clean_BT=a, corrupt_BT=b, at_B=c, right_B=d, wrong_B=e)
