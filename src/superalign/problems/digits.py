"""Handwritten digits of 8 x 8 pixels (scikit-learn's), for judges who see a few pixels: 1,297 to train on and 500 to test.

Not a text family: a problem is an image, a response is the label that it claims, and the dial is how many pixels a judge
sees. The image stands in the prompt as 64 letters, one per pixel, row by row, from 0 (blank) to g (16).

Shape suffixes: P images, X pixels of an image (64).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from superalign.errors import BadInput
from superalign.types import Problem, Split

NAME = "digits"
INK = "0123456789abcdefg"
SIDE = 8
TEST = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """Images of one split in a fixed shuffled order, with what they show."""

    ink_PX: Int[np.ndarray, "P X"]  # 0 (blank) to 16
    label_P: Int[np.ndarray, " P"]
    split: Split

    def __len__(self) -> int:
        return len(self.label_P)


@functools.cache
def _all() -> tuple[Int[np.ndarray, "P X"], Int[np.ndarray, " P"]]:
    from sklearn.datasets import load_digits  # a slow import: only when asked for

    data, target = load_digits(return_X_y=True)
    order = np.random.default_rng(1805).permutation(len(target))  # one shuffle for ever: splits never move
    return data[order].astype(np.int64), target[order].astype(np.int64)


def images(split: Split, *, n: int | None = None) -> Images:
    """Return the first n images of a split; all of them by default.

    Raises:
        BadInput: If there are not as many.

    Example:
        >>> len(images("train")), len(images("test"))
        (1297, 500)
    """
    ink_PX, label_P = _all()
    rows = slice(TEST, None) if split == "train" else slice(0, TEST)
    have = len(label_P[rows])
    if n is not None and not 1 <= n <= have:
        raise BadInput(
            f"{n} images were asked for; the {split} split has {have}. Images are not made up. Ask for 1 to {have}."
        )
    return Images(ink_PX=ink_PX[rows][:n], label_P=label_P[rows][:n], split=split)


def problems_of(some: Images, *, pixels: int) -> tuple[Problem, ...]:
    """Put images as problems; the dial is how many pixels a judge sees.

    Example:
        >>> problem = problems_of(images("test", n=1), pixels=4)[0]
        >>> problem.prompt[:14], problem.difficulty
        ('digit 04gf2000', 4)
    """
    return tuple(
        Problem(prompt="digit " + "".join(INK[v] for v in ink_X), family=NAME, difficulty=pixels, split=some.split)
        for ink_X in some.ink_PX
    )


def read(problem: Problem) -> Int[np.ndarray, " X"] | None:
    """Read the image out of a prompt; nothing if it holds none.

    Example:
        >>> some = images("test", n=1)
        >>> bool((read(problems_of(some, pixels=4)[0]) == some.ink_PX[0]).all())
        True
    """
    drawn = problem.prompt.removeprefix("digit ")
    if len(drawn) != SIDE**2 or any(letter not in INK for letter in drawn):
        return None
    return np.array([INK.index(letter) for letter in drawn])


@functools.cache
def _key() -> dict[bytes, int]:
    ink_PX, label_P = _all()
    return {ink_X.tobytes(): int(label) for ink_X, label in zip(ink_PX, label_P, strict=True)}


def grade(problem: Problem, text: str) -> bool:
    """Say whether a response claims the label of the image.

    Example:
        >>> problem = problems_of(images("test", n=1), pixels=4)[0]
        >>> [label for label in range(10) if grade(problem, str(label))] == images("test", n=1).label_P.tolist()
        True
    """
    ink_X = read(problem)
    label = None if ink_X is None else _key().get(ink_X.astype(np.int64).tobytes())
    return label is not None and text.strip() == str(label)
