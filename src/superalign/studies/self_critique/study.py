"""Does a model's critic tell what its discriminator knows, and is one that does not tell exposed?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from annotated_types import Ge, Le, Lt, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, CountOrNone, Seeds, Study

Labels: TypeAlias = Annotated[int, Ge(10)]  # with fewer there may be no flaw among them to learn from
Digits: TypeAlias = Annotated[int, Ge(1), Le(9)]  # all ten would hide everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on training problems and other seeds."""

    sizes: tuple[Literal["small", "middle", "large"], ...] = ("small", "middle", "large")
    """Bundled bases whose gaps are measured; the small one is always among them."""
    labelled: Labels = 40
    """Labelled responses that discriminator and critic are trained on."""
    labels: tuple[Labels, ...] = (20, 80, 160)
    """The same, swept with the small base."""
    seeds: Seeds = 5
    """Of labels and initial weights."""
    problems: Annotated[int, Ge(3)] = 180
    """Test problems that each base answers."""
    samples: Annotated[int, Ge(2)] = 16
    """Answers to each."""
    judge_errors: tuple[Annotated[float, Ge(0), Lt(0.5)], ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
    """Shares of checks that come out wrong, in the sweep of judges."""
    twins: Annotated[int, Ge(4)] = 20
    """Clean critics that set thresholds; as many others are audited."""
    breadths: Annotated[tuple[Digits, ...], MinLen(1)] = (5, 2, 1)
    """How many digits make a class of flaws: broad, narrower, narrow."""
    planted: Count = 3
    """Seeds of critics that do not tell, for each class of flaws."""
    sandbagged: CountOrNone = 1
    """Seeds of critics that hide flaws from their discriminator too, for each class."""
    taught: Annotated[int, Ge(50)] = 1200
    """Labelled responses that critics of the audit are trained on, twins as well."""
    updates: Count = 400
    """Of their weights."""
    audit: Annotated[int, Ge(50)] = 1200
    """Test responses of the audit."""
    audits: tuple[Annotated[int, Ge(20)], ...] = (100, 200, 400, 800)
    """Smaller audits, which the first so many responses make."""


def check(config: Config) -> None:
    """Refuse smaller audits that are larger than the whole one."""
    if any(n > config.audit for n in config.audits):
        raise ConfigError(
            f"audits={config.audits} cannot be parts of an audit of {config.audit} responses. Smaller audits are made of its "
            "first responses. Use sizes up to that."
        )


STUDY = Study(
    question="Self-critique: what a model knows of its flaws and does not tell, by generator, discriminator and critique",
    paper="Saunders et al., Self-critiquing models for assisting human evaluators, 2022 (arXiv 2206.05802)",
    config=Config,
    quick={
        "sizes": ("small",),
        "labels": (),
        "seeds": 3,
        "problems": 60,
        "samples": 8,
        "twins": 5,
        "breadths": (5, 2),
        "planted": 1,
        "sandbagged": 0,
        "taught": 800,
        "updates": 200,
        "audit": 450,
        "audits": (150,),
    },
    check=check,
)
