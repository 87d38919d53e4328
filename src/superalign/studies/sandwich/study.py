"""A judge who is no expert, a model that may be wrong, and both together, scored against somebody who knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from annotated_types import Ge, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, CountOrNone, Seeds, Study

Base: TypeAlias = Literal["small", "middle", "large"]  # the chains are what these have learned
Temperature: TypeAlias = Annotated[float, Ge(0)]
Enough: TypeAlias = Annotated[int, Ge(12)]  # with fewer nothing would have an interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Who judges, who is asked, and how strong both are."""

    judge: str = "scripted"
    """scripted, a judge who may check so many steps; human, a person at this terminal; or file:PATH, questions.json and
    answers.json in that folder."""
    agent: Base = "middle"
    """The model that is asked: small, middle or large."""
    temperature: Temperature = 1.0
    """Of the agent; the higher, the more often it is wrong."""
    writer: Base = "small"
    """Whose responses, sampled at temperature 1, are judged."""
    checks: CountOrNone = 1
    """Steps that the judge may check."""
    depths: Annotated[tuple[Count, ...], MinLen(1)] = (4, 5, 6)
    """Difficulties of the chains."""
    practice: Enough = 600
    """Training problems on which the judge learns, with answers, how far to trust what he sees."""
    items: Enough = 600
    """Test problems."""
    seeds: Seeds = 5
    """Draws of responses and of all that is said."""
    most_checks: CountOrNone = 4
    """Judges with none to so many checks are crossed with agents of every temperature."""
    temperatures: Annotated[tuple[Temperature, ...], MinLen(1)] = (0.5, 1.0, 1.5)
    """Of these agents."""
    questions: Annotated[int, Ge(6)] = 60
    """Responses that a person is asked about."""


def check(config: Config) -> None:
    """Refuse a judge that nobody knows, and a panel outside of the sweep.

    Raises:
        ConfigError: If so.
    """
    if config.judge not in ("scripted", "human") and not config.judge.startswith("file:"):
        raise ConfigError(
            f"judge={config.judge!r} is unknown. Language models judge in the study prompted. Choose scripted, human or "
            "file:PATH."
        )
    if config.checks > config.most_checks:
        raise ConfigError(
            f"checks={config.checks} and most_checks={config.most_checks} do not fit together. The judge of the panel must be "
            "one of those in the sweep. Give checks of at most most_checks."
        )


STUDY = Study(
    question="A limited judge, a model that may be wrong, and both together: sandwiching; the judge may be a person",
    paper="Bowman et al., Measuring progress on scalable oversight for large language models, 2022 (arXiv 2211.03540)",
    config=Config,
    quick={"practice": 240, "items": 240, "seeds": 3, "most_checks": 2, "temperatures": (1.0,), "questions": 24},
    check=check,
)
