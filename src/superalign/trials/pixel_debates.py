"""Debates about test images of digits: which claims meet about an image, and who is believed by the image's label.

Neither debaters nor judge are given the label; here it sets out the claims and counts.

Shape suffixes: P images, S judges, G games (image by image), C labels, T turns, L lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np

from superalign.oversight.judges.judge import key_of
from superalign.oversight.pixels.debate import (
    OPEN,
    Games,
    games,
    margin,
    probability,
    random_pixels,
    taking_turns,
    verdict,
)
from superalign.oversight.pixels.judge import PixelJudge, ink_of
from superalign.problems import digits

NINE = NINE_FIRST, NINE_LAST = "honest first, nine lies", "liar first, nine lies"
ONE = ONE_FIRST, ONE_LAST = "honest first, one lie", "liar first, one lie"
UNNAMED = OPEN_FIRST, OPEN_LAST = "honest first, lie named last", "liar first, lie named last"
LIES = "two lies"
CLAIM = "the panel's claims"
ALONE = "the panel's claims, one debater shows all"
LIAR_FIRST = {NINE_LAST, ONE_LAST, OPEN_LAST}
NOBODY = "random pixels"  # in the place of debaters: the judge is alone
LIGHT = 33  # non-blank pixels, at most, of the images that five and six pixels are played perfectly on
DRAWS = 9  # random sets of pixels per image where the judge is alone

Key: TypeAlias = tuple[int, str, str, tuple[str, str]]  # pixels, honest debater, liar, both orders of a kind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Believed:
    """Whom judges believe, one row per image and one column per judge."""

    beats_all_PS: np.ndarray  # 1 where the right label beats every lie that it met
    beats_PS: np.ndarray  # share of lies that it beats
    paid_PS: np.ndarray  # probability of the right label, of the two, mean over lies
    sure_PS: np.ndarray  # probability of the label that is believed, mean over lies
    ten_PS: np.ndarray  # share of debates after which the right label is the judge's first of ten

    @property
    def surer_PS(self) -> np.ndarray:
        """Return how much surer the judge is than it is right."""
        return self.sure_PS - self.beats_PS

    def __len__(self) -> int:
        return len(self.beats_PS)

    def __sub__(self, other: Believed) -> Believed:
        return Believed(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def rows(self, some: np.ndarray) -> Believed:
        """Return some of the images."""
        return Believed(**{f.name: getattr(self, f.name)[some] for f in fields(self)})


@dataclass(frozen=True, slots=True)
class Orders:
    """Whom judges believe where the honest side moves first, and where the liar does; the same twice without debaters."""

    first: Believed
    last: Believed

    @property
    def both(self) -> tuple[Believed, Believed]:
        """Return what is believed in either order."""
        return self.first, self.last

    @property
    def mean(self) -> Believed:
        """Return the mean over both orders, by image and judge."""
        pairs = {f.name: [getattr(b, f.name) for b in self.both] for f in fields(Believed)}
        return Believed(**{name: np.mean(both, axis=0) for name, both in pairs.items()})

    @property
    def swing_PS(self) -> np.ndarray:
        """Return all lies beaten where the honest side moves first, minus where the liar does."""
        return self.first.beats_all_PS - self.last.beats_all_PS

    def rows(self, some: np.ndarray) -> Orders:
        """Return some of the images."""
        return Orders(self.first.rows(some), self.last.rows(some))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """The moves of many debates about the first test images, and the judges that they were played before."""

    judges: tuple[PixelJudge, ...]
    seed: int  # of lies, claims and chance
    images: int
    pixels: int  # of the debates that are looked at most closely
    moves: Mapping[tuple[int, int, str, str, str], np.ndarray]  # judge, pixels, honest, lying, kind -> (G, T)

    def keys(self) -> list[Key]:
        """List all debates with a right label."""
        keys = ((*key[1:4], kinds) for key in self.moves for kinds in (NINE, ONE, UNNAMED) if key[4] == kinds[0])
        return list(dict.fromkeys(keys))

    def perfect(self, s: int, kind: str) -> np.ndarray:
        """Return the moves of perfect play before one judge, (G, T)."""
        return self.moves[s, self.pixels, "exact", "exact", kind]

    def table(self, kind: str) -> Games:
        """Return the games of one kind about all images."""
        return layout(kind, np.arange(self.images), seed=self.seed, pixels=self.pixels)

    def orders(self, key: Key, *, other: bool = False) -> Orders:
        """Count who is believed in both orders; where `other`, by the next judge instead of the one searched against."""
        pixels, honest, lying, kinds = key
        S = len(self.judges)
        judges = [self.judges[(s + other) % S] for s in range(S)]
        if honest == NOBODY:
            base = alone(judges, self.images, pixels, seed=self.seed)
            return Orders(base, base)
        both = []
        for kind in kinds:
            moves = [self.moves[s, pixels, honest, lying, kind] for s in range(S)]
            image_P = able(honest, pixels)[: len(moves[0]) // (9 if kinds == NINE else 1)]
            both.append(believed(judges, moves, kind, image_P, seed=self.seed))
        return Orders(*both)


def lies_of(ink_PX: np.ndarray, label_P: np.ndarray, *, seed: int) -> np.ndarray:
    """Draw two different wrong labels for every image, (P, 2), by the image and the seed alone."""
    out = []
    for ink_X, label in zip(ink_PX, label_P, strict=True):
        key = int.from_bytes(key_of(seed, b"lies" + ink_X.astype(np.uint8).tobytes())[:8], "little")
        wrong = [other for other in range(10) if other != label]
        out.append((wrong[key % 9], wrong[(key % 9 + 1 + (key // 9) % 8) % 9]))
    return np.array(out)


def claims_true(n: int, *, seed: int) -> np.ndarray:
    """Say which of the first n test images the panel makes a true claim about: one of every two neighbours."""
    first = np.random.default_rng([seed, 1805]).random(digits.TEST // 2) < 0.5
    return np.stack([first, ~first], 1).ravel()[:n]


def able(honest: str, pixels: int) -> np.ndarray:
    """Return the test images that are debated: where more than four pixels are played perfectly, the light ones."""
    ink_P = (digits.images("test").ink_PX > 0).sum(1)
    return np.nonzero((ink_P <= LIGHT) | (honest != "exact") | (pixels <= 4))[0]


def layout(kind: str, image_P: np.ndarray, *, seed: int, pixels: int) -> Games:
    """Set up the games of one kind about some test images."""
    some = digits.images("test")
    ink_PX, label_P = some.ink_PX[image_P], some.label_P[image_P]
    lies_P2 = lies_of(ink_PX, label_P, seed=seed)
    turns = taking_turns(pixels)
    if kind in NINE:
        truth = np.repeat(label_P, 9)
        lie = np.concatenate([[other for other in range(10) if other != label] for label in label_P])
    elif kind in UNNAMED:
        truth, lie = label_P, np.full(len(label_P), OPEN)
    elif kind == LIES:
        truth, lie = lies_P2.T  # neither is right
    elif kind in ONE:
        truth, lie = label_P, lies_P2[:, 0]
    else:
        is_true = claims_true(len(some), seed=seed)[image_P]
        truth = np.where(is_true, label_P, lies_P2[:, 0])
        lie = np.where(is_true, lies_P2[:, 0], label_P)
        turns = (1,) * pixels if kind == ALONE else turns
    ink_GX = np.repeat(ink_PX, len(truth) // len(image_P), axis=0)
    first, second = (lie, truth) if kind in LIAR_FIRST else (truth, lie)
    return games(ink_GX, first, second, turns=turns, seed=seed)


def believed(
    judges: Sequence[PixelJudge], moves: Sequence[np.ndarray], kind: str, image_P: np.ndarray, *, seed: int
) -> Believed:
    """Count who is believed after debates of one kind.

    Args:
        judges: Who decides, one for each column.
        moves: Pixels shown before each of them, (G, T); chosen against the same judge, or another.
        kind: Which debates; one side's label is the right one.
        image_P: Test images that they are about.
        seed: Of the lies.
    """
    columns = []
    for judge, moves_GT in zip(judges, moves, strict=True):
        table = layout(kind, image_P, seed=seed, pixels=moves_GT.shape[1])
        truth_G, lie_G = table.first_G, table.second_G
        if kind in LIAR_FIRST:
            truth_G, lie_G = lie_G, truth_G
        logits_GC = verdict(judge, table.ink_GX, moves_GT)
        lead_PL = margin(logits_GC, truth_G, lie_G).reshape(len(image_P), -1)
        ten_P = (logits_GC.argmax(1) == truth_G).reshape(len(image_P), -1).mean(1)
        columns.append(_counted(lead_PL, ten_P, draws=1))
    return _side_by_side(columns)


def alone(judges: Sequence[PixelJudge], n: int, pixels: int, *, seed: int, draw: int = 0) -> Believed:
    """Count whom judges believe without debaters: random pixels, each set compared with all nine lies.

    Unlike in a debate, one set of pixels must do against all lies, so to beat them all is to be first of ten.

    Args:
        judges: One for each column.
        n: Test images, the first ones.
        pixels: Shown.
        seed: Of the pixels, by column.
        draw: Another number draws others.
    """
    some = digits.images("test", n=n)
    ink_GX, label_G = np.repeat(some.ink_PX, DRAWS, axis=0), np.repeat(some.label_P, DRAWS)
    columns = []
    for s, judge in enumerate(judges):
        logits_GC = verdict(judge, ink_of(ink_GX), random_pixels(ink_GX, pixels, seed=[seed, s, pixels, draw]))
        lead_GC = np.take_along_axis(logits_GC, label_G[:, None], 1) - logits_GC
        lead_GL = lead_GC[np.arange(10)[None] != label_G[:, None]].reshape(-1, 9)
        columns.append(_counted(lead_GL, logits_GC.argmax(1) == label_G, draws=DRAWS))
    return _side_by_side(columns)


def first_believed(
    judge: PixelJudge, table: Games, moves_GT: np.ndarray, *, ink_GX: np.ndarray | None = None
) -> np.ndarray:
    """Return the judge's probability of the first claim, of the two, (G,); of other images' pixels if their ink is given."""
    logits_GC = verdict(judge, table.ink_GX if ink_GX is None else ink_GX, moves_GT)
    return probability(margin(logits_GC, table.first_G, table.second_G))


def _counted(lead_GL: np.ndarray, ten_G: np.ndarray, *, draws: int) -> dict[str, np.ndarray]:
    """Count from the judge's leads, in nats, of the right label over each lie; the mean over draws of each image."""
    paid_GL = probability(lead_GL.ravel()).reshape(lead_GL.shape)
    by_game = {
        "beats_all_PS": (lead_GL > 0).all(1),
        "beats_PS": (lead_GL > 0).mean(1),
        "paid_PS": paid_GL.mean(1),
        "sure_PS": np.maximum(paid_GL, 1 - paid_GL).mean(1),
        "ten_PS": ten_G,
    }
    return {name: values.astype(float).reshape(-1, draws).mean(1) for name, values in by_game.items()}


def _side_by_side(columns: Sequence[dict[str, np.ndarray]]) -> Believed:
    return Believed(**{name: np.stack([c[name] for c in columns], 1) for name in columns[0]})
