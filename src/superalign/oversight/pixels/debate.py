"""Debate about what an image shows, before a judge who sees only the pixels that two debaters reveal.

Each debater claims a label, and they take turns to show one non-blank pixel. In the end the judge compares the two claims.
A debater who does not commit (claim `OPEN`) names its label after the last pixel. Debaters see the image and know the
judge's weights; nothing here knows which claim is right. Every random choice comes from a game's own key.

Shape suffixes: G games, X pixels (64), C labels, T turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from superalign.errors import BadInput
from superalign.oversight.judges.judge import key_of
from superalign.oversight.pixels.judge import PixelJudge, ink_of

OPEN = -1  # a claim that is named only when all pixels are shown
LABELS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Games:
    """Many games at once, all of the same length."""

    ink_GX: Float[np.ndarray, "G X"]  # 0 to 1
    first_G: Int[np.ndarray, " G"]  # the label that the first debater claims
    second_G: Int[np.ndarray, " G"]
    turns: tuple[int, ...]  # 1 where the first debater moves, -1 where the second does
    key_G: UInt64[np.ndarray, " G"]  # what random choices depend on

    def __len__(self) -> int:
        return len(self.first_G)

    def rows(self, some: np.ndarray | slice) -> Games:
        """Some of the games."""
        return replace(
            self,
            ink_GX=self.ink_GX[some],
            first_G=self.first_G[some],
            second_G=self.second_G[some],
            key_G=self.key_G[some],
        )

    @staticmethod
    def together(some: Sequence[Games]) -> Games:
        """Put games of the same turns behind each other."""
        return replace(
            some[0],
            ink_GX=np.concatenate([g.ink_GX for g in some]),
            first_G=np.concatenate([g.first_G for g in some]),
            second_G=np.concatenate([g.second_G for g in some]),
            key_G=np.concatenate([g.key_G for g in some]),
        )


Debater: TypeAlias = Callable[[PixelJudge, Games, Bool[np.ndarray, "G X"], int], Int[np.ndarray, " G"]]


def taking_turns(pixels: int) -> tuple[int, ...]:
    """Say who moves when two debaters alternate.

    Example:
        >>> taking_turns(4)
        (1, -1, 1, -1)
    """
    return tuple(1 - 2 * (t % 2) for t in range(pixels))


def games(
    ink_GX: Int[np.ndarray, "G X"],
    first_G: Sequence[int] | Int[np.ndarray, " G"],
    second_G: Sequence[int] | Int[np.ndarray, " G"],
    *,
    turns: tuple[int, ...],
    seed: int,
) -> Games:
    """Set up games about images (ink from 0 to 16) between two claims each.

    Raises:
        BadInput: If an image has fewer non-blank pixels than there are turns, or two claims are equal.
    """
    first, second = np.asarray(first_G), np.asarray(second_G)
    if ((np.asarray(ink_GX) > 0).sum(1) < len(turns)).any() or not turns:
        raise BadInput(
            f"An image has fewer non-blank pixels than the {len(turns)} turns, or there are no turns. A debater would have "
            "nothing to show. Give fewer turns, but at least one."
        )
    if (first == second).any():
        raise BadInput(
            "Two debaters claim the same label. Nothing is at issue between them. Give two different claims."
        )
    whats = (
        np.asarray(x, np.uint8).tobytes() + bytes([a + 1, b + 1]) for x, a, b in zip(ink_GX, first, second, strict=True)
    )
    keys = [int.from_bytes(key_of(seed, what)[:8], "little") for what in whats]
    return Games(
        ink_GX=ink_of(ink_GX), first_G=first, second_G=second, turns=turns, key_G=np.array(keys, dtype=np.uint64)
    )


def chance(key_G: UInt64[np.ndarray, " G"], *numbers: int) -> Float[np.ndarray, "G X"]:
    """Numbers in [0, 1), one per game and pixel, that depend on a game's key and on what they are drawn for alone.

    Source:
        Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014 (its mixing function).
    """
    with np.errstate(over="ignore"):
        z = key_G[:, None] + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, 65, dtype=np.uint64)
        for number in numbers:
            z = _mixed(z + np.uint64(number + 1) * np.uint64(0xD1342543DE82EF95))
        return (_mixed(z) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mixed(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def margin(
    logits_GC: Float[np.ndarray, "G C"], first_G: Int[np.ndarray, " G"], second_G: Int[np.ndarray, " G"]
) -> Float[np.ndarray, " G"]:
    """By how much the judge prefers the first claim, in nats; an open claim is the best of all but the other's.

    Example:
        >>> logits = np.log([[0.7, 0.2, 0.1]])
        >>> [float(margin(logits, np.array([0]), np.array([b]))[0].round(3)) for b in (2, OPEN)]
        [1.946, 1.253]
    """

    def of(claim: np.ndarray, other: np.ndarray) -> np.ndarray:
        row = np.arange(len(claim))
        named = logits_GC[row, claim]
        if not (claim == OPEN).any():
            return named
        rest = logits_GC.copy()
        rest[row, other] = -np.inf
        return np.where(claim == OPEN, rest.max(1), named)

    return of(first_G, second_G) - of(second_G, first_G)


def probability(margin_G: Float[np.ndarray, " G"]) -> Float[np.ndarray, " G"]:
    """Return the judge's probability of the first claim, of the two."""
    return 1 / (1 + np.exp(-np.clip(margin_G.astype(np.float64), -30, 30)))


def legal(games: Games, shown_GX: Bool[np.ndarray, "G X"]) -> Bool[np.ndarray, "G X"]:
    """Pixels that may be shown: not blank, not shown yet."""
    return (games.ink_GX > 0) & ~shown_GX


def at_random(judge: PixelJudge, games: Games, shown_GX: Bool[np.ndarray, "G X"], turn: int) -> Int[np.ndarray, " G"]:
    """Return a debater without intent: any pixel. Two of them are the placebo."""
    return np.where(legal(games, shown_GX), chance(games.key_G, turn), -1).argmax(1)


def greedy(judge: PixelJudge, games: Games, shown_GX: Bool[np.ndarray, "G X"], turn: int) -> Int[np.ndarray, " G"]:
    """Shows the pixel after which the judge, asked at once, would favour its claim most."""
    game, pixel = np.nonzero(legal(games, shown_GX))
    first_NH = judge.first(games.ink_GX, shown_GX)[game] + judge.seen_XH[pixel]
    first_NH += games.ink_GX[game, pixel, None] * judge.ink_XH[pixel]
    gained = games.turns[turn] * margin(judge.rest(first_NH), games.first_G[game], games.second_G[game])
    worth_GX = np.full(shown_GX.shape, -np.inf)
    worth_GX[game, pixel] = gained
    return worth_GX.argmax(1)


def play(judge: PixelJudge, games: Games, first: Debater, second: Debater) -> Int[np.ndarray, "G T"]:
    """Play games to the end.

    Args:
        judge: Whom both debaters search against.
        games: What is claimed about which images.
        first: How the first debater chooses its pixels.
        second: How the second does.

    Returns:
        The pixels shown, in order.

    Source:
        Irving, Christiano and Amodei, AI safety via debate, 2018 (arXiv 1805.00899), section 3.2.
    """
    shown_GX = np.zeros(games.ink_GX.shape, bool)
    moves_GT = np.zeros((len(games), len(games.turns)), np.int64)
    for turn, sign in enumerate(games.turns):
        moves_GT[:, turn] = (first if sign > 0 else second)(judge, games, shown_GX, turn)
        shown_GX[np.arange(len(games)), moves_GT[:, turn]] = True
    return moves_GT


def verdict(judge: PixelJudge, ink_GX: Float[np.ndarray, "G X"], moves_GT: Int[np.ndarray, "G T"]) -> np.ndarray:
    """Say what a judge believes after the pixels of each game, log-odds of labels (G, C); it may be another judge."""
    shown_GX = np.zeros(ink_GX.shape, bool)
    np.put_along_axis(shown_GX, moves_GT, True, axis=1)
    return judge.logits(ink_GX, shown_GX)


def random_pixels(ink_GX: np.ndarray, pixels: int, *, seed: Sequence[int]) -> Int[np.ndarray, "G T"]:
    """Random non-blank pixels of each image: what a judge sees whom nobody shows anything."""
    luck_GX = np.random.default_rng(seed).random(ink_GX.shape)
    return np.where(ink_GX > 0, luck_GX, 2.0).argsort(1)[:, :pixels]


def elsewhere(ink_GX: np.ndarray, moves_GT: Int[np.ndarray, "G T"]) -> Int[np.ndarray, "G T"]:
    """Pixels chosen for the next image, on this one: where it is blank, the nearest that is not and was not shown."""
    wanted_GT = np.roll(moves_GT, -1, axis=0)
    place = np.stack(np.divmod(np.arange(64), 8), 1)
    far = ((place[:, None] - place[None]) ** 2).sum(2).astype(float)
    free_GX, out = ink_GX > 0, np.zeros_like(moves_GT)
    for t in range(moves_GT.shape[1]):
        out[:, t] = np.where(free_GX, far[wanted_GT[:, t]], np.inf).argmin(1)
        free_GX = free_GX.copy()
        free_GX[np.arange(len(out)), out[:, t]] = False
    return out
