"""Does asking a model several times and taking the majority make it right more often?"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, Seeds, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study."""

    problems: Annotated[int, Ge(2)] = 200
    """Held-out problems."""
    depth: Count = 6
    """Operations of a problem."""
    votes: Annotated[tuple[int, ...], MinLen(1)] = (3, 9)
    """How many responses vote."""
    seeds: Seeds = 3
    """Of the sampling."""


def check(config: Config) -> None:
    """Refuse a majority of fewer than two."""
    if min(config.votes) < 2:
        raise ConfigError(
            f"votes={config.votes} holds a majority of one. One response is what voting is compared with. Give numbers from 2."
        )


STUDY = Study(
    question="Self-consistency: does a majority of responses answer better than one?",
    paper="Wang et al., Self-consistency improves chain of thought reasoning, 2022 (arXiv 2203.11171)",
    config=Config,
    quick={"problems": 60, "votes": (5,), "seeds": 2},
    check=check,
)
