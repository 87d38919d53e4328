"""Search over programs from the shared notebook: evolution; Optuna's tree-structured Parzen estimator; and at random.

Random search is evolution without parents: all others are compared with it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from superalign.researcher.notebook import Notebook
from superalign.researcher.programs import Program, cross, dials, mutate, plainest, random_program
from superalign.researcher.proposing import Arrays, Proposal, best_of, draws, rehearsals
from superalign.types import Question, Record, Unmeasured

ROUND, NEVER = 3, 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution(Record):
    """Mutates and crosses programs of everybody's."""

    seed: int
    name: str = "evolution"
    brood: int = 6  # children that are rehearsed for one submission
    founders: int = 4  # programs in the notebook from which on there are parents; NEVER: all are drawn

    def propose(self, question: Question, public: Arrays, history: Notebook) -> Proposal | Unmeasured:
        """Return the child that rehearses best."""
        rng, space = draws(self.seed, self.name, question, history), dials(question)
        pool = history.programs(question.name)
        brood = [random_program(rng, space) for _ in range(self.brood)] if len(pool) < self.founders else []
        while len(brood) < self.brood:
            rounds = rng.integers(0, len(pool), (2, ROUND))  # a parent is the best of a few that are drawn
            one, other = (max((pool[i] for i in row), key=lambda pair: pair[1])[0] for row in rounds.tolist())
            brood.append(mutate(cross(one, other, rng) if rng.random() < 1 / 3 else one, rng, space))
        gain = rehearsals(question, public)
        return best_of({program: gain(program) for program in brood}, question, history)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bayesian(Record):
    """Asks the estimator for programs, and tells it how they rehearse."""

    seed: int
    name: str = "bayesian"
    asked: int = 6  # programs that are rehearsed for one submission

    def propose(self, question: Question, public: Arrays, history: Notebook) -> Proposal | Unmeasured:
        """Return the program that rehearses best among those that the estimator expects most of."""
        optuna: Any = import_module("optuna")  # `campaign.researchers_of` says what to do where it is missing
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        rng, space = draws(self.seed, self.name, question, history), dials(question)
        kinds = {name: optuna.distributions.CategoricalDistribution(options) for name, options in space.items()}
        sampler = optuna.samplers.TPESampler(seed=int(rng.integers(2**31)))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for program, value in history.programs(question.name):
            settings = asdict(program)
            if all(settings[name] in options for name, options in space.items()):
                study.add_trial(optuna.trial.create_trial(params=settings, distributions=kinds, value=value))
        gain, found = rehearsals(question, public), dict[Program, float | Unmeasured]()
        for _ in range(self.asked):
            trial = study.ask(kinds)
            program = plainest(Program(**trial.params))
            found[program] = reached = gain(program)
            study.tell(trial, -1.0 if isinstance(reached, Unmeasured) else reached)
        return best_of(found, question, history)
