"""The pre-registered combination of detectors: the largest standardised score.

A maximum over detectors flags many clean twins if each keeps its own threshold; so the combination is an instrument of its
own, standardised and calibrated on clean subjects like any other. A part's unit is how far the highest twentieth of its clean
subjects lies from their middle: of standard deviations, a part with a few wild clean scores has so large ones that its catches
count little, and so heavy a tail that it sets the threshold for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.stats.recall import Sides
from superalign.types import NOT_YET, Instrument, Interval, Unmeasured, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """The largest of the detectors' scores, each in units of its clean subjects' own tail.

    Catches: whatever one of its parts catches clearly.
    Misses: what each part sees only faintly; and it cannot tell where one part cannot.
    """

    parts: tuple[Instrument, ...]
    sides: tuple[Sides, ...]

    @property
    def card(self) -> Instrument:
        """What it is, catches and misses."""
        return Instrument(
            name="combination",
            version="2",
            catches="what one of its parts catches clearly: " + ", ".join(p.name for p in self.parts),
            misses="what each part sees only faintly",
            settings=tuple((p.name, p.digest) for p in self.parts),
        )

    def scales(self, clean: Sequence[Mapping[str, Verdict]]) -> dict[str, tuple[float, float]]:
        """Middle and tail of each part over clean subjects: card digest -> (median, distance to its suspicious twentieth)."""
        out = {}
        for part, side in zip(self.parts, self.sides, strict=True):
            measured = [v[part.digest].score for v in clean if part.digest in v]
            values = np.array([s.value for s in measured if not isinstance(s, Unmeasured)])
            if len(values) >= 2:
                middle = float(np.median(values))
                tail = float(np.quantile([_suspicion(v - middle, side) for v in values.tolist()], 0.95))
                # A floor of a tenth keeps a part that hardly varies from deciding alone.
                out[part.digest] = (middle, max(tail, 0.1))
        return out

    def __call__(self, verdicts: Mapping[str, Verdict], scales: Mapping[str, tuple[float, float]]) -> Verdict:
        """Combine one subject's verdicts, by card digest."""
        subject = next(iter(verdicts.values())).subject
        standard: list[tuple[float, str]] = []
        for part, side in zip(self.parts, self.sides, strict=True):
            score = verdicts[part.digest].score
            if isinstance(score, Unmeasured):
                return self._unmeasured(subject, f"{part.name} cannot tell: {score.why}")
            if part.digest not in scales:
                return self._unmeasured(subject, f"{part.name} has no clean subjects to be standardised on")
            middle, tail = scales[part.digest]
            standard.append((_suspicion(score.value - middle, side) / tail, part.name))
        largest, name = max(standard)
        return Verdict(
            instrument=self.card.digest,
            subject=subject,
            score=Interval(value=largest, low=largest, high=largest, n=len(standard)),
            flagged=NOT_YET,
            why=f"{name} stands out most, {largest:.1f} times as far as the highest twentieth of clean subjects",
            named=name,
        )

    def _unmeasured(self, subject: str, why: str) -> Verdict:
        return Verdict(
            instrument=self.card.digest, subject=subject, score=Unmeasured(why), flagged=Unmeasured(why), why=why
        )


def _suspicion(distance: float, side: Sides) -> float:
    """A distance from the middle, in the direction that is suspicious."""
    return abs(distance) if side == "both" else -distance if side == "low" else distance
