"""Random search: every setting of a program drawn by itself. What all other researchers are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.researcher.notebook import Notebook
from superalign.researcher.programs import dials, random_program
from superalign.researcher.proposing import Bench, Proposal, best_of, draws
from superalign.researcher.rehearsing import Arrays
from superalign.types import Question, Record, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSearch(Record):
    """Proposes one drawn program, whatever was submitted before."""

    seed: int
    name: str = "random"

    def propose(self, question: Question, public: Arrays, history: Notebook) -> Proposal | Unmeasured:
        """Return a program that was drawn at random."""
        rng = draws(self.seed, self.name, question, history)
        return best_of([random_program(rng, dials(question))], Bench(question, public), history)
