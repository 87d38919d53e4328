"""What every overseer must hold to, as checks that anyone can run on one that we have never seen.

A value may depend on the problem, the response and the seed, and on nothing else: not on where either stands, on what else is
judged, on chance that the seed does not settle, or on answers. Every check calls the overseer with something changed that may
not matter, and compares. An overseer that declares `relative` on its card (its values compare the rollouts of a batch) is excused
from what its batch would change.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from superalign.types import Instrument, Overseer, Problem, Rollouts, Signal, Unmeasured

TOLERANCE = 1e-5  # float32 batches of another composition may differ in the last bits
FORBIDDEN = ("answer", "answers", "solution", "label", "labels", "target", "gold", "reference", "truth")
GRADERS = ("grade", "grader")  # names of what knows whether a whole response is right, whoever wrote it
OURS = (
    *GRADERS,
    "worked",
    "solve",
    "answer_ok",
    "is_true",
    "reference",
    "row",
)  # and of what knows an answer in our families
REPEATS = 44  # calls that must agree: chance that acts in one call of seven escapes one such suite in a thousand
FEW = 2  # rollouts in each of them
ALONE = 8  # rollouts that are judged alone
FAMILIES = "superalign/problems/"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    overseer: Overseer
    problems: tuple[Problem, ...]
    rollouts: Rollouts
    seed: int
    known: dict[str, Signal] = field(default_factory=dict)

    def setting(self, name: str, otherwise: Any) -> Any:
        """Return a setting of the overseer's card."""
        return dict(self.card().settings).get(name, otherwise)

    def card(self) -> Instrument:
        card = getattr(self.overseer, "card", None)
        if not isinstance(card, Instrument):
            raise AssertionError("it has no card; nobody can know what it catches and misses")
        return card

    def signal(self, rollouts: Rollouts | None = None) -> Signal:
        """Say what it says of other rollouts, or of its own, asked anew."""
        some = self.rollouts if rollouts is None else rollouts
        given = _rows(some, np.arange(len(some)))  # a copy: what one call changes may not reach the next
        return self.overseer(given.problems, given, seed=self.seed)

    def first(self) -> Signal:
        """Say what it said of all rollouts when it was first asked."""
        if "first" not in self.known:
            self.known["first"] = self.signal()
        return self.known["first"]


def _rows(rollouts: Rollouts, order: np.ndarray) -> Rollouts:
    """The rollouts of these rows, in this order, with all that they carry."""
    columns = ("tokens_RT", "logprobs_RT", "length_R", "stopped_R")
    kept = {name: getattr(rollouts, name) for name in columns}
    return replace(
        rollouts,
        problem_R=np.asarray(rollouts.problem_R)[order],
        text_R=[str(rollouts.text_R[int(r)]) for r in order],
        thinking_R=[str(rollouts.thinking_R[int(r)]) for r in order] if len(rollouts.thinking_R) else (),
        **{name: column[order] if len(column) else column for name, column in kept.items()},
    )


def _same(a: Sequence[float | Unmeasured], b: Sequence[float | Unmeasured]) -> bool:
    def equal(x: float | Unmeasured, y: float | Unmeasured) -> bool:
        if isinstance(x, Unmeasured) or isinstance(y, Unmeasured):
            return x == y
        return bool(abs(x - y) <= TOLERANCE)

    return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))


def _card(case: _Case) -> None:
    card = case.card()
    if not (card.name and card.catches and card.misses):
        raise AssertionError("its card does not say what it is, catches and misses")
    if case.first().overseer != card.digest:
        raise AssertionError("its signal does not carry its card's digest, so nobody can tell who gave it")


def _one_value_each(case: _Case) -> None:
    signal, R = case.first(), len(case.rollouts)
    if len(signal.values) != R:
        raise AssertionError(f"{len(signal.values)} values for {R} rollouts; values are matched by position")
    if len(signal.said) not in (0, R):
        raise AssertionError(f"it said {len(signal.said)} things about {R} rollouts; they are matched by position")
    if not all(isinstance(v, Unmeasured | float | int) for v in signal.values):
        raise AssertionError("a value is neither a number nor Unmeasured")


def _same_seed(case: _Case) -> None:
    few = _rows(case.rollouts, np.arange(min(FEW, len(case.rollouts))))
    for rollouts, calls in ((case.rollouts, 2), (few, REPEATS)):
        first = case.first() if rollouts is case.rollouts else case.signal(few)
        differ = sum(case.signal(rollouts) != first for _ in range(calls))
        if differ:
            raise AssertionError(f"calls with the same seed differ ({differ} of {calls}); a run could not be repeated")


def _order(case: _Case) -> None:
    order = np.random.default_rng(case.seed).permutation(len(case.rollouts))
    before, after = case.first().values, case.signal(_rows(case.rollouts, order)).values
    if not _same([before[int(r)] for r in order], after):
        raise AssertionError("permuted rollouts do not get permuted values; a value depends on its place in the batch")


def _places(case: _Case) -> None:
    """The same rollouts, their problems in another order, and all of them listed twice."""
    rollouts, P = case.rollouts, len(case.problems)
    for what, place in (("reversed", np.arange(P)[::-1]), ("listed twice", np.arange(P) + P)):
        listed: list[Problem] = [*case.problems[::-1]] if what == "reversed" else [*case.problems, *case.problems]
        moved = replace(rollouts, problems=tuple(listed), problem_R=place[np.asarray(rollouts.problem_R)])
        if not _same(case.first().values, case.signal(moved).values):
            raise AssertionError(
                f"with its problems {what} it gives other values; a value depends on its problem's place in the list"
            )


def _batch(case: _Case) -> None:
    if case.setting("relative", False):
        return
    R = len(case.rollouts)
    alone = np.unique(np.linspace(0, R - 1, min(ALONE, R)).astype(int))
    before = case.first().values
    for rows in (*(np.array([r]) for r in alone), np.arange(0, R, 2), np.concatenate([np.arange(R)] * 2)):
        if not _same([before[int(r)] for r in rows], case.signal(_rows(case.rollouts, rows)).values):
            raise AssertionError(
                f"{len(rows)} of {R} rollouts get other values than among all; a value depends on the batch, so the same "
                "response is worth something else beside others. If it must (`relative` pay), declare it in the card's settings"
            )


def _range(case: _Case) -> None:
    low, high = case.setting("low", None), case.setting("high", None)
    if low is None or high is None:
        raise AssertionError("its card declares no range (settings low and high)")
    numbers = [v for v in case.first().values if not isinstance(v, Unmeasured)]
    if not numbers:
        raise AssertionError("it measured none of these rollouts, so nothing was checked; pass some that it can judge")
    if not all(low <= v <= high for v in numbers):
        raise AssertionError(f"values from {min(numbers)} to {max(numbers)} outside the declared range {low} to {high}")


def _cost(case: _Case) -> None:
    signal, R = case.first(), len(case.rollouts)
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in (signal.checks, signal.tokens)):
        raise AssertionError(f"its costs are no counts: {signal.checks} checks, {signal.tokens} tokens")
    with _watching() as seen:
        case.signal()
    # One that asks again what it knows already need not pay twice.
    steps = len(set(seen.checked))
    if steps and not steps <= signal.checks <= len(seen.checked):
        raise AssertionError(f"it checked {steps} steps and counted {signal.checks} checks; its cost is false")
    if case.setting("free", False):
        return
    if signal.checks + signal.tokens <= 0:
        raise AssertionError(
            "it measured rollouts and counted neither checks nor tokens; equal budgets could not be kept"
        )
    halves = [case.signal(_rows(case.rollouts, rows)).checks for rows in np.array_split(np.arange(R), 2) if len(rows)]
    if sum(halves) != signal.checks:
        raise AssertionError(f"all rollouts cost {signal.checks} checks, and its two halves {sum(halves)}")
    if case.signal(_rows(case.rollouts, np.concatenate([np.arange(R)] * 2))).checks != 2 * signal.checks:
        raise AssertionError("twice the rollouts do not cost twice the checks")


def _no_answers(case: _Case) -> None:
    with _watching() as seen:
        case.signal()
    if seen.asked:
        raise AssertionError(
            f"it asked problems for {', '.join(sorted(seen.asked))}; an overseer gets answers from its study or not at all"
        )
    told = [name for p in case.problems for name in FORBIDDEN if hasattr(p, name)]
    if told:
        raise AssertionError(f"these problems carry {told[0]}; an overseer could read it")
    if case.setting("privileged", False):
        return
    held = [name for name in GRADERS if hasattr(case.overseer, name)]
    if seen.graders or held:
        names = ", ".join(dict.fromkeys((*sorted(seen.graders), *held)))
        raise AssertionError(
            f"its values depend on a grader ({names}), which knows the answers. Judge without it, or declare `privileged` in the "
            "card's settings"
        )


def _cannot_tell(case: _Case) -> None:
    if case.setting("judges_empty", False):
        return
    blank = case.signal(Rollouts.of_texts(case.problems, [""] * len(case.problems)))
    if not all(isinstance(v, Unmeasured) for v in blank.values):
        raise AssertionError("it gave an empty response a number; what cannot be judged is Unmeasured")
    if blank.checks:
        raise AssertionError(f"it counted {blank.checks} checks of responses that hold nothing; its cost is false")


def _left_alone(case: _Case) -> None:
    given = _rows(case.rollouts, np.arange(len(case.rollouts)))
    case.overseer(given.problems, given, seed=case.seed)
    if list(given.text_R) != [str(t) for t in case.rollouts.text_R] or not np.array_equal(
        given.problem_R, case.rollouts.problem_R
    ):
        raise AssertionError("it changed the rollouts that it was given; whoever reads them next reads something else")


@dataclass(slots=True)
class _Seen:
    """What an overseer did while it was watched, or within one call that may be a check of a step."""

    checked: list[tuple[Any, ...]] = field(default_factory=list)  # (problem, text, step), outermost checks only
    graders: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)  # attributes of problems that problems do not have


@contextmanager
def _watching() -> Iterator[_Seen]:
    """Watch which steps are checked, which graders run, and what problems are asked for.

    Problems stay what they are, equal and with their digests, so that one that is looked up is found.
    """
    seen = _Seen()
    inside: list[tuple[FrameType | None, tuple[Any, ...], _Seen]] = [(None, (), seen)]

    def missing(problem: Problem, name: str) -> Any:
        if not name.startswith("__"):
            seen.asked.add(name)
        raise AttributeError(name)

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "return" and inside[-1][0] is frame:
            _, about, within = inside.pop()
            if isinstance(argument, bool | np.bool_):  # a check; what it does is the business of who granted it
                within = _Seen(checked=[about])
            inside[-1][2].checked.extend(within.checked)
            inside[-1][2].graders.update(within.graders)
        if event != "call":
            return
        code = frame.f_code
        names = [n for n in code.co_varnames[: code.co_argcount] if n not in ("self", "cls")]
        if code.co_name in OURS:
            ours = FAMILIES in Path(code.co_filename).as_posix()
            named = code.co_name in GRADERS and any(isinstance(frame.f_locals.get(n), Problem) for n in names)
            inside[-1][2].graders.update({code.co_name} if ours or named else ())
        if len(names) >= 3 and _is_step(about := tuple(frame.f_locals.get(n) for n in names[:3])):
            inside.append((frame, about, _Seen()))

    before = sys.getprofile()
    Problem.__getattr__ = missing  # type: ignore[attr-defined]
    sys.setprofile(profile)
    threading.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
        del Problem.__getattr__  # type: ignore[attr-defined]


def _is_step(about: Sequence[Any]) -> bool:
    problem, text, step = about
    return (
        isinstance(problem, Problem)
        and isinstance(text, str)
        and isinstance(step, int | np.integer)
        and not isinstance(step, bool)
    )


CHECKS: dict[str, Callable[[_Case], None]] = {
    "has a card": _card,
    "one value per rollout": _one_value_each,
    "same seed, same signal": _same_seed,
    "order does not matter": _order,
    "place of the problem does not matter": _places,
    "batch does not matter": _batch,
    "declared range is kept": _range,
    "cost is counted": _cost,
    "no answers": _no_answers,
    "cannot tell is Unmeasured": _cannot_tell,
    "rollouts are left alone": _left_alone,
}
REPEATABLE = (
    "order does not matter",
    "place of the problem does not matter",
    "batch does not matter",
)  # mean nothing else


def failures(overseer: Overseer, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int = 0) -> dict[str, str]:
    """Run every check on an overseer; some 80 calls, most of them of two rollouts or fewer.

    Args:
        overseer: Any callable with the protocol's signature and a `card` (an `Instrument`).
        problems: Some problems it is meant for.
        rollouts: Responses to them, at least two, some of which it can judge.
        seed: Passed to the overseer.

    Returns:
        Check -> what was wrong, for those that failed.

    Catches: values that depend on the order of rollouts or problems, on other rollouts, or on chance that acts in one call of
        seven (44 calls agree by luck once in a thousand times); graders by their names, or from `superalign.problems`; wrong
        counts of checks made through a Python function of (problem, text, step) that returns a bool.
    Misses: answers that were copied into it, chance that acts more rarely, checks made in other ways, tokens that nobody
        counted.

    Example:
        >>> from superalign.oversight import oblivious
        >>> asked = Problem(prompt="1+1", family="toy", difficulty=1, split="train")
        >>> failures(oblivious(), [asked, asked], Rollouts.of_texts([asked, asked], ["#2", "#3"]))
        {}
    """
    listed = replace(rollouts, problems=tuple(problems))
    case = _Case(overseer=overseer, problems=tuple(problems), rollouts=listed, seed=seed)
    out: dict[str, str] = {}
    for name, check in CHECKS.items():
        if name in REPEATABLE and "same seed, same signal" in out:
            continue
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
