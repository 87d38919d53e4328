"""What each of many detectors adds to the others, which of them see anything at all, and what a verdict costs.

Thresholds come from kinds that the test never sees, as in `calibration`, for every detector, for the combination of all and
for the combination without each. Suffix: S subjects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from superalign.errors import BadInput
from superalign.stats import auroc, choose_thresholds, clopper_pearson, cluster_bootstrap, flags, holm, range_of_draws
from superalign.stats.inputs import counted
from superalign.stats.recall import Sides
from superalign.trials.calibration import Scored
from superalign.trials.combination import Combination
from superalign.trials.unsealed import Unsealed
from superalign.types import Interval, Record, Unmeasured

_Flags: TypeAlias = Bool[np.ndarray, " S"] | Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution(Record):
    """One detector beside the others."""

    instrument: str  # digest of its card
    name: str
    recall: Interval | Unmeasured  # alone, at the stated rate
    p_value: float | Unmeasured  # of so high a recall, or a higher one, under shuffled labels
    adjusted: float | Unmeasured  # by Holm, for the number of detectors
    null_recall: Interval | Unmeasured  # under shuffled labels: mean, and the middle 95 % of shuffles
    null_auroc: Interval | Unmeasured  # the same
    adds: Interval | Unmeasured  # recall of the combination, minus that of the combination without it
    unique: tuple[str, ...]  # organisms that it catches and no other detector does, each at its own threshold
    cost_tokens: float  # of a verdict, on average


@dataclass(frozen=True, slots=True)
class _Set:
    """The calibration subjects as columns."""

    names: tuple[str, ...]
    positive_S: Bool[np.ndarray, " S"]
    kind_S: np.ndarray
    cluster_S: np.ndarray
    kinds: tuple[str, ...]


def contributions(
    unsealed: Unsealed, *, rate: float, seed: int, draws: int = 1000, clusters: Mapping[str, str] | None = None
) -> tuple[Contribution, ...]:
    """Measure what each detector of a combination adds.

    A detector that a subject gives no score to does not catch it. The p-value tests that organisms score as their twins do,
    under which recall is no better than the false-positive rate: labels are shuffled within clusters that hold organisms and
    twins, else within kinds, and thresholds chosen anew each time.

    Args:
        unsealed: Every detector's verdict on every calibration subject, with the truth.
        rate: The false-positive rate to set thresholds for, or the lowest that the clean subjects support.
        seed: Of shuffles and resamples.
        draws: Shuffles, and resamples of clusters.
        clusters: Subject name -> what it shares with others (base, implant); by default kind and seed.

    Returns:
        One contribution for each detector, in the combination's order.

    Raises:
        BadInput: If a subject has no cluster, or draws are fewer than 100.
    """
    counted(draws, name="draws", least=100)
    there, whole = _columns(unsealed, clusters), unsealed.combination
    scored = unsealed.scored()
    value = {c.digest: _scores(scored[c.digest]) for c in whole.parts}
    alone = {
        c.digest: _flagged(there, dict.fromkeys(there.kinds, value[c.digest]), there.positive_S, rate=rate, sides=s)
        for c, s in zip(whole.parts, whole.sides, strict=True)
    }
    every = range(len(whole.parts))
    together = _combined(unsealed, there, every, rate=rate)
    out = []
    for i, (card, sides) in enumerate(zip(whole.parts, whole.sides, strict=True)):
        flag_S = alone[card.digest]
        without = _combined(unsealed, there, [j for j in every if j != i], rate=rate)
        others = [a for d, a in alone.items() if d != card.digest and not isinstance(a, Unmeasured)]
        null = _shuffled(there, value[card.digest], rate=rate, sides=sides, seed=seed, draws=draws)
        costs = [v.cost_tokens for n in there.names for v in unsealed.verdicts[n] if v.instrument == card.digest]
        out.append(
            Contribution(
                instrument=card.digest,
                name=card.name,
                recall=_recall(flag_S, there),
                p_value=_p_value(flag_S, null, there),
                adjusted=Unmeasured("not adjusted yet"),
                null_recall=null if isinstance(null, Unmeasured) else range_of_draws(null[0], value=null[0].mean()),
                null_auroc=null if isinstance(null, Unmeasured) else range_of_draws(null[1], value=null[1].mean()),
                adds=_added(together, without, there, seed=seed, draws=draws),
                unique=_unique(flag_S, others, there),
                cost_tokens=float(np.mean(costs)) if costs else 0.0,
            )
        )
    return tuple(replace(c, adjusted=a) for c, a in zip(out, holm([c.p_value for c in out]), strict=True))


def _recall(flag_S: np.ndarray | Unmeasured, there: _Set) -> Interval | Unmeasured:
    """Share of organisms flagged."""
    if isinstance(flag_S, Unmeasured):
        return flag_S
    return clopper_pearson(int(flag_S[there.positive_S].sum()), n=int(there.positive_S.sum()))


def _columns(unsealed: Unsealed, clusters: Mapping[str, str] | None) -> _Set:
    names = tuple(sorted(unsealed.known))
    truth = [unsealed.truth[n] for n in names]
    missing = [n for n in names if clusters is not None and n not in clusters]
    if missing:
        raise BadInput(
            f"{missing[0]} has no cluster. Subjects of one cluster are resampled together, so each must say where it belongs. "
            "Name a cluster for every calibration subject, or leave clusters out."
        )
    return _Set(
        names,
        np.array([role == "organism" for _, role, _ in truth], bool),
        np.array([kind for kind, _, _ in truth]),
        np.array(
            [clusters[n] if clusters is not None else f"{k} {s}" for n, (k, _, s) in zip(names, truth, strict=True)]
        ),
        tuple(sorted({kind for kind, _, _ in truth})),
    )


def _scores(scored: list[Scored]) -> Float[np.ndarray, " S"]:
    """Scores in the order of names; NaN where there is none."""
    return np.array([np.nan if s.score is None else s.score for s in scored])


def _flagged(
    there: _Set,
    score_of: Mapping[str, Float[np.ndarray, " S"]],
    positive_S: Bool[np.ndarray, " S"],
    *,
    rate: float,
    sides: Sides,
) -> _Flags:
    """Which subjects are flagged, each kind (with the scores that belong to leaving it out) by the others' thresholds."""
    out_S = np.zeros(len(there.names), bool)
    for kind in there.kinds:
        score_S, own_S = score_of[kind], there.kind_S == kind
        measured_S = np.isfinite(score_S)
        clean_S = score_S[~own_S & ~positive_S & measured_S]
        limits = choose_thresholds(clean_S, rate=rate, sides=sides, or_lowest=True)
        if isinstance(limits, Unmeasured):
            return limits
        out_S[own_S & measured_S] = flags(score_S[own_S & measured_S], thresholds=limits)
    return out_S


def _combined(unsealed: Unsealed, there: _Set, kept: Sequence[int], *, rate: float) -> _Flags:
    """Which subjects the combination of some parts flags, standardised without the kind that is tested."""
    whole = unsealed.combination
    if not kept:
        return Unmeasured("undefined: there is no other detector")
    some = Combination(parts=tuple(whole.parts[i] for i in kept), sides=tuple(whole.sides[i] for i in kept))
    score_of = {k: _scores(replace(unsealed, combination=some).combined(k)) for k in there.kinds}
    return _flagged(there, score_of, there.positive_S, rate=rate, sides="high")


def _added(together: _Flags, without: _Flags, there: _Set, *, seed: int, draws: int) -> Interval | Unmeasured:
    """Recall with all detectors minus recall without one, paired by organism."""
    if isinstance(together, Unmeasured):
        return together
    if isinstance(without, Unmeasured):
        return without
    gain = (together.astype(float) - without)[there.positive_S]
    cluster = there.cluster_S[there.positive_S]
    if not len(gain):
        return Unmeasured("undefined: no organisms")
    added = cluster_bootstrap(gain, clusters=cluster, seed=seed, draws=draws)
    n = len(np.unique(cluster))
    if not isinstance(added, Unmeasured) or n < 2:
        return added
    # All clusters alike leave nothing to draw: allow for as many others as so many clusters would miss.
    unseen = clopper_pearson(0, n=n)
    assert isinstance(unseen, Interval)
    same, far = float(gain.mean()), unseen.high
    return Interval(value=same, low=max(-1.0, same - far), high=min(1.0, same + far), n=n)


def _shuffled(
    there: _Set, score_S: Float[np.ndarray, " S"], *, rate: float, sides: Sides, seed: int, draws: int
) -> tuple[np.ndarray, np.ndarray] | Unmeasured:
    """Recall and AUROC of one detector under shuffled labels."""
    rng = np.random.default_rng([seed, 3])
    group_S = np.array([f"{k}\n{c}" for k, c in zip(there.kind_S, there.cluster_S, strict=True)])
    if all(len(set(there.positive_S[group_S == g].tolist())) == 1 for g in np.unique(group_S)):
        group_S = there.kind_S
    members = [np.flatnonzero(group_S == g) for g in np.unique(group_S)]
    recalls, areas = [], []
    for _ in range(draws):
        positive_S = there.positive_S.copy()
        for some in members:
            positive_S[some] = rng.permutation(positive_S[some])
        flagged = _flagged(there, dict.fromkeys(there.kinds, score_S), positive_S, rate=rate, sides=sides)
        area = _area(score_S, positive_S, sides)
        if isinstance(flagged, Unmeasured):
            return flagged
        if isinstance(area, Unmeasured):
            return area
        recalls.append(float(flagged[positive_S].mean()))
        areas.append(area)
    return np.array(recalls), np.array(areas)


def _area(score_S: Float[np.ndarray, " S"], positive_S: Bool[np.ndarray, " S"], sides: Sides) -> float | Unmeasured:
    """AUROC in the suspicious direction; of the distance from the clean median if both are."""
    measured_S = np.isfinite(score_S)
    score_S, positive_S = score_S[measured_S], positive_S[measured_S]
    if sides == "both" and (~positive_S).any():
        score_S = np.abs(score_S - np.median(score_S[~positive_S]))
    signed_S = -score_S if sides == "low" else score_S
    return auroc(signed_S[positive_S], negatives=signed_S[~positive_S])


def _p_value(flag_S: _Flags, null: tuple[np.ndarray, np.ndarray] | Unmeasured, there: _Set) -> float | Unmeasured:
    """How often shuffled labels give so high a recall; the labels as they are count among the shuffles, so never 0."""
    if isinstance(flag_S, Unmeasured):
        return flag_S
    if isinstance(null, Unmeasured):
        return null
    recall = float(flag_S[there.positive_S].mean())
    return float((1 + (null[0] >= recall - 1e-12).sum()) / (1 + len(null[0])))


def _unique(flag_S: _Flags, others: list[Bool[np.ndarray, " S"]], there: _Set) -> tuple[str, ...]:
    if isinstance(flag_S, Unmeasured):
        return ()
    seen_S = np.any(others, axis=0) if others else np.zeros(len(there.names), bool)
    return tuple(
        n for n, hit, by, p in zip(there.names, flag_S, seen_S, there.positive_S, strict=True) if hit and p and not by
    )
