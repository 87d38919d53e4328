"""What every overseer must hold to, as checks that anyone can run on one that we have never seen.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from superalign.types import Instrument, Overseer, Problem, Rollouts, Signal, Unmeasured

TOLERANCE = 1e-5  # float32 batches of another composition may differ in the last bits
FORBIDDEN = ("answer", "answers", "solution", "label", "labels", "target", "gold", "reference", "truth")


class Watched(Problem):
    """A problem that writes down which of its attributes somebody asks for beyond those that a problem has."""

    __slots__ = ()
    asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        Watched.asked.append(name)
        raise AttributeError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    overseer: Overseer
    problems: tuple[Problem, ...]
    rollouts: Rollouts
    seed: int

    def setting(self, name: str, otherwise: Any) -> Any:
        """A setting of the overseer's card."""
        return dict(self.card().settings).get(name, otherwise)

    def card(self) -> Instrument:
        card = getattr(self.overseer, "card", None)
        if not isinstance(card, Instrument):
            raise AssertionError("it has no card; nobody can know what it catches and misses")
        return card

    def signal(self, rollouts: Rollouts | None = None, *, problems: Sequence[Problem] | None = None) -> Signal:
        return self.overseer(problems or self.problems, rollouts or self.rollouts, seed=self.seed)


def _rows(rollouts: Rollouts, order: np.ndarray) -> Rollouts:
    """The rollouts of these rows, in this order, as texts."""
    return Rollouts(
        problems=rollouts.problems,
        problem_R=np.asarray(rollouts.problem_R)[order],
        text_R=[rollouts.text_R[int(r)] for r in order],
        policy=rollouts.policy,
        seed=rollouts.seed,
    )


def _same(a: Sequence[float | Unmeasured], b: Sequence[float | Unmeasured]) -> bool:
    def equal(x: float | Unmeasured, y: float | Unmeasured) -> bool:
        if isinstance(x, Unmeasured) or isinstance(y, Unmeasured):
            return x == y
        return abs(x - y) <= TOLERANCE

    return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))


def _card(case: _Case) -> None:
    card = case.card()
    if not (card.name and card.catches and card.misses):
        raise AssertionError("its card does not say what it is, catches and misses")
    if case.signal().overseer != card.digest:
        raise AssertionError("its signal does not carry its card's digest, so nobody can tell who gave it")


def _one_value_each(case: _Case) -> None:
    signal, R = case.signal(), len(case.rollouts)
    if len(signal.values) != R:
        raise AssertionError(f"{len(signal.values)} values for {R} rollouts; values are matched by position")
    if len(signal.said) not in (0, R):
        raise AssertionError(f"it said {len(signal.said)} things about {R} rollouts; they are matched by position")
    if not all(isinstance(v, Unmeasured | float | int) for v in signal.values):
        raise AssertionError("a value is neither a number nor Unmeasured")


def _same_seed(case: _Case) -> None:
    if case.signal() != case.signal():
        raise AssertionError("two calls with the same seed differ; a run could not be repeated")


def _order(case: _Case) -> None:
    order = np.random.default_rng(case.seed).permutation(len(case.rollouts))
    before, after = case.signal().values, case.signal(_rows(case.rollouts, order)).values
    if not _same([before[int(r)] for r in order], after):
        raise AssertionError("permuted rollouts do not get permuted values; a value depends on its place in the batch")


def _range(case: _Case) -> None:
    low, high = case.setting("low", None), case.setting("high", None)
    if low is None or high is None:
        raise AssertionError("its card declares no range (settings low and high)")
    numbers = [v for v in case.signal().values if not isinstance(v, Unmeasured)]
    if not numbers:
        raise AssertionError("it measured none of these rollouts, so nothing was checked; pass some that it can judge")
    if not all(low <= v <= high for v in numbers):
        raise AssertionError(f"values from {min(numbers)} to {max(numbers)} outside the declared range {low} to {high}")


def _cost(case: _Case) -> None:
    signal = case.signal()
    if case.setting("free", False):
        return
    if signal.checks + signal.tokens <= 0:
        raise AssertionError(
            "it measured rollouts and counted neither checks nor tokens; equal budgets could not be kept"
        )
    doubled = np.concatenate([np.arange(len(case.rollouts))] * 2)
    if case.signal(_rows(case.rollouts, doubled)).checks != 2 * signal.checks:
        raise AssertionError("twice the rollouts do not cost twice the checks")


def _no_answers(case: _Case) -> None:
    watched = tuple(Watched(**{f.name: getattr(p, f.name) for f in fields(Problem)}) for p in case.problems)
    Watched.asked.clear()
    case.signal(problems=watched)
    seen = sorted({name for name in Watched.asked if not name.startswith("__")})
    if seen:
        raise AssertionError(
            f"it asked problems for {', '.join(seen)}; an overseer gets answers from its recipe or not at all"
        )
    told = [name for p in case.problems for name in FORBIDDEN if hasattr(p, name)]
    if told:
        raise AssertionError(f"these problems carry {told[0]}; an overseer could read it")


def _cannot_tell(case: _Case) -> None:
    if case.setting("judges_empty", False):
        return
    blank = Rollouts.of_texts(case.problems, [""] * len(case.problems))
    if not all(isinstance(v, Unmeasured) for v in case.signal(blank).values):
        raise AssertionError("it gave an empty response a number; what cannot be judged is Unmeasured")


CHECKS: dict[str, Callable[[_Case], None]] = {
    "has a card": _card,
    "one value per rollout": _one_value_each,
    "same seed, same signal": _same_seed,
    "order does not matter": _order,
    "declared range is kept": _range,
    "cost is counted": _cost,
    "no answers": _no_answers,
    "cannot tell is Unmeasured": _cannot_tell,
}


def failures(overseer: Overseer, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int = 0) -> dict[str, str]:
    """Run every check on an overseer.

    Args:
        overseer: Any callable with the protocol's signature and a `card` (an `Instrument`).
        problems: Some problems it is meant for.
        rollouts: Responses to them, at least two, some of which it can judge.
        seed: Passed to the overseer.

    Returns:
        Check -> what was wrong, for those that failed.

    Example:
        >>> from superalign.oversight import oblivious
        >>> asked = Problem(prompt="1+1", family="toy", difficulty=1, split="train")
        >>> failures(oblivious(), [asked, asked], Rollouts.of_texts([asked, asked], ["#2", "#3"]))
        {}
    """
    case = _Case(overseer=overseer, problems=tuple(problems), rollouts=rollouts, seed=seed)
    out: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            check(case)
        except AssertionError as error:
            out[name] = str(error)
        except Exception as error:  # a stranger's overseer may break in any way; that is a finding, not our crash
            out[name] = f"it raised {type(error).__name__}: {error}"
    return out


def check_overseer(overseer: Overseer, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int = 0) -> None:
    """Raise unless an overseer passes every check of `failures`.

    Raises:
        AssertionError: Naming each check that failed and why.
    """
    found = failures(overseer, problems, rollouts, seed=seed)
    if found:
        raise AssertionError("; ".join(f"{name}: {why}" for name, why in found.items()))
