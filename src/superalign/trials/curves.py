"""Detection against a dial: how strong a plant must be to be caught, and how well concealed to be missed.

A level is a setting of a dial (dose, rarity, steps of concealment); recall is measured at each, and a test says whether it
rises or falls along the dial. Thresholds are given: they come from clean subjects, never from the levels themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from superalign.errors import BadInput
from superalign.stats import Alternative, share
from superalign.stats.inputs import counted
from superalign.types import Interval, Record, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialled(Record):
    """One planted subject at one level of a dial, with what an instrument said of it."""

    dial: str  # what is turned: strength, concealment
    level: float
    subject: str
    score: float | Unmeasured
    threshold: float | Unmeasured  # flag strictly above
    family: str = ""  # what the same plant at other levels shares: its kind and seed; empty if nothing does

    @property
    def caught(self) -> bool:
        """Whether it was flagged; without a score or a threshold it was not."""
        measured = not isinstance(self.score, Unmeasured) and not isinstance(self.threshold, Unmeasured)
        return measured and self.score > self.threshold  # type: ignore[operator]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level(Record):
    """Recall at one level of a dial."""

    dial: str
    level: float
    recall: Interval | Unmeasured
    unmeasured: int  # subjects without a score or threshold: counted as missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend(Record):
    """Whether recall moves one way along a dial."""

    dial: str
    slope: float | Unmeasured  # of recall on the rank of the level, from 0 (first) to 1 (last)
    p_value: float | Unmeasured
    side: str
    levels: int
    n: int


def levels(rows: Sequence[Dialled], *, confidence: float = 0.95) -> tuple[Level, ...]:
    """Measure recall at every level of every dial.

    Args:
        rows: Planted subjects, in any order.
        confidence: Coverage of the intervals.

    Returns:
        Levels by dial, in the order in which dials first appear, lowest level first.

    Example:
        >>> rows = [Dialled(dial="dose", level=1.0, subject=str(i), score=float(i), threshold=2.0) for i in range(4)]
        >>> levels(rows)[0].recall.value
        0.25
    """
    out = []
    for dial in dict.fromkeys(r.dial for r in rows):
        of_dial = [r for r in rows if r.dial == dial]
        for level in sorted({r.level for r in of_dial}):
            here = [r for r in of_dial if r.level == level]
            without = sum(isinstance(r.score, Unmeasured) or isinstance(r.threshold, Unmeasured) for r in here)
            recall = share([r.caught for r in here], confidence=confidence)
            if without == len(here):
                recall = Unmeasured(f"undefined: none of {without} subjects has a score and a threshold")
            out.append(Level(dial=dial, level=level, recall=recall, unmeasured=without))
    return tuple(out)


def trend(
    rows: Sequence[Dialled], dial: str, *, seed: int, side: Alternative = "greater", draws: int = 10_000
) -> Trend:
    """Test whether recall rises along a dial, by shuffling catches.

    Catches are shuffled among the levels of one family where the same plant was made at several levels, else among all rows:
    what makes one family easier than another is then no trend.

    Args:
        rows: Planted subjects; those of other dials are left alone.
        dial: Which dial.
        seed: Of the shuffles.
        side: "greater" if recall is expected to rise with the level, as with strength; "less" for concealment.
        draws: Shuffles; the order as it is counts among them, so the p-value is never 0.

    Returns:
        The slope and its p-value; `Unmeasured` with one level, or where all or none are caught.

    Raises:
        BadInput: If no row has this dial, or the side is unknown.

    Source:
        Armitage, Tests for linear trends in proportions and frequencies, 1955; here without its normal approximation.
    """
    counted(draws, name="draws", least=100)
    of_dial = [r for r in rows if r.dial == dial]
    if not of_dial or side not in ("greater", "less", "different"):
        raise BadInput(
            f"There is no trend of {dial!r} on side {side!r}: the rows have the dials "
            f"{', '.join(dict.fromkeys(r.dial for r in rows)) or 'none'}. A test of nothing would come out null. Name one of "
            'them, and "greater", "less" or "different".'
        )
    known = sorted({r.level for r in of_dial})
    hit_R = np.array([r.caught for r in of_dial], np.float64)
    flat = Trend(dial=dial, slope=0.0, p_value=1.0, side=side, levels=len(known), n=len(of_dial))
    if len(known) < 2 or hit_R.min() == hit_R.max():
        what = "one level" if len(known) < 2 else "all are caught" if hit_R.all() else "none is caught"
        why = Unmeasured(f"undefined: {what}, so there is no trend to see")
        return replace(flat, slope=why, p_value=why)
    rank_R = np.array([known.index(r.level) / (len(known) - 1) for r in of_dial])
    rank_R -= rank_R.mean()
    seen = float(rank_R @ hit_R)
    rng = np.random.default_rng([seed, 5])
    sums_B = np.zeros(draws)
    for some in _families(of_dial):
        order_BR = rng.permuted(np.tile(hit_R[some], (draws, 1)), axis=1)
        sums_B += order_BR @ rank_R[some]
    centre = float(sum(rank_R[some].sum() * hit_R[some].mean() for some in _families(of_dial)))  # where nothing trends
    sign = {"greater": 1.0, "less": -1.0, "different": 0.0}[side]
    far_B, far = (sign * (s - centre) if sign else np.abs(s - centre) for s in (sums_B, np.array(seen)))
    p = (1 + int((far_B >= far - 1e-9).sum())) / (1 + draws)
    return replace(flat, slope=(seen - centre) / float(rank_R @ rank_R), p_value=p)


def _families(rows: Sequence[Dialled]) -> list[np.ndarray]:
    """Rows that are shuffled together: by family where one spans several levels, else all."""
    names = np.array([r.family for r in rows])
    members = [np.flatnonzero(names == n) for n in np.unique(names)]
    spans = any(n and len({r.level for r in rows if r.family == n}) > 1 for n in names)
    return members if spans else [np.arange(len(rows))]
