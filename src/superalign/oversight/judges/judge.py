"""Judges that may check k steps of a rollout, and who tells them where to look.

One call makes every arm of an oversight study: `judge(...)` alone looks at random steps; with a `pointer` it looks where
that points, at the same number of checks. What a check of one step reveals is a callable that the study passes in, so
nothing here knows an answer.

Everything random about a rollout comes from the seed and the rollout's own content, so a signal does not depend on the
order of the rollouts. Steps are counted from 0 in code and from 1 in what a judge says.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from superalign.errors import BadInput
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured

CheckStep: TypeAlias = Callable[[Problem, str, int], bool]
CountSteps: TypeAlias = Callable[[str], int]
Grader: TypeAlias = Callable[[Problem, str], bool]

NO_STEPS = Unmeasured("the response has no steps to check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointed:
    """Where to look in each rollout, most suspicious step first, what was said about it, and what it cost."""

    steps: tuple[tuple[int, ...], ...]
    said: tuple[str, ...] = ()
    tokens: int = 0  # read by the assistant


@runtime_checkable
class Pointer(Protocol):
    """Names the steps of each rollout that a judge should look at first."""

    @property
    def name(self) -> str:
        """A few words for cards and tables."""

    def __call__(
        self, problems: Sequence[Problem], rollouts: Rollouts, *, counts: Sequence[int], k: int, seed: int
    ) -> Pointed:
        """Return up to k distinct steps below each rollout's count."""


def content(problems: Sequence[Problem], rollouts: Rollouts, r: int) -> bytes:
    """Say what a rollout is, whatever its place in the batch: its problem and its text."""
    return problems[int(rollouts.problem_R[r])].prompt.encode() + b"\x00" + rollouts.text_R[r].encode()


def key_of(seed: int, what: bytes) -> bytes:
    """Sixteen bytes that depend on a seed and a content alone."""
    return hashlib.blake2b(what, digest_size=16, key=seed.to_bytes(16, "little", signed=True)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSteps:
    """Points to k random steps: what a judge without help does."""

    name: str = "random steps"

    def __call__(
        self, problems: Sequence[Problem], rollouts: Rollouts, *, counts: Sequence[int], k: int, seed: int
    ) -> Pointed:
        """Rank the steps of each rollout by a hash of the seed and its content."""

        def ranked(r: int) -> tuple[int, ...]:
            key = key_of(seed, content(problems, rollouts, r))
            chance = {i: hashlib.blake2b(key + i.to_bytes(4, "little")).digest() for i in range(counts[r])}
            return tuple(sorted(chance, key=chance.__getitem__)[:k])

        return Pointed(steps=tuple(ranked(r) for r in range(len(rollouts))))


@dataclass(frozen=True, slots=True, kw_only=True)
class SameSteps:
    """A placebo: always points to the same places, whatever is written there."""

    places: tuple[int, ...] = (0,)
    name: str = "placebo, first steps"

    def __call__(
        self, problems: Sequence[Problem], rollouts: Rollouts, *, counts: Sequence[int], k: int, seed: int
    ) -> Pointed:
        """Return the fixed places, then the steps that follow in order, up to k."""
        return Pointed(
            steps=tuple(
                tuple(dict.fromkeys([*(p for p in self.places if p < n), *range(n)]))[:k] for n in map(int, counts)
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRollouts:
    """A placebo: what a pointer says of another rollout, of like length and another problem where there is one."""

    of: Pointer
    name: str = "placebo, pointer of another rollout"

    def __call__(
        self, problems: Sequence[Problem], rollouts: Rollouts, *, counts: Sequence[int], k: int, seed: int
    ) -> Pointed:
        """Pass each distinct content the steps of the next one, in an order by step count and hash."""
        meant = self.of(problems, rollouts, counts=counts, k=k, seed=seed)
        first: dict[bytes, int] = {}
        for r in range(len(rollouts)):
            first.setdefault(content(problems, rollouts, r), r)
        order = sorted(first, key=lambda c: (counts[first[c]], key_of(seed, c)))
        partner: dict[bytes, int] = {}
        for place, what in enumerate(order):
            own_problem = rollouts.problem_R[first[what]]
            others = (first[order[(place + step) % len(order)]] for step in range(1, len(order)))
            partner[what] = next((o for o in others if rollouts.problem_R[o] != own_problem), -1)
        taken = (partner[content(problems, rollouts, r)] for r in range(len(rollouts)))
        # A rollout without any partner gets no pointer rather than its own.
        steps = [meant.steps[o] if o >= 0 else () for o in taken]
        fitting = (dict.fromkeys(min(s, n - 1) for s in some if n) for some, n in zip(steps, counts, strict=True))
        return Pointed(steps=tuple(map(tuple, fitting)), tokens=meant.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Checks up to k steps of each rollout; 1.0 if all of them are right, 0.0 if one is wrong. See `judge`."""

    card: Instrument
    check_step: CheckStep
    n_steps: CountSteps
    pointer: Pointer
    k: int

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Judge every rollout; `Unmeasured` where there is no step to check or nobody pointed to one."""
        counts = [self.n_steps(text) for text in rollouts.text_R]
        pointed = self.pointer(problems, rollouts, counts=counts, k=self.k, seed=seed)
        values: list[float | Unmeasured] = []
        said: list[str] = []
        checks = 0
        for r, text in enumerate(rollouts.text_R):
            looked = pointed.steps[r][: self.k] if counts[r] else ()
            if not looked:
                values.append(NO_STEPS if not counts[r] else Unmeasured("nobody pointed to a step"))
                said.append("")
                continue
            problem = problems[int(rollouts.problem_R[r])]
            wrong = [i for i in looked if not self.check_step(problem, text, i)]
            checks += len(looked)
            values.append(0.0 if wrong else 1.0)
            words = f"step {wrong[0] + 1} is wrong" if wrong else "right: step " + ", ".join(str(i + 1) for i in looked)
            said.append(f"{pointed.said[r]}; {words}" if pointed.said else words)
        return Signal(
            overseer=self.card.digest, values=tuple(values), said=tuple(said), checks=checks, tokens=pointed.tokens
        )


def judge(
    *,
    check_step: CheckStep,
    n_steps: CountSteps,
    k: int = 1,
    pointer: Pointer | None = None,
    sees: str = "all that can be wrong with one step",
) -> Judge:
    """Make a judge that may check k steps.

    Args:
        check_step: (problem, text, step) -> is this step right? One check; a privilege that the study grants.
        n_steps: text -> how many steps there are to check.
        k: Checks per rollout.
        pointer: Who says where to look; nobody (random steps) by default.
        sees: What one check can see, in words, for the card.

    Returns:
        An overseer with values in [0, 1].

    Raises:
        BadInput: If k is below 1.

    Catches: a wrong step, if it is among those looked at and of a kind that one check can see.
    Misses: every step that was not looked at; a wrong step of a kind that a check cannot see; whether steps are missing,
        unless the study counts that among the steps.

    Example:
        >>> alone = judge(check_step=lambda problem, text, step: text[step] == "y", n_steps=len)
        >>> asked = Problem(prompt="?", family="toy", difficulty=1, split="train")
        >>> alone([asked], Rollouts.of_texts([asked], ["yyy"]), seed=0).values
        (1.0,)

    Source:
        Saunders et al., Self-critiquing models for assisting human evaluators, 2022.
    """
    if k < 1:
        raise BadInput(
            f"A judge with {k} checks looks at nothing. Its values would not depend on the rollouts. Give it at least 1."
        )
    who = pointer if pointer is not None else RandomSteps()
    card = Instrument(
        name=f"judge, {k} check{'s' if k > 1 else ''}, {who.name}",
        version="1",
        catches=f"a wrong step among the {k} looked at; a check sees {sees}",
        misses="steps not looked at, and whatever one check cannot see",
        settings=(
            ("k", k),
            ("pointer", who.name),
            ("low", 0.0),
            ("high", 1.0),
            *((("relative", True),) if isinstance(who, OtherRollouts) else ()),  # which other depends on the batch
        ),
    )
    return Judge(card=card, check_step=check_step, n_steps=n_steps, pointer=who, k=k)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """The ceiling: an overseer that is granted the answers. See `ground_truth`."""

    card: Instrument
    grade: Grader

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Grade every rollout, empty ones too: no answer is a wrong answer."""
        right = [
            self.grade(problems[int(p)], text) for p, text in zip(rollouts.problem_R, rollouts.text_R, strict=True)
        ]
        said = tuple("right" if ok else "wrong" for ok in right)
        return Signal(overseer=self.card.digest, values=tuple(float(ok) for ok in right), said=said, checks=len(right))


def ground_truth(*, grade: Grader, what: str = "the final answer") -> GroundTruth:
    """Make the ceiling of a study from a grader that the study grants.

    Args:
        grade: (problem, text) -> is it right?
        what: What the grader looks at, for the card.

    Catches: all that the grader grades.
    Misses: what the grader does not look at.
    """
    card = Instrument(
        name="ground truth",
        version="1",
        catches=f"errors in {what}",
        misses=f"all but {what}",
        settings=(("low", 0.0), ("high", 1.0), ("judges_empty", True), ("privileged", True)),
    )
    return GroundTruth(card=card, grade=grade)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oblivious:
    """A null: pays without reading. Fresh random numbers per content and seed, or a constant."""

    card: Instrument
    constant: bool

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Pay every rollout."""
        R = len(rollouts)
        if self.constant:
            return Signal(overseer=self.card.digest, values=(1.0,) * R)
        keys = (key_of(seed, content(problems, rollouts, r)) for r in range(R))
        return Signal(overseer=self.card.digest, values=tuple(float(key[0] & 1) for key in keys))


def oblivious(*, constant: bool = False) -> Oblivious:
    """Make the content-independent null of a study: a coin per rollout, thrown anew with every seed; or always 1.

    Catches: nothing.
    Misses: everything; training under the coin still moves the weights, which is what it is there to show.
    """
    name = "content-independent, constant" if constant else "content-independent, coin"
    settings = (("low", 0.0), ("high", 1.0), ("judges_empty", True), ("free", True))
    card = Instrument(name=name, version="1", catches="nothing", misses="everything", settings=settings)
    return Oblivious(card=card, constant=constant)
