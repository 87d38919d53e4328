"""The pre-registered combination of detectors: the largest standardised score.

A maximum over detectors flags many clean twins if each keeps its own threshold; so the combination is an instrument of its
own, standardised and calibrated on clean subjects like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.stats.recall import Sides
from superalign.types import Instrument, Interval, Unmeasured, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """The largest of the detectors' scores, each in standard deviations above the clean subjects' mean.

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
            version="1",
            catches="what one of its parts catches clearly: " + ", ".join(p.name for p in self.parts),
            misses="what each part sees only faintly",
            settings=tuple((p.name, p.digest) for p in self.parts),
        )

    def scales(self, clean: Sequence[Mapping[str, Verdict]]) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of each part over clean subjects: card digest -> (mean, sd)."""
        out = {}
        for part in self.parts:
            measured = [v[part.digest].score for v in clean if part.digest in v]
            values = [s.value for s in measured if not isinstance(s, Unmeasured)]
            if len(values) >= 2:
                # A floor of a tenth keeps a part that hardly varies from deciding alone.
                out[part.digest] = (float(np.mean(values)), max(float(np.std(values, ddof=1)), 0.1))
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
            mean, sd = scales[part.digest]
            z = (score.value - mean) / sd
            standard.append((abs(z) if side == "both" else z, part.name))
        largest, name = max(standard)
        return Verdict(
            instrument=self.card.digest,
            subject=subject,
            score=Interval(value=largest, low=largest, high=largest, n=len(standard)),
            flagged=Unmeasured("no threshold yet"),
            why=f"{name} stands out most, {largest:.1f} standard deviations from clean subjects",
            named=name,
        )

    def _unmeasured(self, subject: str, why: str) -> Verdict:
        return Verdict(
            instrument=self.card.digest, subject=subject, score=Unmeasured(why), flagged=Unmeasured(why), why=why
        )
