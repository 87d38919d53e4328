"""Evolution over programs: parents are what seems best in the shared notebook, of the children the best in rehearsal goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.researcher.notebook import Notebook
from superalign.researcher.programs import Program, cross, dials, mutate, random_program
from superalign.researcher.proposing import Bench, Proposal, best_of, draws
from superalign.researcher.rehearsing import Arrays
from superalign.types import Question, Record, Unmeasured

FOUNDERS = 4  # programs in the notebook from which on there are parents
ROUND = 3  # programs that a parent is the best of


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution(Record):
    """Mutates and crosses programs of everybody's."""

    seed: int
    name: str = "evolution"
    brood: int = 6  # children that are rehearsed for one submission

    def propose(self, question: Question, public: Arrays, history: Notebook) -> Proposal | Unmeasured:
        """Return the child that rehearses best."""
        rng, space = draws(self.seed, self.name, question, history), dials(question)
        pool = history.programs(question.name)
        if len(pool) < FOUNDERS:
            brood = [random_program(rng, space) for _ in range(self.brood)]
        else:
            brood = []
            for _ in range(self.brood):
                child = _parent(pool, rng)
                if rng.random() < 1 / 3:
                    child = cross(child, _parent(pool, rng), rng)
                brood.append(mutate(child, rng, space))
        return best_of(brood, Bench(question, public), history)


def _parent(pool: Sequence[tuple[Program, float]], rng: np.random.Generator) -> Program:
    """Return the best of a few that are drawn."""
    return max((pool[int(i)] for i in rng.integers(0, len(pool), ROUND)), key=lambda pair: pair[1])[0]
