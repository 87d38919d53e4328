"""Every protocol of scalable oversight on the same problems, at one check a decision: which helps, by how much, where it fails.

Each protocol is an overseer that was trained on the same 40 labelled responses, and is used twice: to decide about responses
that it is given, and as the training signal of a policy. Nobody but the grader of the study, and the arm that is its ceiling,
sees an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from superalign.errors import ConfigError
from superalign.kit.study import Count, Seeds, Study

MANY = "critique of many labels"  # what the protocols that were made of more checks have to beat
STANDARD = (
    "judge alone",
    "critique",
    "critic's score",
    "debate",
    "market",
    "verifier",
    "sandwich",
    "amplification",
    "recursive reward",
)
# Compared where they are asked for: by default, one more would change among how many the best is chosen.
NAMED_ONLY = ("self-critique", "written critique")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What is held against what."""

    protocols: tuple[str, ...] = (*STANDARD, MANY)
    """Which protocols; the judge alone is always among them. Not by default: self-critique, written critique. One of your own:
    MODULE:FUNCTION, which makes an overseer."""
    setting: str = "chains:4-6"
    """Problems, and what one check may see: chains:4-6, gsm8k:PATH or jsonl:FILE."""
    policy: str = "small"
    """Whose responses are judged, and what is trained: small, middle, large, a folder or a hub id."""
    seeds: Seeds = 5
    """Of labels, overseers and policies."""
    decided: Annotated[int, Ge(12)] = 600
    """Test responses of the base that every protocol decides about, under every seed."""
    steps: Count = 24
    """Policy-gradient updates under each protocol."""
    held_out: Annotated[int, Ge(12)] = 600
    """Test problems that every trained policy is graded on."""
    votes: Annotated[int, Ge(2), Le(6)] = 5
    """Answers of the agent that voting counts, the one under judgement among them."""


def check(config: Config) -> None:
    """Refuse a protocol that does not exist.

    Raises:
        ConfigError: If there is one.
    """
    known = (*STANDARD, MANY, *NAMED_ONLY)
    unknown = {p for p in config.protocols if ":" not in p} - set(known)
    if unknown:
        raise ConfigError(
            f"There is no protocol {min(unknown)!r}. Nothing would be compared. Choose from {', '.join(known)}, or name one of "
            "your own as MODULE:FUNCTION."
        )


STUDY = Study(
    question="Every protocol of scalable oversight on the same problems at equal cost: which helps, and where each fails",
    config=Config,
    quick={"protocols": STANDARD, "seeds": 3, "decided": 150, "steps": 4, "held_out": 150},
    check=check,
)
