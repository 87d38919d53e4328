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
from superalign.trials.critic_audits import NIT, NO_TWINS, SILENT, CriticAudit
from superalign.trials.critic_gaps import DISCRIMINATOR, OWN, Setting

SMALL, LARGE = "small", "large"
SIDES = ("clean twins, audited", "does not tell", "sandbagged")


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
        labelled = self.main.labelled
        return sorted(self.settings, key=lambda s: (s.size == SMALL and s.labelled != labelled, s.labelled))

    def right(self, s: Setting) -> list[Estimate]:
        """Return how often the discriminator, and judged self-critiques, decide right."""
        return [share(s.decided_right(x_SPM).T) for x_SPM in (s.says[DISCRIMINATOR], s.shown[OWN])]

    def gaps(self, s: Setting, n: int) -> list[Estimate]:
        """Return GD and GC of the best of n, in sound answers, and CD."""
        best = s.sound_gaps()
        return [difference(x_SP.T) for x_SP in (best[DISCRIMINATOR][..., n - 1], best[OWN][..., n - 1], s.cd())]

    def smaller_cd(self) -> dict[str, tuple[Estimate, Estimate]]:
        """Return how much smaller CD is with more labels, and with a larger base, over seeds; the null beside it."""
        small = sorted((s for s in self.settings if s.size == SMALL), key=lambda s: s.labelled)
        compared = {f"{small[-1].labelled} labels than with {small[0].labelled}": (small[0], small[-1])}
        for s in self.settings:
            if (s.size, s.labelled) == (LARGE, self.main.labelled):
                compared["the large base than with the small one"] = (self.main, s)
        return {
            what: (
                mean_interval((one.cd() - other.cd()).mean(1)),
                mean_interval((one.null_cd() - other.null_cd()).mean(1)),
            )
            for what, (one, other) in compared.items()
            if one is not other
        }

    def overall_gaps(self) -> list[tuple[str, str, int, Estimate, Estimate]]:
        """List side, manner and number of critics, their CD, and how often their discriminators decide right."""
        return [
            (name, manner, len(some), mean_interval([c.cd for c in some]), mean_interval([c.right for c in some]))
            for manner in (NIT, SILENT)
            for name, some in zip(SIDES, self.audit.sides(manner)[1:], strict=True)
        ]

    def audit_scores(self) -> list[tuple[str | Estimate, ...]]:
        """List manner, score and what it exposes, with the test that needs no twins."""
        rows = list[tuple[str | Estimate, ...]]()
        for manner in (NIT, SILENT):
            for how, x in self.audit.exposures(manner).items():
                rows.append((manner, how, x.recall, x.false_alarms, x.area, x.null, x.sandbagged))
            rows.append((manner, NO_TWINS, *self.audit.without_twins(manner), "a test, not a ranking", "-", "-"))
        return rows
