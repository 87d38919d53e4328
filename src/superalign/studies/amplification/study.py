"""Does X learn what its overseer cannot answer, and do the overseer's errors grow with depth?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from annotated_types import Ge, Gt, Lt

from superalign.errors import ConfigError
from superalign.kit.study import Count, CountOrNone, Seeds, Study

# An overseer who errs in half of all cases, or more, teaches the opposite.
Rate: TypeAlias = Annotated[float, Gt(0), Lt(0.5)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other seeds than those it uses."""

    elements: Annotated[int, Ge(4)] = 10
    """Of the permutations."""
    doublings: Count = 5
    """Deepest question about permutations: sigma applied 2^this times."""
    lengths: tuple[Count, ...] = (1, 2, 4, 8)
    """Operations of an expression at each depth."""
    rates: tuple[Rate, ...] = (0.01, 0.05)
    """Shares of the overseer's slips, beside none."""
    steps: Annotated[int, Ge(10)] = 400
    """Updates of X."""
    seeds: Seeds = 5
    """Of X, in every arm about permutations."""
    expression_seeds: Seeds = 3
    """Of X, in every arm about expressions."""
    test_questions: Annotated[int, Ge(2)] = 300
    """Held-out questions at each depth (for permutations: lists, each with a question per element)."""
    training_seeds: CountOrNone = 3
    """Assistants trained against each overseer of worked arithmetic; 0 leaves that part out."""
    rl_steps: Count = 24
    """Updates of each of these."""
    held_out: Annotated[int, Ge(6)] = 600
    """Test problems that they are graded on."""
    votes: Count = 3
    """Responses that vote."""
    distilling: Annotated[int, Ge(10)] = 600
    """Updates of the X that judges."""


def check(config: Config) -> None:
    """Refuse depths that cannot be climbed, and rates that are the same.

    Raises:
        ConfigError: If some depth's questions do not split into two of the depth below, or a rate stands there twice.
    """
    if len(set(config.rates)) < len(config.rates):
        raise ConfigError(
            f"rates={config.rates} are not distinct. The same arm would be run twice under one name. Give each rate once."
        )
    pairs = list(zip(config.lengths, config.lengths[1:], strict=False))
    if not pairs or config.lengths[0] != 1 or any(not a < b <= 2 * a for a, b in pairs):
        raise ConfigError(
            f"lengths={config.lengths} cannot be climbed by halving. Each half must be short enough for the depth below. Start "
            "at 1, and let each length be more than the one before and at most twice that."
        )


STUDY = Study(
    question="Amplification: X learns from an overseer who splits questions; whose errors grow, and a judge made of it.",
    paper="Christiano et al., Supervising strong learners by amplifying weak experts, 2018 (arXiv 1810.08575)",
    config=Config,
    quick={
        "doublings": 3,
        "lengths": (1, 2, 4),
        "rates": (0.05,),
        "steps": 200,
        "seeds": 3,
        "expression_seeds": 2,
        "test_questions": 100,
        "training_seeds": 2,
        "rl_steps": 8,
        "held_out": 150,
        "distilling": 400,
    },
    check=check,
)
