"""What training under several overseers came to, as plain rows; `superalign.lab.overseen` has the same as records.

Shape suffixes: P problems, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from superalign.stats import difference
from superalign.types import Interval, Unmeasured

LAST = 5  # updates at the end of a training that its reward is averaged over
Row: TypeAlias = Mapping[str, Any]  # what `run_arm` returned


def grid(rows: Sequence[Row], arm: str, what: str) -> np.ndarray:
    """Held-out grades of one arm, problems by seeds, (P, S)."""
    return np.array([r[what] for r in rows if r["arm"] == arm], float).T


def uplift(rows: Sequence[Row], better: str, worse: str, what: str = "sound") -> Interval | Unmeasured:
    """Difference of two arms, paired by problem and seed, with an interval over both."""
    first_PS, second_PS = grid(rows, better, what), grid(rows, worse, what)
    if not first_PS.size or not second_PS.size:
        return Unmeasured(f"this run had no arm {better if not first_PS.size else worse!r}")
    if first_PS.shape[1] < 2:
        return Unmeasured("one seed of training says nothing of another")
    return difference(first_PS - second_PS)


def paid(row: Row) -> float | Unmeasured:
    """What an overseer paid in the last updates; updates in which it could not tell are left out."""
    told = [p for p in row["proxy"][-LAST:] if p is not None]
    return float(np.mean(told)) if told else Unmeasured("not trained on a reward")
