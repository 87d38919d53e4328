"""Recall at a fixed false-positive rate: thresholds from negatives, flags, and bounds.

n exchangeable continuous scores cut the line into n + 1 gaps, and a new negative falls into each with chance
1 / (n + 1). Flagging above the K-th largest negative gives up K gaps, so the false-positive rate is Beta(K, n + 1 - K)
with mean K / (n + 1). Suffixes: B draws, N positives, M negatives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincinv

from superalign.errors import BadInput
from superalign.stats.inputs import column, counted, fraction, two_tail
from superalign.stats.proportions import clopper_pearson
from superalign.stats.ranking import joint_codes
from superalign.stats.resampling import chunk_sizes, interval_from_draws, resample_classes
from superalign.types import Interval, Record, Unmeasured

Sides: TypeAlias = Literal["high", "low", "both"]  # which scores are suspicious
_FUZZ = 1e-9  # 0.29 * 100 is 28.999999999999996


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds(Record):
    """Where an instrument starts to flag, and the false-positive rate that its n negatives support there."""

    low: float | Unmeasured  # flag strictly below
    high: float | Unmeasured  # flag strictly above
    rate: float  # the mean false-positive rate, or with `assurance` the rate it exceeds with chance 1 - assurance
    n: int  # negatives


def lowest_rate(n: int, *, sides: Sides = "high", assurance: float | None = None) -> float | Unmeasured:
    """Return the lowest false-positive rate that n negatives support.

    Args:
        n: Negatives that the threshold is chosen on.
        sides: Which scores are suspicious; "both" gives up one gap at each end.
        assurance: None if the rate is to hold on average over draws of negatives; 0.95 if in 95 % of them.

    Returns:
        The rate; `Unmeasured` if n is too small to have one.

    Raises:
        BadInput: If n is negative.

    Example:
        >>> lowest_rate(99), lowest_rate(99, sides="both"), round(lowest_rate(99, assurance=0.95), 3)
        (0.01, 0.02, 0.03)
    """
    n, least = counted(n, name="n", least=0), _least_gaps(sides)
    if n < least:
        return Unmeasured(f"undefined: {n} negatives, and {least} are needed to set a threshold")
    return _stated_rate(least, n=n, assurance=assurance)


def choose_thresholds(
    negatives: ArrayLike, *, rate: float, sides: Sides = "high", assurance: float | None = None, or_lowest: bool = False
) -> Thresholds | Unmeasured:
    """Set thresholds that flag at most a given share of new negatives.

    Args:
        negatives: Scores of negatives that enter no reported number, shape (M,).
        rate: The false-positive rate allowed.
        sides: Flag high scores, low scores, or both (the allowance is split, an odd gap going to the high side).
        assurance: None if the rate is to hold on average over draws of negatives; 0.95 if in 95 % of them.
        or_lowest: Take the lowest rate that the negatives support if they do not support the one asked for. The rate
            obtained is in the answer.

    Returns:
        Thresholds with their rate, at most the one asked for unless `or_lowest`; `Unmeasured` if there are too few.

    Raises:
        BadInput: If the rate is not strictly between 0 and 1, or a score is not a finite number.

    Example:
        >>> choose_thresholds(range(99), rate=0.05)
        Thresholds(low=Unmeasured(why='one-sided: only high scores count'), high=94.0, rate=0.05, n=99)
        >>> choose_thresholds(range(9), rate=0.05).why
        'undefined: 9 negatives support no false-positive rate below 0.1'
    """
    neg = np.sort(column(negatives, name="negatives"))
    rate, n = fraction(rate, name="rate"), len(neg)
    lowest = lowest_rate(n, sides=sides, assurance=assurance)
    if isinstance(lowest, Unmeasured):
        return lowest
    gaps = _gaps(n, rate=rate, assurance=assurance)
    if gaps < _least_gaps(sides):
        if not or_lowest:
            return Unmeasured(f"undefined: {n} negatives support no false-positive rate below {lowest:.4g}")
        gaps = _least_gaps(sides)
    below, above = _split(gaps, sides=sides)
    return Thresholds(
        low=float(neg[below - 1]) if below else Unmeasured("one-sided: only high scores count"),
        high=float(neg[n - above]) if above else Unmeasured("one-sided: only low scores count"),
        rate=_stated_rate(gaps, n=n, assurance=assurance),
        n=n,
    )


def flags(scores: ArrayLike, *, thresholds: Thresholds) -> Bool[np.ndarray, " N"]:
    """Say which scores lie strictly beyond a threshold, as booleans of the same length.

    Example:
        >>> flags([94, 95], thresholds=choose_thresholds(range(99), rate=0.05)).tolist()
        [False, True]
    """
    x = column(scores, name="scores")
    low = -math.inf if isinstance(thresholds.low, Unmeasured) else thresholds.low
    high = math.inf if isinstance(thresholds.high, Unmeasured) else thresholds.high
    return (x < low) | (x > high)


def flagged_fraction(scores: ArrayLike, *, thresholds: Thresholds, confidence: float = 0.95) -> Interval | Unmeasured:
    """Return the share of fresh scores beyond given thresholds, with its Clopper-Pearson interval.

    Of positives this is recall; of negatives that did not set the thresholds, the false-positive rate.

    Args:
        scores: One score per independent unit, shape (N,).
        thresholds: From `choose_thresholds`, on other units.
        confidence: Coverage, two-sided; `low` is the bound to quote.

    Returns:
        The share with its interval; `Unmeasured` without scores.

    Raises:
        BadInput: If a score is not a finite number.

    Example:
        >>> i = flagged_fraction([95] * 18 + [0] * 2, thresholds=choose_thresholds(range(99), rate=0.05))
        >>> i.value, round(i.low, 3)
        (0.9, 0.683)
    """
    flagged = flags(scores, thresholds=thresholds)
    return clopper_pearson(int(flagged.sum()), n=len(flagged), confidence=confidence)


def recall_at_rate(
    positives: ArrayLike,
    *,
    negatives: ArrayLike,
    rate: float,
    sides: Sides = "high",
    assurance: float | None = None,
    or_lowest: bool = False,
    confidence: float = 0.95,
) -> Interval | Unmeasured:
    """Recall at a false-positive rate, with the Clopper-Pearson interval given the threshold.

    It speaks of this one threshold. For what another draw of negatives would have given, see `recall_bootstrap`.

    Args:
        positives: Scores of positives, shape (N,).
        negatives: Scores of negatives, shape (M,).
        rate: The false-positive rate allowed.
        sides: Which scores are suspicious.
        assurance: As in `choose_thresholds`.
        or_lowest: As in `choose_thresholds`.
        confidence: Coverage, two-sided; `low` is the bound to quote.

    Returns:
        Recall with its interval, n the number of positives; `Unmeasured` without positives or with too few negatives.

    Raises:
        BadInput: If the rate is not strictly between 0 and 1, or a score is not a finite number.

    Example:
        >>> i = recall_at_rate([0.9] * 20, negatives=np.linspace(0, 0.8, 99), rate=0.01)
        >>> i.value, round(i.low, 3)
        (1.0, 0.832)
    """
    chosen = choose_thresholds(negatives, rate=rate, sides=sides, assurance=assurance, or_lowest=or_lowest)
    if isinstance(chosen, Unmeasured):
        return chosen
    return flagged_fraction(positives, thresholds=chosen, confidence=confidence)


def recall_bootstrap(
    positives: ArrayLike,
    *,
    negatives: ArrayLike,
    rate: float,
    sides: Sides = "high",
    or_lowest: bool = False,
    clusters: tuple[ArrayLike, ArrayLike] | None = None,
    seed: int,
    draws: int = 2000,
    confidence: float = 0.95,
) -> Interval | Unmeasured:
    """Recall at a false-positive rate, resampling both classes and choosing the threshold again each time.

    The interval is never narrower than Clopper-Pearson given the threshold, since resamples of a perfect or empty
    recall do not vary. With only a few negatives beyond the threshold (rate * M below about 5) it is too narrow: no
    resample holds a more extreme negative than the data.

    Args:
        positives: Scores of positives, shape (N,).
        negatives: Scores of negatives, shape (M,).
        rate: The false-positive rate allowed, on average over negatives.
        sides: Which scores are suspicious.
        or_lowest: As in `choose_thresholds`.
        clusters: Cluster labels of positives and of negatives, as in `auroc_bootstrap`. Clopper-Pearson then counts
            clusters with a positive as its units.
        seed: Seed of the resamples.
        draws: Number of resamples.
        confidence: Coverage, two-sided; `low` is the bound to quote.

    Returns:
        Recall with its interval, n the number of positives or of their clusters; `Unmeasured` where a class is
        missing or lies in one cluster, or negatives are too few for the rate.

    Raises:
        BadInput: If the rate is not strictly between 0 and 1, or a score is not a finite number.

    Example:
        >>> i = recall_bootstrap([0.9] * 20, negatives=np.linspace(0, 0.8, 99), rate=0.05, seed=0)
        >>> i.value, round(i.low, 3)
        (1.0, 0.832)
    """
    pos, neg = column(positives, name="positives"), column(negatives, name="negatives")
    counted(draws, name="draws", least=100)
    two_tail(confidence)
    chosen = choose_thresholds(neg, rate=rate, sides=sides, or_lowest=or_lowest)
    if isinstance(chosen, Unmeasured):
        return chosen
    if not len(pos):
        return Unmeasured("undefined: no positives")
    pos_codes, neg_codes, _ = joint_codes(len(pos), len(neg), clusters=clusters)
    pos_units, neg_units = len(np.unique(pos_codes)), len(np.unique(neg_codes))
    if min(pos_units, neg_units) < 2:
        return Unmeasured("undefined: one class lies in a single cluster, and a spread needs at least two")
    recall = float(flags(pos, thresholds=chosen).mean())
    rng = np.random.default_rng(seed)
    order = np.argsort(neg)
    parts = []
    for b in chunk_sizes(draws, 2 * (len(pos) + len(neg))):
        weight_BN, weight_BM = resample_classes(rng, draws=b, positive_codes=pos_codes, negative_codes=neg_codes)
        parts.append(_weighted_recall(pos, neg[order], weight_BN, weight_BM[:, order], rate=chosen.rate, sides=sides))
    draws_B = np.concatenate(parts)
    kept_B = draws_B[np.isfinite(draws_B)]
    if len(kept_B) < 0.9 * draws:
        return Unmeasured(f"undefined: {draws - len(kept_B)} of {draws} resamples lack one class; too few clusters")
    resampled = interval_from_draws(kept_B, value=recall, n=min(pos_units, neg_units), confidence=confidence)
    # Fewer hits downwards and more upwards, so that rounding to whole clusters never narrows the bound.
    floor = clopper_pearson(math.floor(recall * pos_units + _FUZZ), n=pos_units, confidence=confidence)
    roof = clopper_pearson(math.ceil(recall * pos_units - _FUZZ), n=pos_units, confidence=confidence)
    assert isinstance(floor, Interval)
    assert isinstance(roof, Interval)
    low, high = min(resampled.low, floor.low), max(resampled.high, roof.high)
    return Interval(value=recall, low=max(0.0, low), high=min(1.0, high), n=pos_units)


def _weighted_recall(
    pos: Float[np.ndarray, " N"],
    neg: Float[np.ndarray, " M"],
    weight_BN: Int[np.ndarray, "B N"],
    weight_BM: Int[np.ndarray, "B M"],
    *,
    rate: float,
    sides: Sides,
) -> Float[np.ndarray, " B"]:
    """Recall of each resample with its own threshold, negatives sorted ascending; NaN without a class."""
    total_B = weight_BM.sum(axis=1)
    flagged_BN = np.zeros(weight_BN.shape, dtype=bool)
    gaps_B = np.maximum(_least_gaps(sides), np.floor(rate * (total_B + 1) + _FUZZ)).astype(np.int64)
    below_B, above_B = (gaps_B // 2, gaps_B - gaps_B // 2) if sides == "both" else (gaps_B, gaps_B)
    if sides != "low":
        reached = np.cumsum(weight_BM[:, ::-1], axis=1) >= above_B[:, None]
        flagged_BN |= pos[None, :] > neg[::-1][reached.argmax(axis=1)][:, None]
    if sides != "high":
        reached = np.cumsum(weight_BM, axis=1) >= below_B[:, None]
        flagged_BN |= pos[None, :] < neg[reached.argmax(axis=1)][:, None]
    size_B = weight_BN.sum(axis=1)
    hits_B = (flagged_BN * weight_BN).sum(axis=1)
    defined_B = (size_B > 0) & (total_B >= _least_gaps(sides))
    return np.divide(hits_B, size_B, out=np.full(len(size_B), np.nan), where=defined_B)


def _least_gaps(sides: str) -> int:
    """Gaps given up by the strictest threshold: one per suspicious side."""
    if sides not in ("high", "low", "both"):
        raise BadInput(f'sides is "{sides}". It says which scores are suspicious. Pass "high", "low" or "both".')
    return 2 if sides == "both" else 1


def _split(gaps: int, *, sides: Sides) -> tuple[int, int]:
    """Gaps given up at the low and at the high end."""
    below = gaps // 2 if sides == "both" else gaps * (sides == "low")
    return below, gaps - below


def _gaps(n: int, *, rate: float, assurance: float | None) -> int:
    """The most gaps that may be given up; the reference's k is one less."""
    most = math.floor(rate * (n + 1) + _FUZZ)
    if assurance is None:
        return min(most, n)
    tried = np.arange(1, min(most, n) + 1)
    return int((betainc(tried, n + 1 - tried, rate) >= fraction(assurance, name="assurance") - _FUZZ).sum())


def _stated_rate(gaps: int, *, n: int, assurance: float | None) -> float:
    """The rate that giving up some gaps supports."""
    if assurance is None:
        return gaps / (n + 1)
    return float(betaincinv(gaps, n + 1 - gaps, fraction(assurance, name="assurance")))
