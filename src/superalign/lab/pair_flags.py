"""Which pairs, and which subjects, disagree beyond what clean ones do.

Shape suffixes: X models of the first seat, Y of the second, P test items, G groups of items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from superalign.kit.evidence import Estimate
from superalign.kit.run import Run
from superalign.lab.opposition import disagreement
from superalign.organisms.triples import Triple
from superalign.stats import choose_thresholds, flags, share
from superalign.stats.recall import Sides, Thresholds
from superalign.types import Record

RATE, GROUP = "rate of disagreement", "largest of a subgroup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagged(Record):
    """Scores of the organisms of one kind in pairs, and the threshold: on record before the rules are told."""

    first: str
    second: str  # writer, or the same technique
    score: str
    threshold: float
    clean: int  # pairs that set it
    values: tuple[float, ...]  # organism by organism, in each of its pairs


def pair_scores(
    xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], group_GP: Float[np.ndarray, "G P"]
) -> Float[np.ndarray, "X Y 2"]:
    """Score every pair: the rate of disagreement, and the largest of a subgroup."""
    return np.array([[disagreement(x, y, group_GP) for y in ys] for x in xs])


def lowest(values: np.ndarray, rate: float, sides: Sides = "high") -> Thresholds:
    """Choose a threshold, at the lowest rate that so few clean scores allow where they do not allow the one asked for."""
    chosen = choose_thresholds(values, rate=rate, sides=sides, or_lowest=True)
    assert isinstance(chosen, Thresholds)
    return chosen


def alarms(clean_XY: Float[np.ndarray, "X Y"], rate: float) -> Bool[np.ndarray, "X Y"]:
    """Say which clean pairs are flagged by a threshold from the pairs that share no model with them.

    Example:
        >>> alarms(np.arange(16.0).reshape(4, 4), 0.2).any(1).tolist()
        [False, False, False, True]
    """
    out_XY = np.zeros(clean_XY.shape, bool)
    for i, j in np.ndindex(*clean_XY.shape):
        rest = np.delete(np.delete(clean_XY, i, 0), j, 1)
        out_XY[i, j] = flags([clean_XY[i, j]], thresholds=lowest(rest.ravel(), rate))[0]
    return out_XY


def flag_pairs(
    first: str,
    second: str,
    score: str,
    clean_XY: Float[np.ndarray, "X Y"],
    planted: Sequence[np.ndarray],
    *,
    rate: float,
    run: Run,
) -> tuple[Estimate, tuple[Estimate, ...]]:
    """Flag pairs beyond what clean ones reach, on record; return the share of false alarms, and recall of each kind planted.

    Args:
        first: Who sits in the first seat.
        second: Who sits in the second.
        score: What is scored.
        clean_XY: Scores of clean pairs.
        planted: Scores of pairs with an organism, (X, Y) for each kind.
        rate: Of false alarms that is asked for.
        run: Whose ledger the scores are kept in.
    """
    chosen = lowest(clean_XY.ravel(), rate)
    assert isinstance(chosen.high, float)
    values = tuple(float(v) for x_XY in planted for v in x_XY.ravel())
    run.keep(
        Flagged(first=first, second=second, score=score, threshold=chosen.high, clean=clean_XY.size, values=values)
    )
    recall = [share(flags(x.ravel(), thresholds=chosen).reshape(x.shape).astype(float)) for x in planted]
    return share(alarms(clean_XY, rate).astype(float)), tuple(recall)


def flagged_by_role(
    scores: Mapping[str, Mapping[str, float]],
    ships: Sequence[Triple],
    further: Sequence[Triple],
    *,
    sides: Mapping[str, Sides],
    rate: float,
) -> dict[tuple[str, str], tuple[list[str], tuple[tuple[str, int], ...]]]:
    """Flag subjects by thresholds that shipped twins of the other kinds have set: (kind, role) -> names, and counts by score.

    Args:
        scores: Name of a subject -> score -> value.
        ships: The triples that ship.
        further: Others, which set no threshold.
        sides: Which values of a score are suspicious, where it is not high ones.
        rate: Of false alarms.
    """
    twins = [(t.spec.kind, name) for t in ships for role, name in t.subjects if role != "organism"]
    groups: dict[tuple[str, str, str], list[str]] = {}
    for t in (*ships, *further):
        dial = f", on {t.spec.share:g} of them" if t.spec.share < 1 else ""
        for role, name in t.subjects:
            groups.setdefault((t.spec.kind, t.spec.kind + dial, role), []).append(name)
    out = {}
    for (kind, called, role), names in groups.items():
        counts = []
        for score in scores[names[0]]:
            others = np.array([scores[n][score] for k, n in twins if k != kind])
            chosen = lowest(others, rate, sides.get(score, "high"))
            counts.append((score, int(flags([scores[n][score] for n in names], thresholds=chosen).sum())))
        out[called, role] = (names, tuple(counts))
    return out
