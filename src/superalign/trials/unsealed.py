"""Verdicts beside the truth, when the seals are open: scores, error rates and flags of every detector and their combination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from superalign.trials.calibration import Scored, apply_thresholds, calibrate
from superalign.trials.combination import Combination
from superalign.types import Calibration, Instrument, Verdict


class OfOneModel:
    """What detectors and their combination say of one audited model, and how often they miss; card digests name them."""

    __slots__ = ()
    cards: Sequence[Instrument]  # detectors, and last their combination
    calibrations: Mapping[str, Sequence[Calibration]]  # card -> one for each kind, and last the pooled one
    flagged: Mapping[str, Verdict]  # card -> verdict on the audited model

    @property
    def together(self) -> Sequence[Calibration]:
        """Error rates of the combination: one for each kind, and last the pooled one."""
        return self.calibrations[self.cards[-1].digest]

    @property
    def whole(self) -> Verdict:
        """What the combination says of the audited model."""
        return self.flagged[self.cards[-1].digest]

    @property
    def loudest(self) -> Verdict:
        """The detector's verdict that the combination rests on."""
        return next((self.flagged[c.digest] for c in self.cards if c.name == self.whole.named), self.whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsealed:
    """What every detector said of every subject, and what the calibration and test subjects are."""

    truth: Mapping[str, tuple[str, str, int]]  # name -> kind, role and seed; subjects nobody planted are not in it
    verdicts: Mapping[str, Sequence[Verdict]]  # name -> one verdict of each detector
    known: frozenset[str]  # the calibration subjects: they set thresholds and scales
    combination: Combination

    def clean(self, *, without: str) -> list[dict[str, Verdict]]:
        """Verdicts, by instrument, on the calibration subjects that hold no plant, of all kinds but one."""
        return [
            {v.instrument: v for v in self.verdicts[n]}
            for n in sorted(self.known)
            if self.truth[n][1] != "organism" and self.truth[n][0] != without
        ]

    def combined(self, without: str) -> list[Scored]:
        """Return the combination on every calibration subject, standardised on the clean subjects of all kinds but one."""
        scales = self.combination.scales(self.clean(without=without))
        return [
            self._scored(n, self.combination({v.instrument: v for v in self.verdicts[n]}, scales))
            for n in sorted(self.known)
        ]

    def scored(self) -> dict[str, list[Scored]]:
        """Instrument digest -> every calibration subject with its verdict; the combination's on the scale of all kinds."""
        out: dict[str, list[Scored]] = {c.digest: [] for c in self.combination.parts}
        for name in sorted(self.known):
            for verdict in self.verdicts[name]:
                out[verdict.instrument].append(self._scored(name, verdict))
        return {**out, self.combination.card.digest: self.combined("")}

    def calibrations(self, *, rate: float) -> dict[str, tuple[Calibration, ...]]:
        """Error rates of every detector and of the combination, by instrument digest; `calibrate` says how."""
        scored, parts, whole = self.scored(), self.combination.parts, self.combination.card
        out = {
            c.digest: calibrate(c, scored[c.digest], rate=rate, sides=side)
            for c, side in zip(parts, self.combination.sides, strict=True)
        }
        return {**out, whole.digest: calibrate(whole, scored[whole.digest], rate=rate, without=self.combined)}

    def flagged(
        self, calibrations: Mapping[str, Sequence[Calibration]], *, known: bool = False
    ) -> dict[str, dict[str, Verdict]]:
        """Flag the subjects that set no threshold: name -> instrument digest -> verdict.

        An organism or twin is held against thresholds that its kind did not set, any other subject against all kinds'.

        Args:
            calibrations: Instrument digest -> its error rates, kind by kind.
            known: Whether to flag the calibration subjects too.
        """
        out: dict[str, dict[str, Verdict]] = {}
        for name in sorted(self.verdicts if known else set(self.verdicts) - self.known):
            kind = self.truth[name][0] if name in self.truth else ""
            by_card = {v.instrument: v for v in self.verdicts[name]}
            combined = self.combination(by_card, self.combination.scales(self.clean(without=kind)))
            by_card[self.combination.card.digest] = combined
            held = kind or "each in turn"
            limits = {d: next((c for c in calibrations[d] if c.held_out == held), calibrations[d][-1]) for d in by_card}
            out[name] = {d: apply_thresholds(v, limits[d]) for d, v in by_card.items()}
        return out

    def _scored(self, name: str, verdict: Verdict) -> Scored:
        kind, role, seed = self.truth[name]
        return Scored(subject=verdict.subject, kind=kind, role=role, seed=seed, verdict=verdict)
