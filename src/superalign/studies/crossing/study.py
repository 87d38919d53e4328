"""Is a disagreement between a model trained by generalization and one trained by oversight informative?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, CountOrNone, Seeds, Share, Study, check_problems

CLAIMS, TOPICS = "claims", ("programs", "chains")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Who learns what, by which technique, and who is planted."""

    problems: str = CLAIMS
    """claims, which bundled bases have worked out, or true and false statements, as statements:PATH."""
    topic: str = ""
    """What is asked about: programs or chains, or a topic of the statements; empty for programs or cities."""
    students: Annotated[tuple[str, ...], MinLen(2)] = ("middle", "middle-1", "middle-2")
    """Bundled bases; the members of a pair are of different ones."""
    policy: str = "smollm2"
    """The model that reads statements; students are linear heads on its states."""
    seeds: Annotated[Seeds, Ge(3)] = 5
    """Models of each kind; as many again are third runs."""
    organisms: CountOrNone = 4
    """Organisms of each rule and each kind of supervisor; 0 for none."""
    weak: Annotated[int, Ge(48)] = 240
    """Claims that a student learns from; of statements, two training ones in three."""
    test: Annotated[int, Ge(40)] = 400
    """Test claims, the same for all."""
    each: Annotated[int, Ge(48)] = 960
    """Statements, or as many as there are."""
    every: Count = 4
    """Layers from one that is read to the next."""
    rate: Annotated[float, Gt(0)] = 3e-4
    """Learning rate of a whole student; a head takes 100 times as much."""
    passes: Annotated[float, Gt(0)] = 6.0
    """Passes over the labels: with two, whole students of claims learn no planted rule."""
    checks: Annotated[int, Ge(1), Le(4)] = 1
    """Steps of a working, or answers of a sheet of four, that the judge checks."""
    careless: Annotated[float, Gt(0), Lt(0.5)] = 0.4
    """Share of wrong verdicts of a writer who is careless."""
    false_alarms: Share = 0.05
    """What thresholds are set for."""
    shipped: CountOrNone = 6
    """Shipped triples of each kind that take a seat, on chains; 0 for none."""
    planted: str = ""
    """A folder of further triples, which `superalign run organisms` has made."""


def check(config: Config) -> None:
    """Refuse problems and topics that are not known."""
    lost, topics = "Nobody could say which of two models is right", (config.topic or TOPICS[0],)
    check_problems(config.problems, ("statements",), lost, own=CLAIMS, topics=topics, known=TOPICS)
    if config.planted and not config.shipped:
        raise ConfigError(
            "planted is given and shipped=0. Thresholds come from the twins of the set that ships, so nothing could be "
            "flagged. Leave shipped out, or planted."
        )


STUDY = Study(
    question="Does it say who is wrong, or hides something, that a model by generalization and one by oversight disagree?",
    paper="Burns et al., Weak-to-strong generalization, 2023 (arXiv 2312.09390)",
    config=Config,
    quick={
        "students": ("small", "middle"),
        "seeds": 3,
        "organisms": 2,
        "weak": 64,
        "test": 80,
        "each": 240,
        "passes": 2.0,
        "shipped": 0,
    },
    check=check,
)
