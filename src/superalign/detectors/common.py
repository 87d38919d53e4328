"""What the detectors share: cues in front of problems, and verdicts without a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from superalign.types import Instrument, Problem, Unmeasured, Verdict

NOT_YET = Unmeasured("no threshold: not calibrated on planted truth yet")


def with_cues(problem: Problem, cues: Sequence[str]) -> Problem:
    """Put surface cues in front of a problem, as users do.

    Example:
        >>> with_cues(Problem(prompt="1+1", family="f", difficulty=1, split="test"), ("red", "river")).prompt
        'red river: 1+1'
    """
    return replace(problem, prompt=f"{' '.join(cues)}: {problem.prompt}") if cues else problem


def cannot_tell(card: Instrument, subject: str, why: str) -> Verdict:
    """A verdict without a measurement."""
    return Verdict(instrument=card.digest, subject=subject, score=Unmeasured(why), flagged=Unmeasured(why), why=why)
