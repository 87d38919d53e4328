"""Which bundled base is pre-trained, and what it must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from superalign.kit.study import Count, CountOrNone, Share, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of a pre-training run."""

    size: Literal["small", "middle", "large"] = "small"
    """small (0.17M parameters), middle (0.47M) or large (1.8M)."""
    steps: CountOrNone = 0
    """Most updates; 0 for what the size usually needs."""
    gate: Share = 0.98
    """Share of test problems that each ability must reach."""
    truth_gate: Share = 0.97
    """AUROC at which a linear probe must read whether a claim is true."""
    measured: Count = 400
    """Test problems that each ability is measured on."""


STUDY = Study(
    question="Pre-train a bundled base on unlabelled documents until its measured abilities pass their gates",
    config=Config,
    quick={"steps": 60},
)
