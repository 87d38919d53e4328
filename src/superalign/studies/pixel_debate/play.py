"""The debates of the digits study: which claims meet about which images, played as jobs that give the pixels shown.

A job searches and returns moves alone; who is right is counted afterwards, so that no number depends on how work was cut.

Shape suffixes: P images, G games (image by image), X pixels, T turns.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from superalign.oversight.judges.judge import key_of
from superalign.oversight.pixels.debate import OPEN, Debater, Games, at_random, games, greedy, play, taking_turns
from superalign.oversight.pixels.judge import PixelJudge, PixelJudgeConfig, train_pixel_judge, unpacked
from superalign.oversight.pixels.search import exact, perfect_play, tree_search
from superalign.problems import digits
from superalign.types import Record

NINE_FIRST, NINE_LAST = "honest first, nine lies", "liar first, nine lies"
ONE_FIRST, ONE_LAST = "honest first, one lie", "liar first, one lie"
OPEN_FIRST, OPEN_LAST = "honest first, lie named last", "liar first, lie named last"
LIES = "two lies"
CLAIM = "the panel's claims"
ALONE = "the panel's claims, one debater shows all"
EACH = {NINE_FIRST: 9, NINE_LAST: 9}  # games per image, where not one
HONEST_FIRST = {NINE_FIRST, ONE_FIRST, OPEN_FIRST}
EVERYTHING = (NINE_FIRST, NINE_LAST, OPEN_FIRST, OPEN_LAST, LIES)
NINE = (NINE_FIRST, NINE_LAST)
ONE = (ONE_FIRST, ONE_LAST)
UNNAMED = (OPEN_FIRST, OPEN_LAST)
LIGHT = 33  # non-blank pixels, at most, of the images that five and six pixels are played perfectly on


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Record):
    """One judge to train."""

    steps: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Match(Record):
    """Debates of some images before one judge."""

    judge: str  # packed weights
    who: int  # which judge it is
    seed: int  # of lies, claims and chance
    start: int
    stop: int  # test images from start to stop
    pixels: int
    kinds: tuple[str, ...]
    honest: str  # how the debater for the right label plays; in kinds without one, the first
    lying: str
    most_ink: int = 0  # take only images with at most this many non-blank pixels; 0 for all


def train_job(item: Training) -> str:
    """Train a judge on the training images; its packed weights."""
    seen = digits.images("train")
    return train_pixel_judge(
        seen.ink_PX, seen.label_P, config=PixelJudgeConfig(steps=item.steps), seed=item.seed
    ).packed()


def strengths_of(simulations: Sequence[int]) -> tuple[str, ...]:
    """Debaters of the sweep, weak first."""
    return ("random", "greedy", *(f"tree {s}" for s in simulations), "exact")


def chosen(match: Match) -> np.ndarray:
    """Which test images a match is about."""
    ink_PX = digits.images("test").ink_PX
    able = np.arange(len(ink_PX))
    if match.most_ink:
        able = able[(ink_PX > 0).sum(1) <= match.most_ink]
    return able[match.start : match.stop]


def lies_of(ink_PX: np.ndarray, label_P: np.ndarray, *, seed: int) -> np.ndarray:
    """Two different wrong labels for every image (P, 2), by the image and the seed alone."""
    out = []
    for ink_X, label in zip(ink_PX, label_P, strict=True):
        key = int.from_bytes(key_of(seed, b"lies" + ink_X.astype(np.uint8).tobytes())[:8], "little")
        wrong = [other for other in range(10) if other != label]
        out.append((wrong[key % 9], wrong[(key % 9 + 1 + (key // 9) % 8) % 9]))
    return np.array(out)


def claims_true(n: int, *, seed: int) -> np.ndarray:
    """Which of the first n test images the panel makes a true claim about: one of every two neighbours."""
    first = np.random.default_rng([seed, 1805]).random(digits.TEST // 2) < 0.5
    return np.stack([first, ~first], 1).ravel()[:n]


def layout(kind: str, image_P: np.ndarray, *, seed: int, pixels: int) -> Games:
    """The games of one kind about some test images."""
    some = digits.images("test")
    ink_PX, label_P = some.ink_PX[image_P], some.label_P[image_P]
    lies_P2 = lies_of(ink_PX, label_P, seed=seed)
    turns = taking_turns(pixels)
    if kind in NINE:
        truth = np.repeat(label_P, 9)
        lie = np.concatenate([[other for other in range(10) if other != label] for label in label_P])
    elif kind in (OPEN_FIRST, OPEN_LAST):
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
    ink_GX = np.repeat(ink_PX, EACH.get(kind, 1), axis=0)
    honest_first = kind not in (NINE_LAST, ONE_LAST, OPEN_LAST)
    first, second = (truth, lie) if honest_first else (lie, truth)
    return games(ink_GX, first, second, turns=turns, seed=seed)


def debater(name: str) -> Debater:
    """A debater by name: random, greedy, exact, or tree and how many positions it looks at."""
    if found := re.fullmatch(r"tree (\d+)", name):
        return tree_search(int(found[1]))
    return {"random": at_random, "greedy": greedy, "exact": exact}[name]


def match_job(match: Match) -> dict[str, Any]:
    """Play a match; the moves of every kind."""
    judge, image_P = _judge(match.judge), chosen(match)
    tables = {kind: layout(kind, image_P, seed=match.seed, pixels=match.pixels) for kind in match.kinds}
    if match.honest == match.lying == "exact":
        return {kind: moves.tolist() for kind, moves in _perfect(judge, tables).items()}
    out = {}
    for kind, table in tables.items():
        swap = kind in (NINE_LAST, ONE_LAST, OPEN_LAST)
        first, second = (match.lying, match.honest) if swap else (match.honest, match.lying)
        out[kind] = play(judge, table, debater(first), debater(second)).tolist()
    return out


def _perfect(judge: PixelJudge, tables: dict[str, Games]) -> dict[str, np.ndarray]:
    """Solve all kinds of one image at once: what the judge would say is needed once for all of them."""
    alike: dict[tuple[int, ...], list[str]] = {}
    for kind, table in tables.items():
        alike.setdefault(table.turns, []).append(kind)
    out: dict[str, np.ndarray] = {}
    for kinds in alike.values():
        some = [tables[kind] for kind in kinds]
        together = replace(
            some[0],
            ink_GX=np.concatenate([t.ink_GX for t in some]),
            first_G=np.concatenate([t.first_G for t in some]),
            second_G=np.concatenate([t.second_G for t in some]),
            key_G=np.concatenate([t.key_G for t in some]),
        )
        ends = np.cumsum([len(t) for t in some])[:-1]
        out.update(zip(kinds, np.split(perfect_play(judge, together), ends), strict=True))
    return out


@functools.lru_cache(maxsize=4)
def _judge(packed: str) -> PixelJudge:
    return unpacked(packed)


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Put the moves of matches about consecutive images behind each other."""
    return {kind: np.concatenate([np.array(p[kind]) for p in parts]) for kind in parts[0]}
