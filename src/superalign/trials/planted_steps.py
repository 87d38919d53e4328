"""Flaws planted in right GSM8K solutions: pairs that a critic learns from, and others that set its threshold.

What a critic is given is a `Text`: the question and one solution. The labels stay here.

Shape suffix: H held-out pairs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from superalign.oversight.steps.critic import CARD, Pair
from superalign.oversight.steps.reading import Text
from superalign.problems.gsm8k import Gsm8k, common_knowledge, mentions, question_numbers
from superalign.problems.gsm8k_flaws import FLAW_KINDS, first_unreached, flaw, plantable, reached
from superalign.problems.gsm8k_placebo import harmless
from superalign.problems.gsm8k_text import Solution, read_solution
from superalign.stats import share
from superalign.types import Calibration, Unmeasured

HELD_OUT = 12  # one training question in twelve sets the threshold and is not trained on


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedPair:
    """A right and a flawed solution of a training question that no critic was trained on."""

    pair: Pair
    kind: str


@lru_cache(maxsize=50_000)
def read(text: str) -> Solution:
    """Read a solution, once."""
    return read_solution(text)


def shown(question: str, solution: Solution) -> Text:
    """Make what a critic is given."""
    return Text(question=question, mentions=mentions(question), common=common_knowledge(question), solution=solution)


def fold_of(question: str, parts: int, *, salt: str) -> int:
    """Put a question into one of some parts, by its hash alone.

    Example:
        >>> fold_of("How many?", 1, salt="x")
        0
    """
    return int.from_bytes(hashlib.sha256(f"{salt}{question}".encode()).digest()[:4], "big") % parts


def planted_pairs(family: Gsm8k, *, questions: int, flaws: int, seed: int) -> tuple[list[Pair], list[PlantedPair]]:
    """Plant flaws in right training solutions, and placebo edits on either side of each pair.

    Args:
        family: The folder.
        questions: At most so many training questions.
        flaws: Different kinds of flaw per question.
        seed: Of everything drawn.

    Returns:
        Pairs for training; pairs of other training questions for the threshold.
    """
    rng = np.random.default_rng([seed, 3])
    rows = list(family.answers["train"].items())
    train: list[Pair] = []
    kept: list[PlantedPair] = []
    for i in rng.permutation(len(rows))[:questions]:
        question, right = rows[i][0], read(rows[i][1])
        if not plantable(right):
            continue
        # both sides are edited equally often, else "edited" would mean "right"
        edited = harmless(rng, right)
        rights = [shown(question, s) for s in (right, edited) if s is not None]
        numbers, values = question_numbers(question), reached(right)
        for kind in rng.permutation(FLAW_KINDS)[:flaws]:
            planted = flaw(rng, right, numbers, str(kind))
            if planted is None:
                continue
            flawed, step, _ = planted
            if rng.random() < 0.5 and (again := harmless(rng, flawed)) is not None:
                flawed, step = again, first_unreached(again, values)
            pair = Pair(right=rights[int(rng.integers(len(rights)))], flawed=shown(question, flawed), step=step)
            if fold_of(question, HELD_OUT, salt="threshold") == 0:
                kept.append(PlantedPair(pair=pair, kind=str(kind)))
            else:
                train.append(pair)
    return train, kept


def best_threshold(right: np.ndarray, flawed: np.ndarray) -> float:
    """Find the score above which calling a solution flawed is right most often, both classes weighing the same.

    Example:
        >>> best_threshold(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
        1.5
    """
    values = np.unique(np.concatenate([right, flawed]))
    cuts = (values[1:] + values[:-1]) / 2
    if not len(cuts):
        return float(values[0])
    rights, wrongs = np.sort(right), np.sort(flawed)
    hits = np.searchsorted(rights, cuts) / len(right) + 1 - np.searchsorted(wrongs, cuts) / len(flawed)
    return float(cuts[int(hits.argmax())])


def calibrated(right_H: np.ndarray, flawed_H: np.ndarray) -> Calibration:
    """Set the critic's threshold, by its scores of held-out pairs: of the right solution, and of the flawed one."""
    threshold = best_threshold(right_H, flawed_H)
    alarms = right_H > threshold
    return Calibration(
        instrument=CARD.digest,
        threshold_low=Unmeasured("one-sided"),
        threshold_high=threshold,
        false_positive_rate=float(alarms.mean()),
        recall=share(flawed_H > threshold),
        false_alarms=share(alarms),
        population="flaws planted in right GSM8K training solutions, placebo edits on both sides",
        held_out="questions, not kinds",
    )
