"""Does a linear probe of truth read truth, or what usually goes together? Its negations tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, MinLen

from superalign.kit.study import Count, Study, check_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which model, and which statements."""

    problems: str = ""
    """True and false statements with their negations, as statements:PATH (docs/data.md)."""
    policy: str = "smollm2"
    """The model that is read."""
    topics: Annotated[tuple[str, ...], MinLen(2)] = (
        "cities",
        "sp_en_trans",
        "facts",
        "animal_class",
        "inventors",
        "element_symb",
    )
    """Topics of the statements, as their files are called."""
    each: Annotated[int, Ge(48)] = 180
    """Statements of a topic and polarity, or as many as there are."""
    every: Count = 3
    """Layers from one that is read to the next."""


def check(config: Config) -> None:
    """Refuse anything but statements."""
    lost = "A probe of truth needs true and false ones, with their negations"
    check_problems(config.problems, ("statements",), lost, names="no statements")


STUDY = Study(
    question="Does a linear probe of truth read truth, or what usually goes together?",
    paper="Levinstein and Herrmann, Still no lie detector for language models, 2023 (arXiv 2307.00175)",
    config=Config,
    quick={"topics": ("cities", "sp_en_trans"), "each": 60, "every": 6},
    check=check,
)
