"""What a researcher is: from a question, its public arrays and the shared notebook to one proposal."""

from __future__ import annotations

import hashlib
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
from superalign.types import Question, Record, Unmeasured

ROWS = 1500  # training items of a rehearsal at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(Record):
    """One experiment: what is expected of which source, and why."""

    hypothesis: str
    family: str
    predicted: float  # gain over the baseline
    source: str
    cites: tuple[str, ...] = ()  # tickets that it builds on

    @property
    def artefact(self) -> str:
        """The sha256 of the source."""
        return hashlib.sha256(self.source.encode()).hexdigest()


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
    def less(self) -> Arrays:
        """The arrays with no more training items than a rehearsal needs."""
        n = len(self.public["weak"])
        return {k: v[:ROWS] if len(v) == n and not k.startswith("dev_") else v for k, v in self.public.items()}

    @cached_property
    def baseline(self) -> float | Unmeasured:
        """The rehearsed score of the published baseline."""
        try:
            return rehearse(solve_of(self.question.baseline), self.less, self.question.metric)
        except Exception as error:  # whatever its source may raise
            return Unmeasured(f"the baseline cannot be rehearsed here: {type(error).__name__}")

    def gain(self, program: Program) -> float:
        """Return a program's rehearsed gain over the baseline; 0 where there is none."""
        return self.over(rehearse(solve_of(source_of(program)), self.less, self.question.metric))

    def over(self, score: float | Unmeasured) -> float:
        """Return a rehearsed score's gain over the baseline; 0 where either is missing."""
        if isinstance(score, Unmeasured) or isinstance(self.baseline, Unmeasured):
            return 0.0
        return score - self.baseline


def draws(seed: int, name: str, question: Question, history: Notebook) -> np.random.Generator:
    """Return the random stream of a researcher's next proposal: the same after a restart."""
    return stream(seed, name, question.name, len(history.about(question.name, researcher=name)))


def proposal_of(program: Program, gain: float, cites: Iterable[str] = ()) -> Proposal:
    """Propose a program with its rehearsed gain."""
    return Proposal(
        hypothesis=english(program),
        family=family(program),
        predicted=gain,
        source=source_of(program),
        cites=tuple(cites),
    )


def best_of(brood: Iterable[Program], bench: Bench, history: Notebook) -> Proposal | Unmeasured:
    """Propose the program of a brood that rehearses best and was not submitted before."""
    before = history.artefacts(bench.question.name)
    fresh = [p for p in dict.fromkeys(brood) if hashlib.sha256(source_of(p).encode()).hexdigest() not in before]
    if not fresh:
        return Unmeasured("every program that was drawn had been submitted before")
    gain, _, program = max((bench.gain(p), -i, p) for i, p in enumerate(fresh))
    return proposal_of(program, gain)
