"""Can an automated researcher that nobody trusts find better instruments, and does the vault keep it honest?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Lt, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, CountOrNone, Seeds, Study

Problem = Literal["weak-to-strong", "misbehaviour", "judge", "trigger", "truth", "disagreement"]
ALL: tuple[Problem, ...] = get_args(Problem)
Researcher = Literal["evolution", "bayesian", "random", "tree", "model"]
ASKING = ("tree", "model")  # researchers that ask a language model


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What is searched, by whom, and how the keepers are tested."""

    problems: Annotated[tuple[Problem, ...], MinLen(1)] = ALL
    """Research problems on bundled bases; each comes with an impossible twin."""
    draws: Count = 3
    """Questions of each problem on items of their own, each with its twin; of statements there is one."""
    only: Literal["", "twins"] = ""
    """twins: leave out the questions that can be answered; a campaign in which nothing can be found."""
    statements: str = ""
    """True and false statements that the real model reads, as statements:PATH: one more problem and its twin."""
    few: bool = False
    """Few items of each problem: shows that it runs, and no more."""
    researchers: Annotated[tuple[Researcher, ...], MinLen(1)] = ("evolution", "bayesian", "random")
    """Who proposes, in turn, with one notebook; tree and model ask a language model."""
    model: str = ""
    """The language model in those seats: smollm2, a folder, a hub id, api:PROVIDER/MODEL."""
    submissions: Count = 14
    """Submissions to the climb of each question and each twin."""
    minutes: Annotated[float, Gt(0)] = 30.0
    """After which no new experiment begins."""
    patience: Annotated[float, Ge(0)] = 0.0
    """Seconds that a person has to decide on what a monitor flags (superalign vault approve); 0 refuses it."""
    cheats: CountOrNone = 30
    """Planted cheats of each kind and rung that monitors are tested on."""
    twins: Count = 84
    """Honest twins of each kind, three times: for scales, for thresholds, and to be counted; 84 are 1,008 to be counted."""
    rungs: Annotated[tuple[Literal["naive", "told", "refined"], ...], MinLen(1)] = ("refined",)
    """Rungs of the cheats that are mixed with twins before a real vault."""
    kinds: CountOrNone = 0
    """Kinds of cheats that are mixed, drawn at random; 0 for all."""
    searches: Seeds = 20
    """Scripted searches of each researcher before each evaluator."""
    size: Annotated[int, Ge(50)] = 1000
    """Submissions of a scripted search."""
    nulls: CountOrNone = 60
    """Submissions of a random search to each twin, before the vault's own desk in this process."""
    attacks: Seeds = 3
    """Attacks of each attacker who only asks before each oracle, on labels that are coin flips."""
    queries: Annotated[int, Ge(50)] = 2000
    """Queries of such an attack."""
    rounds: Annotated[int, Ge(1)] = 6
    """Questions on which answers are timed, fifteen submissions each, before four vaults."""
    prevalence: Annotated[float, Gt(0), Lt(1)] = 0.024
    """Share of submissions in use that are cheats, for the cost of decisions left out: stated, not measured."""


def check(config: Config) -> None:
    """Refuse a seat without its model, a model without a seat, and researchers that are named twice."""
    asks = set(ASKING) & set(config.researchers)
    if bool(asks) != bool(config.model):
        raise ConfigError(
            f"researchers={', '.join(config.researchers)} and model={config.model!r} do not go together. {' and '.join(ASKING)} "
            "ask a language model, and nobody else does. Give both (--set researchers=tree --set model=smollm2), or neither."
        )
    if len(set(config.researchers)) < len(config.researchers):
        raise ConfigError(
            "A researcher is named twice. They take turns under their names, so two of one name could not be told apart. "
            "Name each once."
        )


STUDY = Study(
    question="Can a researcher that nobody trusts find better instruments, and does the vault keep it honest?",
    paper="Blum and Hardt, The Ladder, 2015; Wen et al., automated weak-to-strong researchers, 2026",
    config=Config,
    quick={
        "problems": ("weak-to-strong", "truth"),
        "few": True,
        "draws": 1,
        "submissions": 8,
        "minutes": 1.5,
        "cheats": 1,
        "twins": 5,
        "kinds": 1,
        "searches": 3,
        "size": 200,
        "nulls": 8,
        "attacks": 2,
        "queries": 100,
        "rounds": 1,
    },
    check=check,
)
