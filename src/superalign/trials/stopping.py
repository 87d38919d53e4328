"""Stopping an audit early to save its cost, without erring more often, by a rule fixed before anything is seen.

Detectors look in a registered order, cheap ones first, until none to come can change what their combination says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from superalign.errors import BadInput
from superalign.stats import ratio_interval
from superalign.trials.combination import Combination
from superalign.trials.unsealed import Unsealed
from superalign.types import Interval, Record, Unmeasured, Verdict

_Pairs: TypeAlias = Mapping[str, tuple[float, float]]  # card digest -> two numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Record):
    """How an audit that could stop early ended."""

    flagged: bool | Unmeasured
    used: int  # detectors that looked
    cost_tokens: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings(Record):
    """What stopping early saved on subjects that all detectors looked at."""

    share: Interval | Unmeasured  # of the full cost that was spent
    changed: tuple[str, ...]  # subjects of which the full audit says something else
    flagged: Interval | Unmeasured  # the same share, of those subjects alone that are flagged


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Record):
    """One detector's place in an order of looks, with all that stopping after it needs."""

    instrument: str  # digest of its card
    cost_tokens: float  # of a verdict, on average over the calibration subjects
    middle: float  # of the clean subjects, as `Combination.scales` gives it
    tail: float
    span: tuple[float, float] | Unmeasured  # the lowest and the highest score that it can give


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Record):
    """In which order detectors look, and when nothing to come can change the outcome. Registered before a subject is asked."""

    combination: str  # digest of its card
    threshold: float  # the combination flags strictly above it
    places: tuple[Place, ...]

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """Middle and tail by card digest."""
        return {p.instrument: (p.middle, p.tail) for p in self.places}

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest score by card digest, where there is such a bound."""
        return {p.instrument: p.span for p in self.places if not isinstance(p.span, Unmeasured)}

    def of(self, combination: Combination) -> Combination:
        """Return the same combination with its parts in this order."""
        side = {c.digest: s for c, s in zip(combination.parts, combination.sides, strict=True)}
        card = {c.digest: c for c in combination.parts}
        there = [p.instrument for p in self.places]
        return replace(combination, parts=tuple(card[d] for d in there), sides=tuple(side[d] for d in there))


def cheapest_first(
    unsealed: Unsealed, *, threshold: float | Unmeasured, spans: _Pairs | None = None
) -> Order | Unmeasured:
    """Order the detectors of a combination by what a verdict on the calibration subjects cost, the cheapest first.

    Args:
        unsealed: Every detector's verdict on the calibration subjects.
        threshold: Of the combination, or why there is none.
        spans: As in `audit_in_order`; dropped for a detector that could not tell of some calibration subject, since it may
            be needed to say so again.

    Returns:
        The order; `Unmeasured` where there is nothing to hold a subject against: whatever is asked, the outcome is that
        nobody can tell.
    """
    whole, scales = unsealed.combination, unsealed.combination.scales(unsealed.clean(without=""))
    if isinstance(threshold, Unmeasured):
        return threshold
    missing = [c.name for c in whole.parts if c.digest not in scales]
    if missing:
        return Unmeasured(f"{missing[0]} has no clean subjects to be standardised on")
    places = []
    for card in whole.parts:
        seen = [v for name in sorted(unsealed.known) for v in unsealed.verdicts[name] if v.instrument == card.digest]
        span: tuple[float, float] | Unmeasured = (spans or {}).get(card.digest, Unmeasured("nothing bounds its scores"))
        if any(isinstance(v.score, Unmeasured) for v in seen):
            span = Unmeasured("it cannot tell of every subject")
        middle, tail = scales[card.digest]
        cost = float(np.mean([v.cost_tokens for v in seen]))
        places.append(Place(instrument=card.digest, cost_tokens=cost, middle=middle, tail=tail, span=span))
    places.sort(key=lambda p: p.cost_tokens)
    return Order(combination=whole.card.digest, threshold=threshold, places=tuple(places))


def audit_in_order(
    looks: Sequence[Callable[[], Verdict]],
    combination: Combination,
    *,
    scales: _Pairs,
    threshold: float,
    spans: _Pairs | None = None,
) -> Stopped:
    """Let detectors look one after the other, until nothing to come can change what their combination says.

    The combination is the largest standardised score: settled as soon as one part passes the threshold or can tell nothing,
    or none to come can reach it. What the full audit may say beyond that is cannot tell, where a part that was not asked could
    not have told: of a flagged subject that holds a release all the same; of one that is not flagged it means that no number
    which that part could have given would have flagged it.

    Args:
        looks: One for each part, in the combination's order; called only if needed.
        combination: With its parts in the registered order, cheap ones first.
        scales: Middle and tail of each part over clean subjects, as `Combination.scales` gives them.
        threshold: The combination flags strictly above it.
        spans: Card digest -> the lowest and highest score that a detector can give, where there is such a bound.

    Returns:
        Flagged or not, or `Unmeasured`, as the full audit says.

    Raises:
        BadInput: If there is not one look for each part.
    """
    if len(looks) != len(combination.parts) or not looks:
        raise BadInput(
            f"{len(looks)} looks for {len(combination.parts)} detectors. They are matched by position. Pass one for each part."
        )
    reach = [_reach(combination, i, scales, spans or {}) for i in range(len(looks))]
    verdicts: dict[str, Verdict] = {}
    cost = 0
    for i, (look, card) in enumerate(zip(looks, combination.parts, strict=True), start=1):
        verdicts[card.digest] = look()
        cost += verdicts[card.digest].cost_tokens
        so_far = replace(combination, parts=combination.parts[:i], sides=combination.sides[:i])(verdicts, scales).score
        if isinstance(so_far, Unmeasured):
            return Stopped(flagged=so_far, used=i, cost_tokens=cost, why=so_far.why)
        if so_far.value > threshold:
            return Stopped(flagged=True, used=i, cost_tokens=cost, why=f"{card.name} passes the threshold")
        if max(reach[i:], default=-math.inf) <= threshold:
            why = (
                "no detector to come can reach the threshold" if i < len(looks) else "no detector passes the threshold"
            )
            return Stopped(flagged=False, used=i, cost_tokens=cost, why=why)
    raise AssertionError("the last detector settles the audit")


def _reach(combination: Combination, i: int, scales: _Pairs, spans: _Pairs) -> float:
    """The highest standardised score that one part can give; infinite where nothing bounds it."""
    card = combination.parts[i].digest
    if card not in spans or card not in scales:
        return math.inf
    (middle, tail), side = scales[card], combination.sides[i]
    ends = [(end - middle) / tail for end in spans[card]]
    return max(map(abs, ends)) if side == "both" else -min(ends) if side == "low" else max(ends)


def savings(unsealed: Unsealed, *, threshold: float, spans: _Pairs | None = None) -> Savings:
    """Replay an audit in its order on subjects that all detectors looked at, and compare it with the full one.

    Args:
        unsealed: Every verdict; the combination's order is the order of the audit.
        threshold: As in `audit_in_order`.
        spans: As in `audit_in_order`.

    Returns:
        The share of the cost that was spent, on all and on those that it flags, and where the outcome differs.
    """
    whole, scales = unsealed.combination, unsealed.combination.scales(unsealed.clean(without=""))
    spent, full, changed, hit = [], [], [], []
    for name in sorted(unsealed.verdicts):
        by_card = {v.instrument: v for v in unsealed.verdicts[name]}
        verdicts = [by_card[c.digest] for c in whole.parts]
        ended = audit_in_order(
            [lambda v=v: v for v in verdicts], whole, scales=scales, threshold=threshold, spans=spans  # type: ignore[misc]
        )  # fmt: skip
        score = whole(by_card, scales).score
        says = None if isinstance(score, Unmeasured) else score.value > threshold
        spent.append(ended.cost_tokens)
        full.append(sum(v.cost_tokens for v in verdicts))
        hit += [len(full) - 1] if ended.flagged is True else []
        if says != (None if isinstance(ended.flagged, Unmeasured) else ended.flagged):
            changed.append(name)
    return Savings(
        share=ratio_interval(spent, full),
        changed=tuple(changed),
        flagged=ratio_interval([spent[i] for i in hit], [full[i] for i in hit]),
    )
