"""Do answers to hard problems come out right where only easy ones could be labelled, of those who write and those who judge?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, CountOrNone, Seeds, Study, check_problems

WORKED = "worked"
TOPICS = {WORKED: ("chains", "programs"), "statements": ("cities", "sp_en_trans")}
KINDS = ("statements", "choices", "steps", "gsm8k", "jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study."""

    problems: str = WORKED
    """worked, which bundled bases solve and judge, or text that a model reads: statements, choices, steps or gsm8k:PATH,
    jsonl:FILE."""
    topics: tuple[str, ...] = ()
    """What is asked about, else all; the first is looked at by every measure of hardness."""
    bases: Annotated[tuple[str, ...], MinLen(1)] = ("middle", "middle-1", "middle-2")
    """Bundled bases; each seed takes the next, so that pre-training varies too."""
    policy: str = "smollm2"
    """The model that reads text."""
    seeds: Seeds = 5
    """Draws of what is taught."""
    n: Annotated[int, Ge(32)] = 240
    """Problems that are labelled."""
    test: Annotated[int, Ge(10)] = 50
    """Test problems of each number of operations."""
    few: Count = 16
    """Hard ones among easy ones."""
    easy: Annotated[int, Ge(1), Le(3)] = 2
    """Most operations of an easy problem; hard ones have up to four."""
    rate: Annotated[float, Gt(0)] = 1e-3
    """Learning rate of generators."""
    passes: Annotated[float, Gt(0)] = 12.0
    """Passes of generators over what they are taught."""
    judge_rate: Annotated[float, Gt(0)] = 3e-4
    """Learning rate of evaluators, which pass twice."""
    places: CountOrNone = 2
    """Seeds of generators with other encodings of positions; 0 leaves them out."""
    each: Annotated[int, Ge(96)] = 600
    """Texts of a topic, half of them true, or as many as there are; a third is tested on."""
    writers: CountOrNone = 3
    """Seeds of generators of text (gsm8k, jsonl), which are shown solutions; 0 leaves them out."""
    shots: Annotated[int, Ge(2)] = 4
    """Solutions that such a generator is shown."""
    every: Count = 3
    """Layers from one that is read to the next."""


def topics_of(config: Config) -> tuple[str, ...]:
    """Return what is asked about; text of other kinds than statements is one topic."""
    kind = config.problems.partition(":")[0]
    return config.topics or TOPICS.get(kind, (kind,))


def check(config: Config) -> None:
    """Refuse problems of unknown kinds, and topics that there are not."""
    names, topics = "nothing that is easy or hard and known to be true or false", config.topics
    lost, own = "Nothing could be taught", WORKED
    check_problems(config.problems, KINDS, lost, names=names, own=own, topics=topics, known=TOPICS[own])
    if config.problems == WORKED and config.few >= config.n:
        raise ConfigError(
            f"few={config.few} hard problems among n={config.n} leave no easy one. Nothing would be said of easy labels. Give "
            "fewer."
        )


STUDY = Study(
    question="Where only easy problems can be labelled, who gets hard ones right: who writes answers, or who judges them?",
    paper="Sun et al., Easy-to-hard generalization, 2024 (arXiv 2403.09472)",
    config=Config,
    quick={
        "bases": ("small",),
        "seeds": 2,
        "n": 96,
        "test": 20,
        "few": 8,
        "passes": 10.0,
        "places": 0,
        "each": 96,
        "writers": 2,
        "every": 6,
    },
    check=check,
)
