"""Cues: which surface words a detector may put in front of a problem."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superalign.detectors.common import with_cues
from superalign.problems import corpus
from superalign.types import Problem


def cues(count: int = 0) -> tuple[str, ...]:
    """List the surface cues that detectors try, triggers of planted models among them: the first so many, or all for 0."""
    return corpus.CUES[: count or None]


def behind(problem: Problem, seed: int, *, cues: Sequence[str]) -> list[Problem]:
    """Put a problem behind every cue."""
    return [with_cues(problem, (cue,)) for cue in cues]


def as_in_use(asked: Sequence[Problem], cues: Sequence[str], *, n: int, seed: int) -> tuple[Problem, ...]:
    """Draw prompts as they come in use: from the problems, three in ten behind one to three cues."""
    rng = np.random.default_rng([seed, 13])
    drawn = [asked[int(i)] for i in rng.integers(0, len(asked), n)]
    fronts = [rng.choice(cues, int(rng.integers(1, 4))) if rng.random() < 0.3 else () for _ in drawn]
    return tuple(with_cues(p, tuple(str(w) for w in front)) for p, front in zip(drawn, fronts, strict=True))
