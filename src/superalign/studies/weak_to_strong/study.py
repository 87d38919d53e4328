"""Can a model learn more from a supervisor than the supervisor knows, and by which way of learning?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, CountOrNone, Seeds, Study, check_problems

CLAIMS = "claims"
TOPICS = {CLAIMS: ("programs", "chains"), "statements": ("cities", "sp_en_trans", "animal_class", "element_symb")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Who learns what, and from how many labels."""

    problems: str = CLAIMS
    """claims, which bundled bases have worked out, or true and false statements, as statements:PATH."""
    topics: tuple[str, ...] = ()
    """What is asked about, else all: ways of learning are chosen on the first and replicated on the others."""
    students: Annotated[tuple[str, ...], MinLen(1)] = ("middle", "middle-1", "middle-2")
    """Bundled bases that learn from claims; each seed takes the next, so that pre-training varies too."""
    others: tuple[str, ...] = ("small", "large")
    """Bundled bases of other sizes, which learn the naive and the confident way under three seeds at most."""
    policy: str = "smollm2"
    """The model that reads statements and learns from labels of them."""
    student: Literal["head", "adapter", "answers"] = "head"
    """Who learns: a linear head on the model's states, an adapter under a new head, or (answers) on its log-odds of True."""
    labels: str = ""
    """Labels of statements by a supervisor of your own, beside the others: a JSONL file of statement and true (0 to 1)."""
    seeds: Seeds = 5
    """Draws of what supervisors learn from and label."""
    weak: Annotated[int, Ge(48)] = 240
    """Claims that a supervisor labels; of statements, two training ones in three."""
    test: Annotated[int, Ge(40)] = 400
    """Test claims."""
    each: Annotated[int, Ge(48)] = 960
    """Statements of a topic, none of them negated, or as many as there are."""
    every: Count = 1
    """Layers from one that is read to the next."""
    rates: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(1)] = (3e-5, 1e-4, 3e-4)
    """Learning rates of whole students, to choose from by the supervisor's labels alone; a head takes 100 times as much."""
    passes: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(1)] = (1.0, 2.0)
    """Passes over the labels, to choose from."""
    surface_seeds: CountOrNone = 2
    """Seeds on which the two are chosen; 0 takes the first of each."""


def topics_of(config: Config) -> tuple[str, ...]:
    """Return what is asked about; a file of one's own is one topic."""
    kind, _, path = config.problems.partition(":")
    own = Path(path.partition("?")[0])
    return config.topics or ((own.stem,) if own.suffix else TOPICS[kind])


def check(config: Config) -> None:
    """Refuse problems that are neither, and topics that claims do not have."""
    lost = "A supervisor could not be held against the truth"
    check_problems(config.problems, ("statements",), lost, own=CLAIMS, topics=config.topics, known=TOPICS[CLAIMS])
    if config.problems == CLAIMS and (config.student != "head" or config.labels):
        raise ConfigError(
            "student and labels are for statements. Bundled bases are small and trained whole, and their claims "
            "are drawn anew. Leave both out, or give statements."
        )


STUDY = Study(
    question="Can a model learn more from a weak supervisor than the supervisor knows, and by which way of learning?",
    paper="Burns et al., Weak-to-strong generalization, 2023 (arXiv 2312.09390)",
    config=Config,
    quick={
        "students": ("small",),
        "others": (),
        "seeds": 3,
        "weak": 96,
        "test": 120,
        "each": 96,
        "every": 3,
        "rates": (1e-4, 3e-4),
        "passes": (1.0,),
        "surface_seeds": 1,
    },
    check=check,
)
