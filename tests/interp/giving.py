"""Sentences in which somebody gives something to somebody, and a mechanism that says to whom (after Wang et al., 2022).

"when Ann and Bob went to the park , Bob gave a book to": whoever was named once is given to. Three heads say so: one finds names
that stood before, one tells the last word who that was, and one moves a name from the sentence that is not this one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from superalign.interp.patching import Pairs
from superalign.lab.compiled import Attend, Compiled, Program, compile_program

NAMES = tuple("Ann Bob Cat Dan Eve Fay Gus Hal".split())
PLACES, THINGS = ("park", "shop", "lake"), ("book", "drink", "ball")
TEMPLATES = (
    "when X and Y met , S gave a THING TO",
    "X and Y met and S gave the THING TO",
    "then X saw Y and S gave THING TO",
    "at the PLACE X saw Y , S gave THING TO",
)
START, PAD = "<start>", "<pad>"
WORDS = (
    START,
    *NAMES,
    *sorted({w for t in TEMPLATES for w in t.split()} - {"X", "Y", "S", "PLACE", "THING"} | {*PLACES, *THINGS}),
    PAD,
)
LENGTH = 1 + max(len(t.split()) for t in TEMPLATES)
ID = {word: i for i, word in enumerate(WORDS)}
V = len(WORDS)


def sentence(rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Draw a sentence, and the same in which the other one gives."""
    words = TEMPLATES[int(rng.integers(len(TEMPLATES)))].split()
    first, second = (str(n) for n in rng.choice(NAMES, 2, replace=False))
    filled = {"X": first, "Y": second, "PLACE": str(rng.choice(PLACES)), "THING": str(rng.choice(THINGS))}
    givers = rng.permutation([first, second])
    one, two = ([ID[START], *(ID[{**filled, "S": str(g)}.get(w, w)] for w in words)] for g in givers)
    return _padded(one), _padded(two)


def other_names(ids: list[int], rng: np.random.Generator) -> list[int]:
    """Let the other one give in a sentence, or the same one to somebody else; who is named first is drawn anew."""
    first, second, last = (t for t, i in enumerate(ids) if WORDS[i] in NAMES)
    giver, partner = ids[last], next(i for i in (ids[first], ids[second]) if i != ids[last])
    if rng.random() < 0.5:
        giver, partner = partner, giver
    else:
        partner = ID[str(rng.choice([n for n in NAMES if ID[n] != giver]))]
    both = rng.permutation([giver, partner]).tolist()
    named = {first: both[0], second: both[1], last: giver}
    return [named.get(t, i) for t, i in enumerate(ids)]


def _padded(ids: list[int]) -> list[int]:
    return ids + [ID[PAD]] * (LENGTH - len(ids))


def receiver(ids: Sequence[int]) -> list[int]:
    """Say after the last word who is given to: the name that stands there once; -1 elsewhere."""
    named = [i for i in ids if WORDS[i] in NAMES]
    return [next(n for n in named if named.count(n) == 1) if i == ID["TO"] else -1 for i in ids]


def giving() -> Program:
    """Return the program of three heads."""
    name_V = np.array([float(w in NAMES) for w in WORDS])
    same = np.diag(name_V)
    before = np.tril(np.ones((LENGTH, LENGTH)), -1)
    before[:, 0] = 0.0
    last_names = np.outer(np.eye(V)[ID["TO"]], name_V)
    return Program(
        name="giving",
        tokens=V,
        length=LENGTH,
        variables={"again": V, "giver": V, "answer": V},
        layers=(
            (
                Attend(
                    scores=(
                        ("token", "token", 2 * same),
                        ("position", "position", 2 * before),
                        ("one", "start", np.full((1, 1), 3.0)),
                    ),
                    value="token",
                    out="again",
                ),
            ),
            (Attend(scores=(("token", "again", 2 * last_names),), value="again", out="giver"),),
            (
                Attend(
                    scores=(("token", "token", 3 * last_names), ("giver", "token", -2 * same)),
                    value="token",
                    out="answer",
                ),
            ),
        ),
        answer="answer",
        draw=lambda rng: sentence(rng)[0],
        run=lambda ids: receiver(ids),
    )


def compiled_giving(seed: int) -> Compiled:
    """Compile the program with attention that looks back alone, as a language model's does."""
    made = compile_program(giving(), seed=seed)
    for layer in made.network.layers:
        layer.self_attn.causal = True  # type: ignore[union-attr]
    return made


def giving_pairs(n: int, rng: np.random.Generator, *, half: int) -> Pairs:
    """Draw sentences, with those in which the other one gives as the corrupt ones; no two names stand together in both halves."""
    both: list[tuple[list[int], list[int]]] = []
    while len(both) < n:
        clean, corrupt = sentence(rng)
        named = {i for i in clean if WORDS[i] in NAMES}
        if sum(named) % 2 == half:
            both.append((clean, corrupt))
    cleans, corrupts = zip(*both, strict=True)
    at = [ids.index(ID["TO"]) for ids in cleans]
    right, wrong = ([receiver(ids)[t] for ids, t in zip(some, at, strict=True)] for some in (cleans, corrupts))
    return Pairs(
        clean_BT=torch.tensor(cleans),
        corrupt_BT=torch.tensor(corrupts),
        at_B=torch.tensor(at),
        right_B=torch.tensor(right),
        wrong_B=torch.tensor(wrong),
    )
