"""An audit that stops early: detectors ask the audited model in a registered order, and only as far as the outcome needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from superalign.detectors import cue_crowds
from superalign.detectors.common import MOST_LOG_ODDS, MOST_NATS, cannot_tell
from superalign.stats import mean_interval
from superalign.trials.calibration import apply_thresholds
from superalign.trials.stopping import Order, Savings, Stopped, audit_in_order, cheapest_first, savings
from superalign.trials.unsealed import Unsealed
from superalign.types import Calibration, Instrument, Interval, Unmeasured, Verdict

# The lowest and the highest score that a detector can give; one that is not here may give any.
SPANS = {
    "base difference": (0.0, MOST_NATS),
    "consistency": (-1.0, 1.0),
    "cue crowds": (0.0, MOST_NATS - cue_crowds.FREE),
    "cue sweep": (-MOST_NATS, MOST_NATS),
    "feature search": (-1.0, 1.0),
    "noise injection": (0.0, 1.0),
    "self-check": (-MOST_LOG_ODDS, MOST_LOG_ODDS),
    "trigger search": (-2 * MOST_NATS, MOST_NATS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """How far the audited model was asked, and what that saved."""

    order: tuple[Instrument, ...]  # detectors in the registered order
    ended: Stopped
    verdicts: tuple[Verdict, ...]  # of every detector, before any threshold
    flagged: Mapping[str, Verdict]  # card digest -> verdict on the audited model, the combination's as well
    saved: Interval | Unmeasured  # tokens that those not asked spend on a planted or reference subject, on average

    @property
    def asked(self) -> tuple[Instrument, ...]:
        """Detectors that looked."""
        return self.order[: self.ended.used]

    @property
    def unasked(self) -> tuple[Instrument, ...]:
        """Detectors that did not."""
        return self.order[self.ended.used :]


def spans_of(cards: Sequence[Instrument]) -> dict[str, tuple[float, float]]:
    """Return the spans of some detectors, by card digest, where there are any."""
    return {c.digest: SPANS[c.name] for c in cards if c.name in SPANS}


def order_of(unsealed: Unsealed, calibrations: Mapping[str, Sequence[Calibration]]) -> Order | Unmeasured:
    """Put the detectors in order, the cheapest first, with the threshold where an audit stops.

    Args:
        unsealed: Every detector's verdict on the calibration subjects.
        calibrations: Card digest -> calibrations, the pooled one last.
    """
    pooled = calibrations[unsealed.combination.card.digest][-1]
    limit = pooled.recall if isinstance(pooled.recall, Unmeasured) else pooled.threshold_high
    return cheapest_first(unsealed, threshold=limit, spans=spans_of(unsealed.combination.parts))


def replayed(order: Order | Unmeasured, unsealed: Unsealed) -> Savings | Unmeasured:
    """Replay an order on the subjects that all detectors looked at: what would it have saved?"""
    if isinstance(order, Unmeasured):
        return order
    ordered = replace(unsealed, combination=order.of(unsealed.combination))
    return savings(ordered, threshold=order.threshold, spans=order.spans)


def ask_in_order(
    order: Order | Unmeasured,
    unsealed: Unsealed,
    calibrations: Mapping[str, Sequence[Calibration]],
    look: Callable[[Instrument], Verdict],
    *,
    subject: str,
) -> Early:
    """Let detectors look at the audited model in the registered order, until nothing to come can change the outcome.

    Args:
        order: As registered; where there is none nobody can tell, whatever is asked, and nothing is.
        unsealed: Every detector's verdict on the calibration subjects.
        calibrations: Card digest -> calibrations, the pooled one last.
        look: Lets one detector look.
        subject: Digest of the audited model.

    Returns:
        Verdicts of all detectors and of the combination; of those that were not asked `Unmeasured`.
    """
    whole, seen = unsealed.combination, dict[str, Verdict]()

    def asking(card: Instrument) -> Callable[[], Verdict]:
        def one() -> Verdict:
            seen[card.digest] = look(card)
            return seen[card.digest]

        return one

    parts: tuple[Instrument, ...] = whole.parts
    if isinstance(order, Unmeasured):
        ended = Stopped(flagged=order, used=0, cost_tokens=0, why=order.why)
        together = cannot_tell(whole.card, subject, order.why)
    else:
        ordered = order.of(whole)
        parts = ordered.parts
        ended = audit_in_order(
            [asking(c) for c in parts], ordered, scales=order.scales, threshold=order.threshold, spans=order.spans
        )
        some = replace(ordered, parts=parts[: ended.used], sides=ordered.sides[: ended.used])
        together = replace(some(seen, order.scales), instrument=whole.card.digest, flagged=ended.flagged)
    left = parts[ended.used :]
    if left:
        why = f"{together.why}; {len(left)} of {len(parts)} detectors were not asked, since this settles it"
        together = replace(together, why=why)
    settled = f"not asked: the outcome was already settled, since {ended.why}"
    said = {c.digest: seen.get(c.digest) or cannot_tell(c, subject, settled) for c in parts}
    return Early(
        order=parts,
        ended=ended,
        verdicts=tuple(said.values()),
        flagged={**{d: apply_thresholds(v, calibrations[d][-1]) for d, v in said.items()}, whole.card.digest: together},
        saved=_cost([c.digest for c in left], unsealed),
    )


def _cost(cards: Sequence[str], unsealed: Unsealed) -> Interval | Unmeasured:
    """Average the tokens that some detectors spend on one calibration subject."""
    if not cards:
        return Unmeasured("every detector was asked")
    every = [[v.cost_tokens for v in unsealed.verdicts[n] if v.instrument in cards] for n in sorted(unsealed.known)]
    return mean_interval(np.array([sum(one) for one in every], float))
