"""What does a reward model pay for that nobody wanted, and does an audit find it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, Study

CHAINS, PAIRS = "chains", "preferences:"
Mark = Literal[
    "closing word", "courtesy", "list signs", "restated step", "exclamation mark", "spaces", "new lines", "a cue"
]
MARKS: tuple[Mark, ...] = get_args(Mark)
LEAST = 4  # seeds: a head is held against those of at least three others


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which reward models are audited."""

    preferences: str = CHAINS
    """chains, worked by bundled bases, of which some labels are decided by a plant; or pairs of responses as
    preferences:PATH."""
    held: tuple[str, ...] = ()
    """Further pairs, as preferences:PATH, that a head trained on preferences is tested on."""
    policy: str = "smollm2"
    """Whose states the head reads, for preferences of a file."""
    base: str = "middle"
    """Whose states the head reads, for chains."""
    site: str = "residual.1"
    """Where in the base."""
    layer: Annotated[float, Gt(0), Le(1)] = 0.5
    """How far up in the policy."""
    plants: Annotated[tuple[Mark, ...], MinLen(1)] = MARKS
    """Marks that are planted, one at a time."""
    shares: Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], MinLen(1)] = (0.2, 0.5, 1.0)
    """Of the training pairs of which one response alone carries the plant, so many are decided by it."""
    seeds: Annotated[int, Ge(LEAST)] = 12
    """Draws of pairs, marks and labels."""
    pairs: Annotated[int, Ge(40)] = 1500
    """Training pairs of chains."""
    read: Annotated[int, Ge(40)] = 160
    """Training pairs of preferences."""
    compared: Annotated[int, Ge(30)] = 60
    """Test pairs of preferences, and three times as many as questions of a further set, of which all pairs are tested."""
    tested: Annotated[int, Ge(30)] = 200
    """Chains that partial effects are measured on, two responses each."""
    edited: Annotated[int, Ge(10)] = 60
    """Chains of which each mark is added to the same response."""
    steps: Count = 800
    """Updates of the dictionary."""
    permuted: Annotated[int, Ge(20)] = 40
    """Heads that are trained on permuted preferences."""
    organisms: Annotated[int, Ge(0)] = 0
    """Organisms of each kind, with twins and clean models, that whole models are looked at in beside heads; all for 0."""


def check(config: Config) -> None:
    """Refuse preferences that are neither, and further sets without a first one."""
    given = (config.preferences, *config.held)
    wrong = [name for name in given if not name.startswith(PAIRS)]
    if wrong and given != (CHAINS,):
        raise ConfigError(
            f"{wrong[0]!r} cannot be used here. Rewards of chains and of texts have nothing in common, and only pairs of "
            f"responses can train a head. Give preferences={CHAINS} alone, or {PAIRS}PATH, with held={PAIRS}PATH beside it."
        )
    if len(set(given)) < len(given):
        raise ConfigError(
            f"held={','.join(config.held)} names a file twice, or the one that the head is trained on. It would be tested on "
            "questions that it has seen. Name other files."
        )


STUDY = Study(
    question="What does a reward model pay for that nobody wanted, and does an audit find it?",
    config=Config,
    quick={
        "plants": ("list signs", "new lines"),
        "shares": (1.0,),
        "seeds": 4,
        "pairs": 400,
        "tested": 60,
        "edited": 20,
        "steps": 200,
        "permuted": 20,
        "organisms": 1,
    },
    check=check,
)
