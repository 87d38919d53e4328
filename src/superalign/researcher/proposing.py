"""What a researcher is: from a question, its public arrays and the shared notebook to one proposal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from superalign.researcher.notebook import Notebook
from superalign.researcher.programs import Program, english, family, source_of
from superalign.researcher.rehearsing import Arrays as Arrays
from superalign.researcher.rehearsing import rehearse, solve_of
from superalign.stats.streams import stream
from superalign.types import Question, Record, Unmeasured, digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(Record):
    """One experiment: what is expected of which source, and why."""

    hypothesis: str
    family: str
    predicted: float  # gain over the baseline
    source: str
    cites: tuple[str, ...] = ()  # tickets that it builds on


@runtime_checkable
class Researcher(Protocol):
    """Anything that proposes. What it drew before must not matter: a campaign that was killed goes on from the notebook."""

    @property
    def name(self) -> str:
        """Its name in plans."""

    def propose(self, question: Question, public: Arrays, history: Notebook) -> Proposal | Unmeasured:
        """Return the next experiment, or why there is none this time."""


def gains(question: Question, public: Arrays) -> Callable[[float], float]:
    """Return how a rehearsed score becomes a gain over the published baseline; 0 where the baseline has none."""
    try:
        base = rehearse(solve_of(question.baseline), public, question.metric)
    except Exception as error:  # whatever its source may raise
        base = Unmeasured(f"the baseline cannot be rehearsed here: {type(error).__name__}")
    return lambda score: 0.0 if isinstance(base, Unmeasured) else score - base


def rehearsals(question: Question, public: Arrays) -> Callable[[Program], float | Unmeasured]:
    """Return what tells a program's rehearsed gain, or that its fit failed."""
    gain = gains(question, public)

    def rehearsed(program: Program) -> float | Unmeasured:
        try:
            score = rehearse(solve_of(source_of(program)), public, question.metric)
        except (ValueError, ArithmeticError, LookupError) as error:  # a matrix without inverse, arrays of other shapes
            return Unmeasured(f"it cannot be rehearsed: {type(error).__name__}")
        return score if isinstance(score, Unmeasured) else gain(score)

    return rehearsed


def draws(seed: int, name: str, question: Question, history: Notebook) -> np.random.Generator:
    """Return the random stream of a researcher's next proposal: the same after a restart."""
    return stream(seed, name, question.name, len(history.about(question.name, researcher=name)))


def best_of(gain: Mapping[Program, float | Unmeasured], question: Question, history: Notebook) -> Proposal | Unmeasured:
    """Propose the program that gains most in rehearsal and was not submitted before."""
    before = {e.plan.artefact for e in history.about(question.name)}
    ran = {p: value for p, value in gain.items() if not isinstance(value, Unmeasured)}
    fresh = {p: value for p, value in ran.items() if digest_of(source_of(p).encode()) not in before}
    if not fresh:
        return Unmeasured("every program that was drawn had been submitted before, or fails")
    best = max(fresh, key=lambda p: fresh[p])
    return Proposal(hypothesis=english(best), family=family(best), predicted=fresh[best], source=source_of(best))
