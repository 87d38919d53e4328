"""What the study of self-critique measures.

Shape suffixes: S seeds of labels, P problems.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from superalign.kit.evidence import Curve, Estimate, curve_of
from superalign.kit.panel import Decisions
from superalign.stats import difference, mean_interval, share
from superalign.trials.critic_audits import CriticAudit
from superalign.trials.critic_gaps import DISCRIMINATOR, OWN, Setting

SMALL, LARGE = "small", "large"


def along(x: Iterable[float], gaps: Iterable[np.ndarray]) -> Curve:
    """Draw gaps, (S, P) each, along an axis; a bare mean where nothing varies."""
    return curve_of(x, gaps, lambda gap_SP: difference(gap_SP.T))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the page shows."""

    main: Setting  # the small base with the main number of labels
    settings: tuple[Setting, ...]  # all of them
    errors: tuple[float, ...]  # of the judges in the sweep
    decisions: Decisions
    audit: CriticAudit

    @property
    def in_order(self) -> list[Setting]:
        """Return bases with the main number of labels first, then the small one by labels."""
        return sorted(self.settings, key=lambda s: (s.size == SMALL and s.labelled != self.main.labelled, s.labelled))

    def gaps(self, s: Setting, n: int) -> list[Estimate]:
        """Return how often D, and judged critiques, decide right; GD and GC of the best of n, in sound answers; CD."""
        right, best = (s.decided_right(x) for x in (s.says[DISCRIMINATOR], s.shown[OWN])), s.sound_gaps()
        gained = (best[DISCRIMINATOR][..., n - 1], best[OWN][..., n - 1], s.cd())
        return [*(share(x_SP.T) for x_SP in right), *(difference(x_SP.T) for x_SP in gained)]

    def smaller_cd(self) -> dict[str, tuple[Estimate, Estimate]]:
        """Return how much smaller CD is with more labels, and with a larger base, over seeds; the null beside it."""
        small = sorted((s for s in self.settings if s.size == SMALL), key=lambda s: s.labelled)
        compared = {f"{small[-1].labelled} labels than with {small[0].labelled}": (small[0], small[-1])}
        for s in self.settings:
            if (s.size, s.labelled) == (LARGE, self.main.labelled):
                compared["the large base than with the small one"] = (self.main, s)
        out = {}
        for what, (one, other) in compared.items():
            if one is not other:
                cd, null = one.cd() - other.cd(), one.null_cd() - other.null_cd()
                out[f"CD is smaller with {what}"] = (mean_interval(cd.mean(1)), mean_interval(null.mean(1)))
        return out
