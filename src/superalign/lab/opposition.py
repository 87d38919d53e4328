"""What says where a model is wrong: another model's opposition, a third run's, its own doubt, a judge; and who disagrees where.

Shape suffixes: P test items, Q their questions, S seeds, G groups of items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from superalign.kit.evidence import Estimate
from superalign.lab.arm_names import ALONE, DEALT, OTHER
from superalign.lab.held_answers import by_question, mean_area
from superalign.stats import area_parts, share
from superalign.stats.streams import stream
from superalign.types import Unmeasured

SCORES = (OTHER, "log-odds difference", "signs differ", *ALONE, DEALT)
ERRORS = 5  # wrong answers, and right ones, of a seed that is counted


def tables_of(
    own: Sequence[np.ndarray],
    other: Sequence[np.ndarray],
    third: Sequence[np.ndarray],
    judged: Sequence[np.ndarray],
    *,
    true_P: Bool[np.ndarray, " P"],
    question_P: np.ndarray,
) -> dict[str, Float[np.ndarray, "Q S"]]:
    """Return parts of the area with which each score tells wrong answers from right ones; none if few seeds err enough.

    Args:
        own: Log-odds of yes of the model that may be wrong, of each seed.
        other: Of the model of the other technique.
        third: Of another run of its own technique.
        judged: What a judge says against each of its answers.
        true_P: Which answers are yes.
        question_P: Items of one question are not independent.

    Example:
        >>> x, y = np.tile([1.0, -1.0], 20), np.tile([1.0, 1.0, -1.0, -1.0], 10)
        >>> found = tables_of([x, x], [y, y], [x, x], [0 * x, 0 * x], true_P=y > 0, question_P=np.arange(40))
        >>> float(found["the other opposes"].mean()), float(found["third run opposes"].mean())
        (1.0, 0.5)
    """
    parts: dict[str, list[np.ndarray]] = {}
    for s, (x, y, z, j) in enumerate(zip(own, other, third, judged, strict=True)):
        wrong_P, side_P = (x > 0) != true_P, np.where(x > 0, 1.0, -1.0)
        if not ERRORS <= wrong_P.sum() <= len(wrong_P) - ERRORS:
            continue
        dealt = stream(s, "dealt anew").permutation(y)
        scores = (-side_P * y, abs(x - y), (x > 0) != (y > 0), -side_P * z, -abs(x), j, -side_P * dealt)
        for name, score_P in zip(SCORES, scores, strict=True):
            parts.setdefault(name, []).append(area_parts(score_P.astype(float), positive_N=wrong_P))
    if len(parts.get(OTHER, ())) < 2:
        return {}
    return {name: by_question(np.stack(some, 1), question_P) for name, some in parts.items()}


def disagreement(
    x: Float[np.ndarray, " P"], y: Float[np.ndarray, " P"], group_GP: Float[np.ndarray, "G P"]
) -> tuple[float, float]:
    """Return how often two models disagree, and by how many standard errors more in the group where they do so most.

    Example:
        >>> x, y = np.array([1.0, 1.0, 1.0, 1.0]), np.array([1.0, 1.0, -1.0, -1.0])
        >>> disagreement(x, y, np.array([[0.0, 0.0, 1.0, 1.0]]))[0]
        0.5
    """
    apart_P = ((x > 0) != (y > 0)).astype(float)
    rate = float(apart_P.mean())
    if rate in (0.0, 1.0):
        return rate, 0.0
    size_G = group_GP.sum(1)
    return rate, float(((group_GP @ apart_P / size_G - rate) / np.sqrt(rate * (1 - rate) / size_G)).max())


def differing(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], question_P: np.ndarray) -> Estimate:
    """Estimate on what share of items two models disagree, over questions and seeds."""
    table_PS = np.stack([(x > 0) != (y > 0) for x, y in zip(xs, ys, strict=True)], 1).astype(float)
    return share((by_question(table_PS, question_P) / by_question(np.ones((len(table_PS), 1)), question_P)).clip(0, 1))


def right_where_apart(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], true_P: Bool[np.ndarray, " P"]) -> Estimate:
    """Estimate how often the first of two models is right where they disagree: over seeds at which they do."""
    apart = [(x > 0) != (y > 0) for x, y in zip(xs, ys, strict=True)]
    right = [float(((x > 0) == true_P)[d].mean()) for x, d in zip(xs, apart, strict=True) if d.any()]
    return share(right) if right else Unmeasured("they never disagree")


@dataclass(frozen=True, slots=True, kw_only=True)
class Areas:
    """What one score tells of where a model is wrong."""

    area: Estimate
    less: Estimate  # area of the other's opposition minus this one's
    dealt: Estimate  # the same of the other's answers, dealt anew


def areas_of(tables: Mapping[str, Float[np.ndarray, "Q S"]]) -> dict[str, Areas]:
    """Estimate areas and their paired differences; unmeasured where there are no tables.

    Example:
        >>> areas_of({})["own confidence"].area.why
        'it errs on 5 test items or more at fewer than two seeds'
    """
    why = Unmeasured(f"it errs on {ERRORS} test items or more at fewer than two seeds")
    if not tables:
        return {name: Areas(area=why, less=why, dealt=why) for name in SCORES}
    return {
        name: Areas(
            area=mean_area(x_QS),
            less=mean_area(tables[OTHER] - x_QS, least=-1.0),
            dealt=mean_area(tables[DEALT] - x_QS, least=-1.0),
        )
        for name, x_QS in tables.items()
    }
