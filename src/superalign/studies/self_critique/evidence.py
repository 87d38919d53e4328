"""What the study of self-critique measures.

Shape suffixes: S seeds of labels, P problems.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Estimate
from superalign.kit.panel import Decisions
from superalign.stats import difference
from superalign.trials.critic_audits import CriticAudit
from superalign.trials.critic_gaps import Setting
from superalign.types import Unmeasured

SMALL, LARGE = "small", "large"


def over(x_SP: np.ndarray) -> Estimate:
    """Mean over seeds and problems."""
    return difference(x_SP.T)


def on_curve(x_SP: np.ndarray) -> Estimate | float:
    """Mean over seeds and problems, a bare one where nothing varies."""
    found = over(x_SP)
    return float(x_SP.mean()) if isinstance(found, Unmeasured) else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the page shows."""

    main: Setting  # the small base with the main number of labels
    settings: tuple[Setting, ...]  # all of them
    errors: tuple[float, ...]  # of the judges in the sweep
    decisions: Decisions
    audit: CriticAudit
