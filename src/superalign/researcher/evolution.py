"""Evolution over programs from the shared notebook; without parents it is random search, which all others are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.researcher.notebook import Notebook
from superalign.researcher.programs import cross, dials, mutate, random_program
from superalign.researcher.proposing import Arrays, Proposal, best_of, draws, gains, rehearsed
from superalign.types import Question, Record, Unmeasured

ROUND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution(Record):
    """Mutates and crosses programs of everybody's."""

    seed: int
    name: str = "evolution"
    brood: int = 6  # children that are rehearsed for one submission
    founders: int = 4  # programs in the notebook from which on there are parents

    def propose(self, question: Question, public: Arrays, history: Notebook) -> Proposal | Unmeasured:
        """Return the child that rehearses best."""
        rng, space = draws(self.seed, self.name, question, history), dials(question)
        pool = history.programs(question.name)
        brood = []
        for _ in range(self.brood):
            if len(pool) < self.founders:
                brood.append(random_program(rng, space))
                continue
            rounds = rng.integers(0, len(pool), (2, ROUND))  # a parent is the best of a few that are drawn
            one, other = (max((pool[i] for i in row), key=lambda pair: pair[1])[0] for row in rounds.tolist())
            brood.append(mutate(cross(one, other, rng) if rng.random() < 1 / 3 else one, rng, space))
        gain, scores = gains(question, public), {p: rehearsed(p, question, public) for p in brood}
        ran = {p: gain(score) for p, score in scores.items() if not isinstance(score, Unmeasured)}
        return best_of(ran, question, history)


def random_search(seed: int) -> Evolution:
    """Return the researcher that draws every setting of one program by itself, whatever was submitted before."""
    return Evolution(seed=seed, name="random", brood=1, founders=2**62)
