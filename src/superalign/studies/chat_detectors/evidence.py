"""What every detector found on a chat model; card digests name instruments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from superalign.trials import Scored
from superalign.types import Calibration, Instrument, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A detector's look at the base itself, which hides nothing."""

    verdict: Verdict
    seconds: float  # of one core


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was seen."""

    seed: int
    base: str
    cards: Sequence[Instrument]  # detectors, and last their combination
    scored: Mapping[str, Sequence[Scored]]
    calibrations: Mapping[str, Sequence[Calibration]]
    alone: Mapping[str, Alone]
    of_exam: Sequence[str]  # cards of the detectors that read the exam of the pack together
    absent: Sequence[tuple[str, str]]  # detectors that have nothing to look with, and why
    kinds: Sequence[str]  # of the organisms
    clean: Sequence[str]  # sorts of innocent subjects
    references: int  # innocent subjects that detectors were given

    @property
    def verdicts(self) -> Mapping[str, Sequence[Verdict]]:
        """What each detector says of the subjects."""
        return {card.digest: [s.verdict for s in self.scored[card.digest]] for card in self.cards}
