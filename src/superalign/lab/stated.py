"""Stated probabilities against what is right: how well the arms of a panel are calibrated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from superalign.kit.evidence import Curve
from superalign.kit.panel import Decisions
from superalign.kit.parts import Part, curves, part, table
from superalign.stats import share
from superalign.trials import arm_result
from superalign.types import Unmeasured

BANDS = 8  # of stated probabilities


def reliability(d: Decisions, arm: str) -> Curve:
    """Return the share that is right against the probability that was stated, in bands of equal width.

    Example:
        >>> from superalign.trials import Item
        >>> some = [Item(problem=str(n), difficulty=1, seed=0, arm="x", truth=truth, behaviour="", probability=p)
        ...         for n, (p, truth) in enumerate([(0.25, False), (0.25, True), (0.75, True)])]
        >>> found = reliability(Decisions(items=tuple(some)), "x")
        >>> [(x, y.value) for x, y in zip(found.x, found.y, strict=True)]
        [(0.25, 0.5), (0.75, 1.0)]
    """
    bands: dict[int, list[tuple[float, bool]]] = {}
    for i in d.items:
        if i.arm == arm and not isinstance(i.probability, Unmeasured):
            p = float(i.probability)
            bands.setdefault(min(BANDS - 1, int(p * BANDS)), []).append((p, i.truth))
    some = [band for _, band in sorted(bands.items())]
    return Curve(
        tuple(float(np.mean([p for p, _ in band])) for band in some),
        tuple(share([truth for _, truth in band]) for band in some),
    )


def stated(d: Decisions, arms: Mapping[str, str], *, title: str, text: str) -> Part:
    """Hold what some arms state against what is right.

    Args:
        d: Their decisions.
        arms: Arm -> what to call it.
        title: Of the section.
        text: What is to be known of it, in plain words.
    """
    results = {name: arm_result(d.items, arm) for arm, name in arms.items()}
    return part(
        title,
        text,
        curves(
            "Stated probability and what is right",
            {name: reliability(d, arm) for arm, name in arms.items()},
            x="probability that the response is right, as stated",
            y="share of these that are right",
            caption="Intervals are over decisions of all seeds, so they are a little narrow.",
        ),
        table(
            "Squared error of what is stated",
            ("arm", "Brier score", "right", "decisions"),
            [(n, r.brier, r.accuracy, r.n) for n, r in results.items()],
        ),
    )
