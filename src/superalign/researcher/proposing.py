"""What a researcher is: from a question, its public arrays and the shared notebook to one proposal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
class Bench:
    """A question with its public arrays, as somebody who tries out methods sees it."""

    question: Question
    public: Arrays

    @cached_property
    def baseline(self) -> float | Unmeasured:
        """The rehearsed score of the published baseline."""
        try:
            return rehearse(solve_of(self.question.baseline), self.public, self.question.metric)
        except Exception as error:  # whatever its source may raise
            return Unmeasured(f"the baseline cannot be rehearsed here: {type(error).__name__}")

    def gain(self, program: Program) -> float:
        """Return a program's rehearsed gain over the baseline; 0 where there is none."""
        return self.over(rehearse(solve_of(source_of(program)), self.public, self.question.metric))

    def over(self, score: float | Unmeasured) -> float:
        """Return a rehearsed score's gain over the baseline; 0 where either is missing."""
        if isinstance(score, Unmeasured) or isinstance(self.baseline, Unmeasured):
            return 0.0
        return score - self.baseline


def draws(seed: int, name: str, question: Question, history: Notebook) -> np.random.Generator:
    """Return the random stream of a researcher's next proposal: the same after a restart."""
    return stream(seed, name, question.name, len(history.about(question.name, researcher=name)))


def best_of(brood: Iterable[Program], bench: Bench, history: Notebook) -> Proposal | Unmeasured:
    """Propose the program of a brood that rehearses best and was not submitted before."""
    before = {e.plan.artefact for e in history.about(bench.question.name)}
    fresh = [p for p in dict.fromkeys(brood) if digest_of(source_of(p).encode()) not in before]
    if not fresh:
        return Unmeasured("every program that was drawn had been submitted before")
    gain, _, best = max((bench.gain(p), -i, p) for i, p in enumerate(fresh))
    return Proposal(hypothesis=english(best), family=family(best), predicted=gain, source=source_of(best))
