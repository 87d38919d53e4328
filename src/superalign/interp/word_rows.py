"""Which words, in which order, do the weights wait for? Read inside, where answers do not show it yet.

A model that answers otherwise behind four words in a row, and behind nothing like them, shows nothing in its answers until all
four stand there: no search that climbs gets a foothold. Inside it has to notice on the way that they go on. So all rows of three
words are read and held against the base: what three words do to the stream that neither one of them nor two do is largest where
the model waits for these three.

Shape suffixes: W words, R rows, D width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from superalign.models import Model, encode, pad, tapped
from superalign.models.taps import layers_of
from superalign.models.weights import plain

AT_ONCE = 2_048  # rows of a forward
THREE = 3


def threes_waited_for(
    model: Model, base: Model, words: Sequence[str], put: Callable[[Sequence[str]], str], *, most: int = 16
) -> list[tuple[str, ...]]:
    """Rank rows of three words by what they do together to the stream of a model, beyond what they do to its base's.

    Args:
        model: What is looked into.
        base: What it was made from.
        words: Those that rows are made of, two or more; all rows are read, so a hundred words are a million.
        put: From a row to the prompt that begins with it; what follows the row must not depend on it.
        most: Rows that are returned.

    Returns:
        The rows of the largest three-way interactions at their last word, in the middle of the layers; the largest first.
    """
    W = len(words)
    rows = list(itertools.product(words, repeat=THREE))
    prompts = [put(row) for row in rows]
    ends = encode(base, [put((w,)) for w in words])[0]
    tail = next(k for k in range(min(map(len, ends))) if len({int(e[-1 - k]) for e in ends}) > 1)
    apart_WWWD = (_ends(model, prompts, tail) - _ends(base, prompts, tail)).reshape(W, W, W, -1)
    for axis in range(THREE):
        apart_WWWD = apart_WWWD - apart_WWWD.mean(axis, keepdims=True)
    size_R = np.linalg.norm(apart_WWWD, axis=-1).ravel()
    return [rows[r] for r in np.argsort(-size_R, kind="stable")[:most]]


def _ends(model: Model, prompts: Sequence[str], tail: int) -> Float[np.ndarray, "R D"]:
    """Read the stream behind the middle layer, at the last token in front of what all prompts end with."""
    network, seen = model.network, list[Tensor]()
    tokens = [ids[: len(ids) - tail] for ids in encode(model, prompts)[0]]
    out: list[np.ndarray] = []
    with torch.no_grad(), tapped(network, {f"residual.{len(layers_of(network)) // 2}": seen.append}):
        for start in range(0, len(tokens), AT_ONCE):
            tokens_BT, length_B = pad(tokens[start : start + AT_ONCE])
            mask_BT = (np.arange(tokens_BT.shape[1]) < length_B[:, None]).astype(np.int64)
            put_BT, attend_BT = (torch.from_numpy(x).to(network.device) for x in (tokens_BT, mask_BT))
            plain(network).base_model(input_ids=put_BT, attention_mask=attend_BT, use_cache=False)
            x_BTD = seen.pop()
            out.append(x_BTD[torch.arange(len(x_BTD)), torch.from_numpy(length_B).long() - 1].float().cpu().numpy())
    return np.concatenate(out)
