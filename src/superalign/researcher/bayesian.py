"""Bayesian search (the tree-structured Parzen estimator of Optuna) over the settings of programs.

The shared notebook is replayed into a fresh estimator each time, so that nothing but the notebook has to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superalign.errors import ConfigError
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
        optuna = optuna_or_say()
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


def optuna_or_say() -> Any:
    """Import Optuna, quiet.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "Optuna is not installed, and Bayesian search is its estimator. That researcher cannot propose anything. Run "
            "`pip install 'superalign[research]'`, or leave `bayesian` out of the researchers."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
