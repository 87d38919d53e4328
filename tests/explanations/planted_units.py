"""Text of three made-up registers, and units that are planted in it: what each responds to is known."""

from __future__ import annotations

import functools

import numpy as np

from superalign.explanations.explaining import Bank, bank
from superalign.explanations.programs import Ask, End, simulate
from superalign.explanations.texts import Texts, cut

CORPORA = ("a", "b", "c")
SIGNS = (".", ",", "(", ")", "\n", '"')
WORDS = 400
NOISE = 0.2


@functools.cache
def made_texts(*, seed: int = 0, documents: int = 60, length: int = 128, window: int = 64) -> Texts:
    """Words by Zipf's law with a few that come in pairs, signs in between, and each register with an order of its own."""
    rng = np.random.default_rng(seed)
    words = [*SIGNS, *(f" w{i}x" if i % 3 else f" W{i}" for i in range(WORDS))]
    share = 1 / np.arange(1, WORDS + 1)
    ids, said = {}, {}
    for c, name in enumerate(CORPORA):
        order = np.random.default_rng([seed, c]).permutation(WORDS // 4)  # the commonest words differ between registers
        draw = rng.choice(WORDS, (documents, length), p=share / share.sum())
        draw = np.where(draw < WORDS // 4, order[np.minimum(draw, WORDS // 4 - 1)], draw) + len(SIGNS)
        sign = rng.choice(len(SIGNS), draw.shape)
        some = np.where(rng.random(draw.shape) < 0.25, sign, draw)
        ids[name] = some.tolist()
        said[name] = [f"{name} {d} {' '.join(map(str, row))}" for d, row in enumerate(ids[name])]
    return cut(ids, said, words=words, window=window)


@functools.cache
def made_bank(explained_on: tuple[str, ...] = ()) -> Bank:
    """Prepare the made-up text."""
    return bank(made_texts(), explained_on=explained_on)


def fires(**asked: tuple[str, ...]) -> np.ndarray:
    """Say where a token's columns have these labels; the columns' blanks are underscores."""
    columns = made_bank().columns
    rows = np.arange(columns.code_KN.shape[1])
    asks = [Ask(k.replace("_", " "), v, (0.0,) * len(v), End(1.0), End(0.0)) for k, v in asked.items()]
    return np.asarray(np.logical_and.reduce([simulate(ask, columns, rows) > 0 for ask in asks]))


def noisy(on_N: np.ndarray, rng: np.random.Generator, *, gain: float | np.ndarray = 1.0) -> np.ndarray:
    """Make activations of a unit that fires there: multiplicative noise, and a little of it everywhere."""
    n = len(on_N)
    return np.asarray(on_N * gain * (1 + NOISE * rng.normal(size=n)) + 0.02 * rng.normal(size=n))
