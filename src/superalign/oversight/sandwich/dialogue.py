"""Sandwiching: somebody who is no expert asks a model that may be wrong, checks a little himself, and is scored against experts.

The game: the judge asks where a response first differs from what the adviser would say. If it differs nowhere, the judge spends
his checks on random places. If it differs somewhere, he checks that place: it is wrong, and he is done; or it is right, the
adviser is refuted, and he asks about the rest. How far what he saw can be trusted he knows from practice with answers.

Nothing here knows an answer: checks, advisers and what practice showed are granted by a study. A unit is a step, or the final
answer as the last one, counted from 0.

Shape suffixes: R rollouts.

Source: Bowman et al., Measuring progress on scalable oversight for large language models, 2022 (arXiv 2211.03540).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from superalign.oversight.judges.judge import CheckStep, CountSteps, Grader, key_of
from superalign.types import Problem, Rollouts, Unmeasured

NO_UNITS = Unmeasured("the response has nothing to check")
UNKNOWN = Unmeasured("practice never showed this")
Asked: TypeAlias = tuple[Problem, str, int]  # problem, response, the unit from which on the rest is asked about


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Where each response first differs from what the adviser would say; None where nowhere. The adviser's tokens."""

    units: tuple[int | None, ...]
    same: tuple[bool, ...] = ()  # whether both come to the same final answer all the same; empty for nowhere
    tokens: int = 0


@runtime_checkable
class Adviser(Protocol):
    """Whoever the judge asks."""

    @property
    def name(self) -> str:
        """A few words for cards and tables."""

    def __call__(self, asked: Sequence[Asked], *, seed: int) -> Advice:
        """Give advice on each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """Nobody: the judge is alone."""

    name: str = "nobody"

    def __call__(self, asked: Sequence[Asked], *, seed: int) -> Advice:
        """Find no difference anywhere."""
        return Advice(units=(None,) * len(asked))


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCopy:
    """A null: an adviser who is a copy of the judge. It checks one place of its own choice and knows no more."""

    check: CheckStep = field(repr=False)
    count: CountSteps = field(repr=False)
    name: str = "a copy of the judge"

    def __call__(self, asked: Sequence[Asked], *, seed: int) -> Advice:
        """Point to the place that it checked, if that is wrong."""
        return Advice(units=tuple(self._one(problem, text, start, seed) for problem, text, start in asked))

    def _one(self, problem: Problem, text: str, start: int, seed: int) -> int | None:
        order = _ranked(seed, b"copy" + problem.prompt.encode() + b"\x00" + text.encode(), self.count(text))
        place = next((u for u in order if u >= start), None)
        return place if place is not None and not self.check(problem, text, place) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """An adviser who knows what is right and keeps the judge from it: bears wrong responses out, accuses right ones falsely."""

    correct: Grader = field(repr=False)
    name: str = "an adversary who knows the answers"

    def __call__(self, asked: Sequence[Asked], *, seed: int) -> Advice:
        """Say the opposite of what is so."""
        right = [self.correct(problem, text) for problem, text, _ in asked]
        units = tuple(start if ok else None for ok, (_, _, start) in zip(right, asked, strict=True))
        return Advice(units=units, same=tuple(not ok for ok in right))


# In order: where the adviser pointed, whether that is right, whether both come to the same answer.
Dialogue: TypeAlias = tuple[tuple[int | None, bool, bool], ...]


def converse(
    problems: Sequence[Problem],
    rollouts: Rollouts,
    *,
    adviser: Adviser,
    check: CheckStep,
    count: CountSteps,
    k: int,
    seed: int,
) -> tuple[list[Dialogue], int]:
    """Ask and check until the adviser has nothing more to say, is borne out, or differs after k checks.

    Args:
        problems: Of the rollouts.
        rollouts: Under judgement.
        adviser: Who is asked.
        check: (problem, text, unit) -> is it right?
        count: text -> how many units it has.
        k: Most checks per rollout. A game with fewer is a beginning of the same dialogue.
        seed: Of the adviser.

    Returns:
        The dialogue of every rollout, and the adviser's tokens. A place pointed to after the last check stands unchecked.
    """
    R = len(rollouts)
    dialogues: list[list[tuple[int | None, bool, bool]]] = [[] for _ in range(R)]
    open_R = [r for r in range(R) if count(rollouts.text_R[r])]
    start, tokens = [0] * R, 0
    for at in range(k + 1):  # asking costs no check, so the last advice comes after the last check
        if not open_R:
            break
        asked = [(problems[int(rollouts.problem_R[r])], rollouts.text_R[r], start[r]) for r in open_R]
        advice = adviser(asked, seed=seed)
        tokens += advice.tokens
        still = []
        same = advice.same or tuple(u is None for u in advice.units)
        for r, (problem, text, _), unit, answer in zip(open_R, asked, advice.units, same, strict=True):
            right = unit is None or at == k or check(problem, text, unit)
            dialogues[r].append((unit, right, answer))
            if unit is not None and right and unit + 1 < count(text):
                start[r] = unit + 1
                still.append(r)
        open_R = still
    return [tuple(t) for t in dialogues], tokens


def concluded(dialogue: Dialogue, *, k: int, look: Callable[[int, Sequence[int]], bool]) -> tuple[str, int]:
    """Say what a judge with k checks comes to, in words that practice can be counted by, and the checks that he spent.

    Args:
        dialogue: From `converse`, with k checks or more.
        k: His checks.
        look: (checks left, units checked before) -> are random other units all right? His own checks.

    Example:
        >>> wrong_at_once, refuted_once = ((3, False, False),), ((1, True, False), (None, True, True))
        >>> [concluded(d, k=2, look=lambda left, before: True) for d in (wrong_at_once, refuted_once, ())]
        [('found wrong', 1), ('agrees after 1 refuted', 2), ('nothing to check', 0)]
        >>> concluded(wrong_at_once, k=0, look=lambda left, before: True)
        ('differs after 0 refuted', 0)
    """
    if not dialogue:
        return "nothing to check", 0
    before: list[int] = []
    for unit, right, same in dialogue:
        if unit is None:
            if k > len(before) and not look(k - len(before), before):
                return "found wrong by himself", k
            return f"agrees after {len(before)} refuted", k
        # Later slips may cancel earlier ones, so that two who differ can come to the same answer.
        still = ", but for the answer" if same else ""
        if len(before) == k:
            return f"differs after {k} refuted{still}", k
        before.append(unit)
        if not right:
            return f"found wrong{still}", len(before)
    return f"nothing left after {len(before)} refuted", len(before)


def looks(
    problem: Problem, text: str, *, check: CheckStep, count: CountSteps, seed: int
) -> Callable[[int, Sequence[int]], bool]:
    """Let a judge look at random units of a response that were not checked before; the seed and the content decide which."""
    order = _ranked(seed, problem.prompt.encode() + b"\x00" + text.encode(), count(text))

    def look(left: int, before: Sequence[int]) -> bool:
        return all(check(problem, text, u) for u in [u for u in order if u not in before][:left])

    return look


def _ranked(seed: int, what: bytes, n: int) -> list[int]:
    key = key_of(seed, what)
    return sorted(range(n), key=lambda u: hashlib.blake2b(key + u.to_bytes(4, "little")).digest())


def practised(outcomes: Iterable[str], right: Iterable[bool]) -> dict[str, float]:
    """Return the share right after each outcome in practice, one right and one wrong added.

    Example:
        >>> practised(["differs", "differs", "agrees"], [False, False, True])
        {'differs': 0.25, 'agrees': 0.6666666666666666}
    """
    seen: dict[str, list[bool]] = {}
    for outcome, ok in zip(outcomes, right, strict=True):
        seen.setdefault(outcome, []).append(ok)
    return {o: (sum(some) + 1) / (len(some) + 2) for o, some in seen.items()}
