"""Jobs of debates about digits: train a judge, play debates before it; they return moves, and nobody counts here."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.oversight.pixels.debate import Games, play
from superalign.oversight.pixels.judge import PixelJudge, PixelJudgeConfig, judge_from, train_pixel_judge
from superalign.oversight.pixels.search import debater, perfect_play
from superalign.problems import digits
from superalign.trials.pixel_debates import LIAR_FIRST, able, layout
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeJob(Record):
    """One judge to train."""

    steps: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DebateJob(Record):
    """Debates of some test images, from start to stop, before one judge."""

    judge: str  # packed weights
    who: int  # which judge it is
    seed: int  # of lies, claims and chance
    start: int
    stop: int
    pixels: int
    kinds: tuple[str, ...]
    honest: str  # how the debater for the right label plays; in kinds without one, the first
    liar: str = ""  # how the other plays; as the honest one if empty

    @property
    def lying(self) -> str:
        """Return how the debater for the lie plays."""
        return self.liar or self.honest


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsEvidence(Record):
    """Where all pixels shown in all debates lie, and the judges' weights."""

    moves: str
    judges: tuple[str, ...]


def train_job(item: JudgeJob) -> str:
    """Train a judge on the training images; its packed weights."""
    seen = digits.images("train")
    settings = PixelJudgeConfig(steps=item.steps)
    return train_pixel_judge(seen.ink_PX, seen.label_P, config=settings, seed=item.seed).packed()


def debate_job(item: DebateJob) -> dict[str, list[list[int]]]:
    """Play; the moves of every kind, (G, T)."""
    judge = judge_of(item.judge)
    image_P = able(item.honest, item.pixels)[item.start : item.stop]
    tables = {kind: layout(kind, image_P, seed=item.seed, pixels=item.pixels) for kind in item.kinds}
    if item.honest == item.lying == "exact":
        # All kinds of one image at once: what the judge would say is needed once for all of them.
        ends = np.cumsum([len(t) for t in tables.values()])[:-1]
        moves_GT = perfect_play(judge, Games.together(list(tables.values())))
        return {kind: part.tolist() for kind, part in zip(tables, np.split(moves_GT, ends), strict=True)}
    out = {}
    for kind, table in tables.items():
        first, second = (item.lying, item.honest) if kind in LIAR_FIRST else (item.honest, item.lying)
        out[kind] = play(judge, table, debater(first), debater(second)).tolist()
    return out


@functools.lru_cache(maxsize=4)
def judge_of(packed: str) -> PixelJudge:
    """Return one judge for the same weights, so that perfect play remembers what it solved."""
    return judge_from(packed)


def joined(
    jobs: Sequence[DebateJob], done: Sequence[dict[str, list[list[int]]]]
) -> dict[tuple[int, int, str, str, str], np.ndarray]:
    """Put moves of jobs about consecutive images behind each other: judge, pixels, honest, lying, kind -> (G, T)."""
    parts: dict[tuple[int, int, str, str, str], list[list[int]]] = {}
    for job, moves in zip(jobs, done, strict=True):
        for kind, shown in moves.items():
            parts.setdefault((job.who, job.pixels, job.honest, job.lying, kind), []).extend(shown)
    return {key: np.array(shown) for key, shown in parts.items()}
