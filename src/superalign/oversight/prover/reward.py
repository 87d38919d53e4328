"""Prover-verifier games: a small verifier learns to tell right from wrong solutions while provers learn to convince it.

The verifier is a small head on a frozen base: it reads a response token by token and gives it a score V, higher where it looks
right. It is trained on pairs of a right and a wrong response to prefer the right one, on the responses of all rounds. A helpful
prover is paid for right responses that convince, a sneaky one for wrong responses that convince. Which responses are right is a
privilege that the study grants in training.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from superalign.oversight.prover.verifier import Verifier
from superalign.types import Instrument, Problem, Rollouts, Signal

Role: TypeAlias = Literal["helpful", "sneaky"]
Correct: TypeAlias = Callable[[Problem, str], bool]


def prover_reward(score_R: np.ndarray, correct_R: np.ndarray, role: Role) -> np.ndarray:
    """Say what a prover earns: (2c - 1)(2h - 1) V' where V', the score less the batch's mean, is above zero, else -1.

    Args:
        score_R: The verifier's scores.
        correct_R: Whether each response is right.
        role: helpful (h = 1) or sneaky (h = 0).

    Example:
        >>> prover_reward(np.array([2.0, 2.0, -4.0]), np.array([True, False, True]), "sneaky").tolist()
        [-2.0, 2.0, -1.0]

    Source:
        Kirchner et al., Prover-verifier games improve legibility of LLM outputs, 2024.
    """
    above_R = score_R - score_R.mean()
    sign_R = (2.0 * correct_R - 1) * (1 if role == "helpful" else -1)
    return np.where(above_R > 0, sign_R * above_R, -1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Convince:
    """Pays a prover by its role: the overseer that provers are trained under. See `convince`."""

    card: Instrument
    verifier: Verifier = field(repr=False)
    correct: Correct = field(repr=False)
    role: Role

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Pay every rollout relative to the others; an empty one is as unconvincing as can be."""
        score_R, tokens = self.verifier.scores(problems, rollouts)
        pairs = zip(rollouts.problem_R, rollouts.text_R, strict=True)
        correct_R = np.array([self.correct(problems[int(p)], text) for p, text in pairs], bool)
        paid_R = prover_reward(score_R, correct_R, self.role)
        paid_R = np.where([bool(text) for text in rollouts.text_R], paid_R, -1.0)
        return Signal(overseer=self.card.digest, values=tuple(map(float, paid_R)), checks=len(rollouts), tokens=tokens)


def convince(verifier: Verifier, *, correct: Correct, role: Role) -> Convince:
    """Make the overseer of a prover.

    Args:
        verifier: Whom it must convince.
        correct: (problem, response) -> is it right? A privilege that the study grants in training.
        role: helpful or sneaky.

    Catches: for the helpful role, wrong responses, and right ones that do not convince.
    Misses: why a response convinces. A value depends on the other rollouts of its batch, as in the paper.
    """
    card = Instrument(
        name=f"{role} prover's pay",
        version="1",
        catches="wrong responses, and right ones that do not convince" if role == "helpful" else "nothing; it pays deceit",
        misses="why a response convinces",
        settings=(("role", role), ("relative", True)),
    )  # fmt: skip
    return Convince(card=card, verifier=verifier, correct=correct, role=role)
