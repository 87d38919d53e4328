"""Programs to compile: reverse, histogram, sort, depth of brackets, share so far, seen before, induction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from superalign.interp.patching import Pairs
from superalign.lab.compiled import Attend, Bucket, Program, Table

LENGTH = 8  # positions, the start among them
TOKENS = 8  # the start, letters, and last the padding
PAD = TOKENS - 1
T = range(LENGTH)


def _padded(letters: list[int]) -> list[int]:
    return [0, *letters, *[PAD] * (LENGTH - 1 - len(letters))]


def _letters(rng: np.random.Generator, low: int = 3, kinds: int = PAD - 1) -> list[int]:
    return [int(t) for t in rng.integers(1, kinds + 1, rng.integers(low, LENGTH))]


def _start(weight: float) -> np.ndarray:
    """The start token scores this much for everybody."""
    return np.full((1, 1), weight)


def _shares(_: int) -> dict[float, int]:
    """Where one of c + 1 attended places is the start, its weight is 1 / (c + 1)."""
    return {1 / (c + 1): c for c in T}


def _until(strict: bool = False, start: bool = True) -> np.ndarray:
    """1 where a key stands no later than the query; `strict` leaves the query's own place out, `start` leaves the start in."""
    grid = np.tril(np.ones((LENGTH, LENGTH)), -int(strict))
    if not start:
        grid[1:, 0] = 0.0
    return grid


def _reverse() -> Program:
    letters = np.ones((1, TOKENS))
    letters[0, PAD] = 0.0
    return Program(
        name="reverse",
        tokens=TOKENS,
        length=LENGTH,
        variables={"share": 1, "count": LENGTH, "source": LENGTH, "answer": TOKENS},
        layers=(
            (
                Attend(scores=(("one", "token", letters),), value="start", out="share"),
                Bucket(number=(("share", np.ones(1)),), centres=_shares, gate="one", out="count"),
            ),
            (Table(reads=("count", "position"), function=lambda n, p: n + 1 - p if 1 <= p <= n else 0, out="source"),),
            (Attend(scores=(("source", "position", np.eye(LENGTH)),), value="token", out="answer"),),
        ),
        answer="answer",
        draw=lambda rng: _padded(_letters(rng)),
        run=lambda x: _answers(x, lambda some: some[::-1]),
    )


def _answers(x: list[int], function: Callable[[list[int]], Sequence[int]]) -> list[int]:
    found = list(function([t for t in x[1:] if t != PAD]))
    return [-1, *found, *[-1] * (LENGTH - 1 - len(found))]


def _histogram() -> Program:
    return Program(
        name="histogram",
        tokens=TOKENS,
        length=LENGTH,
        variables={"share": 1, "answer": LENGTH},
        layers=(
            (
                Attend(
                    scores=(("token", "token", np.eye(TOKENS)), ("one", "start", _start(1.0))),
                    value="start",
                    out="share",
                ),
                Bucket(number=(("share", np.ones(1)),), centres=_shares, gate="one", out="answer"),
            ),
        ),
        answer="answer",
        draw=lambda rng: _padded(_letters(rng, kinds=3)),
        run=lambda x: _answers(x, lambda some: [some.count(t) for t in some]),
    )


def _sort() -> Program:
    smaller = np.tril(np.ones((TOKENS, TOKENS)), -1)
    smaller[[0, PAD]] = 1.0  # what is no letter ranks behind all
    return Program(
        name="sort",
        tokens=TOKENS,
        length=LENGTH,
        variables={"share": 1, "rank": LENGTH, "answer": TOKENS},
        layers=(
            (
                Attend(scores=(("token", "token", smaller),), value="start", out="share"),
                Bucket(number=(("share", np.ones(1)),), centres=_shares, gate="one", out="rank"),
            ),
            (Attend(scores=(("position", "rank", np.eye(LENGTH, k=-1)),), value="token", out="answer"),),
        ),
        answer="answer",
        draw=lambda rng: _padded([int(t) for t in rng.permutation(np.arange(1, PAD))[: rng.integers(3, PAD)]]),
        run=lambda x: _answers(x, sorted),
    )


BELOW = LENGTH  # the class of what closed more than it opened
BRACKETS = np.array([0, 1, 1, -1, -1, 0, 0, 0])  # two kinds of bracket: 1 and 2 open, 3 and 4 close


def _depths(brackets: list[int]) -> list[int]:
    depths = np.cumsum(BRACKETS[brackets])
    return [int(d) if depths[: i + 1].min() >= 0 else BELOW for i, d in enumerate(depths)]


def _dyck() -> Program:
    def levels(place: int) -> dict[float, int]:
        return {d / (place + 1): d if d >= 0 else BELOW for d in range(-place, place + 1)}

    until = ("position", "position", _until())
    bad = np.eye(BELOW + 1)[BELOW]
    return Program(
        name="Dyck-2 depth",
        tokens=TOKENS,
        length=LENGTH,
        variables={"mean": TOKENS, "depth": BELOW + 1, "depths": BELOW + 1, "failed": 2, "answer": BELOW + 1},
        layers=(
            (
                Attend(scores=(until,), value="token", out="mean"),
                Bucket(number=(("mean", BRACKETS),), centres=levels, gate="position", out="depth"),
            ),
            (
                Attend(scores=(until,), value="depth", out="depths"),
                Bucket(
                    number=(("depths", bad),), centres=lambda p: {0.0: 0, 1 / (p + 1): 1}, gate="position", out="failed"
                ),
            ),
            (Table(reads=("failed", "depth"), function=lambda f, d: BELOW if f else d, out="answer"),),
        ),
        answer="answer",
        draw=lambda rng: _padded([int(t) for t in rng.choice([1, 2, 3, 4], LENGTH - 1, p=[0.3, 0.3, 0.2, 0.2])]),
        run=lambda x: _answers(x, _depths),
    )


def _frac_prevs() -> Program:
    return Program(
        name="frac-prevs",
        tokens=TOKENS,
        length=LENGTH,
        variables={"mean": TOKENS, "answer": 5},
        layers=(
            (
                Attend(scores=(("position", "position", _until(start=False)),), value="token", out="mean"),
                Bucket(
                    number=(("mean", np.eye(TOKENS)[1]),),
                    centres=lambda _: {i / 4: i for i in range(5)},
                    gate="one",
                    out="answer",
                ),
            ),
        ),
        answer="answer",
        draw=lambda rng: _padded(_letters(rng, kinds=2)),
        run=lambda x: _answers(x, lambda some: [round(4 * some[:i].count(1) / i) for i in range(1, len(some) + 1)]),
    )


def _seen_before() -> Program:
    earlier = ("position", "position", 2 * _until(strict=True, start=False))
    return Program(
        name="seen before",
        tokens=TOKENS,
        length=LENGTH,
        variables={"share": 1, "answer": 2},
        layers=(
            (
                Attend(
                    scores=(("token", "token", 2 * np.eye(TOKENS)), earlier, ("one", "start", _start(3.0))),
                    value="start",
                    out="share",
                ),
                Bucket(number=(("share", np.ones(1)),), centres=lambda _: {0.0: 1, 1.0: 0}, gate="one", out="answer"),
            ),
        ),
        answer="answer",
        draw=lambda rng: _padded(_letters(rng, kinds=4)),
        run=lambda x: _answers(x, lambda some: [int(t in some[:i]) for i, t in enumerate(some)]),
    )


def _induction() -> Program:
    last = np.eye(LENGTH, k=-1)
    last[0, 0] = 1.0

    def draw(rng: np.random.Generator) -> list[int]:
        once = [int(t) for t in rng.permutation(np.arange(1, PAD))[: LENGTH // 2]]
        return [0, *once, *once][:LENGTH]

    return Program(
        name="induction",
        tokens=TOKENS,
        length=LENGTH,
        variables={"before": TOKENS, "answer": TOKENS},
        layers=(
            (Attend(scores=(("position", "position", last),), value="token", out="before"),),
            (Attend(scores=(("token", "before", np.eye(TOKENS)),), value="token", out="answer"),),
        ),
        answer="answer",
        draw=draw,
        run=lambda x: [-1] * (1 + LENGTH // 2) + [x[i - LENGTH // 2 + 1] for i in range(1 + LENGTH // 2, LENGTH)],
    )


PROGRAMS = {
    p.name: p for p in (_reverse(), _histogram(), _sort(), _dyck(), _frac_prevs(), _seen_before(), _induction())
}


def accuracy(network: torch.nn.Module, program: Program, *, n: int, rng: np.random.Generator) -> float:
    """Return the share of answers, over n random inputs, that a network gets right."""
    inputs = [program.draw(rng) for _ in range(n)]
    asked_NT = np.array([program.run(x) for x in inputs])
    with torch.no_grad():
        said_NT = network(torch.tensor(inputs)).logits.argmax(-1).numpy()
    return float((said_NT == asked_NT)[asked_NT >= 0].mean())


def draw_pairs(program: Program, *, n: int, rng: np.random.Generator) -> Pairs:
    """Draw pairs of inputs that have different answers at one place, which is where the network is read."""
    rows: list[tuple[list[int], list[int], int, int, int]] = []
    while len(rows) < n:
        clean, corrupt = program.draw(rng), program.draw(rng)
        places = [(i, a, b) for i, (a, b) in enumerate(zip(program.run(clean), program.run(corrupt), strict=True))]
        able = [p for p in places if p[1] != p[2] and min(p[1:]) >= 0]
        if able:
            rows.append((clean, corrupt, *able[rng.integers(len(able))]))
    clean_BT, corrupt_BT, at_B, right_B, wrong_B = (torch.tensor(c) for c in zip(*rows, strict=True))
    return Pairs(clean_BT=clean_BT, corrupt_BT=corrupt_BT, at_B=at_B, right_B=right_B, wrong_B=wrong_B)
