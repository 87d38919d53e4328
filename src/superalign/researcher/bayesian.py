"""Bayesian search (Optuna's tree-structured Parzen estimator) over programs: the notebook is replayed into it each time."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from superalign.researcher.notebook import Notebook
from superalign.researcher.programs import Program, dials, plainest, settings_of
from superalign.researcher.proposing import Arrays, Proposal, best_of, draws, gains, rehearsed
from superalign.types import Question, Record, Unmeasured


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
            settings = settings_of(program)
            if all(settings[name] in options for name, options in space.items()):
                study.add_trial(optuna.trial.create_trial(params=settings, distributions=kinds, value=value))
        gain, found = gains(question, public), dict[Program, float]()
        for _ in range(self.asked):
            trial = study.ask(kinds)
            program = plainest(Program(**trial.params))
            score = rehearsed(program, question, public)
            if not isinstance(score, Unmeasured):
                found[program] = gain(score)
            study.tell(trial, found.get(program, -1.0))
        return best_of(found, question, history)
