"""Rows of numbers and claims about them, for market making: who knows what is true, and how the judge slips.

A row is folded into one number by an operation that the judge can do with two numbers at a time: a sum, an exclusive or, a
product modulo seven. A claim says what comes out, or at least how much. Rows are split by a hash of their numbers, so that no
test row was ever seen with another claim.

Shape suffixes: B questions, N numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superalign.errors import ConfigError
from superalign.oversight.market.making import NOTHING, Human
from superalign.oversight.market.training import Draw
from superalign.stats.streams import stream
from superalign.types import Record

KINDS = {
    "sum": "the sum is v",
    "at least": "the sum is at least v",
    "xor": "the bitwise exclusive or is v",
    "product": "the product modulo 7 is v",
}
FACES = 6  # numbers are 1 to 6
VALUES = FACES + 1
SHARE_TEST = 4  # one row in so many


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSetting(Record):
    """What claims are about, and what the judge is like."""

    kind: str = "sum"
    numbers: int = 4
    slip: float = 0.0  # chance that the judge gets an addition wrong
    same: bool = False  # she slips on the same pairs of numbers every time, not anew each time
    constant: float = -1.0  # a judge who believes this whatever she hears; below 0 for one who listens

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                f"There are no claims of the kind {self.kind!r}. Nobody could say which are true. Choose from {', '.join(KINDS)}."
            )

    @property
    def claims(self) -> int:
        """Claims are below this."""
        return FACES * self.numbers + 8


def combine(kind: str, left_B: np.ndarray, right_B: np.ndarray) -> np.ndarray:
    """Say what two stretches come to."""
    if kind == "xor":
        return np.asarray(left_B ^ right_B)
    return np.asarray(left_B * right_B % VALUES if kind == "product" else left_B + right_B)


def fold(kind: str, numbers_BN: np.ndarray) -> np.ndarray:
    """Say what whole rows come to.

    Example:
        >>> [int(fold(kind, np.array([[3, 5, 6, 0]]))[0]) for kind in KINDS]
        [14, 14, 0, 6]
    """
    folded_B = numbers_BN[:, 0]
    for number_B in numbers_BN.T[1:]:
        folded_B = np.where(number_B == NOTHING, folded_B, combine(kind, folded_B, number_B))
    return folded_B


def true_of(kind: str, value_B: np.ndarray, claim_B: np.ndarray) -> np.ndarray:
    """Say whether a claim is true of what a row comes to."""
    return np.asarray(value_B >= claim_B if kind == "at least" else value_B == claim_B)


def in_test(numbers_BN: np.ndarray) -> np.ndarray:
    """Say whether a row belongs to the test split, from its numbers alone."""
    mixed_B = np.full(len(numbers_BN), 1469598103934665603, np.uint64)
    for number_B in numbers_BN.T:
        # FNV-1a, with a shift that brings high bits down: the plain remainder of a product has a short period.
        mixed_B = (mixed_B ^ number_B.astype(np.uint64)) * np.uint64(1099511628211)
        mixed_B ^= mixed_B >> np.uint64(29)
    return np.asarray(mixed_B % np.uint64(SHARE_TEST) == 0)


def questions(
    setting: MarketSetting, count: int, *, split: str, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw distinct questions of full length where there are enough.

    Returns:
        Rows (B, N), claims (B,), and whether each is true, about half of them.
    """
    rng = stream(seed, "rows and claims")
    numbers_BN = np.zeros((0, setting.numbers), np.int64)
    for _ in range(20):
        if len(numbers_BN) >= count:
            break
        more = rng.integers(1, VALUES, (8 * count, setting.numbers))
        numbers_BN = np.unique(np.concatenate([numbers_BN, more[in_test(more) == (split == "test")]]), axis=0)
    numbers_BN = rng.permutation(numbers_BN)[:count]
    claim_B = claims_about(setting.kind, fold(setting.kind, numbers_BN), rng)
    return numbers_BN, claim_B, true_of(setting.kind, fold(setting.kind, numbers_BN), claim_B)


def claims_about(kind: str, value_B: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Claim something of each row: true for about half, false by a little for the rest."""
    B, right_B = len(value_B), rng.random(len(value_B)) < 0.5
    if kind == "xor":
        return np.where(right_B, value_B, (value_B + rng.integers(1, 8, B)) % 8)
    if kind == "product":
        return np.where(right_B, value_B, (value_B - 1 + rng.integers(1, FACES, B)) % FACES + 1)
    if kind == "at least":
        return np.where(right_B, np.maximum(0, value_B - rng.integers(0, 4, B)), value_B + rng.integers(1, 5, B))
    off_B = rng.integers(1, 4, B) * rng.choice([-1, 1], B)
    return np.where(right_B, value_B, value_B + np.where(value_B + off_B < 0, -off_B, off_B))


def draw_of(setting: MarketSetting) -> Draw:
    """Training questions, as many as asked for, in rows of a length."""

    def draw(count: int, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        kept = np.zeros((0, length), np.int64)
        while len(kept) < count:
            more = rng.integers(1, VALUES, (2 * count, length))
            kept = np.concatenate([kept, more[~in_test(more)]])
        numbers_BN = np.full((count, setting.numbers), NOTHING, np.int64)
        numbers_BN[:, :length] = kept[:count]
        return numbers_BN, claims_about(setting.kind, fold(setting.kind, kept[:count]), rng)

    return draw


def human_of(setting: MarketSetting) -> Human:
    """Grant the judge her abilities: she puts two numbers together, with slips, and believes what then follows."""

    def put_together(left_B: np.ndarray, right_B: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        value_B = combine(setting.kind, left_B, right_B)
        if not setting.slip:
            return value_B
        if setting.same:
            chance_B = ((left_B * 7919 + right_B * 104729 + 12345) * 2654435761 % 2**32) / 2**32
        else:
            chance_B = rng.random(len(value_B))
        wrong = {"xor": value_B ^ 1, "product": value_B % FACES + 1}.get(setting.kind, value_B + 1)
        return np.where(chance_B < setting.slip, wrong, value_B)

    def believe(value_B: np.ndarray, claim_B: np.ndarray) -> np.ndarray:
        if setting.constant >= 0:
            return np.full(len(value_B), setting.constant)
        return np.where(value_B < 0, 0.5, true_of(setting.kind, value_B, claim_B).astype(float))

    return Human(combine=put_together, believe=believe)
