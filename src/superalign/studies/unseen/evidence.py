"""What the study of unseen kinds measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from superalign.trials import Unplanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was caught of kinds outside the calibration set."""

    planted: int  # organisms, accepted or not
    accepted: int
    outside: Unplanted
    flagged: Mapping[str, Sequence[bool]]  # detector -> of each organism, whether it flags it at its own threshold
