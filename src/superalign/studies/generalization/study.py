"""What do all studies of generalization say, on one page?"""

from __future__ import annotations

from dataclasses import dataclass

from superalign.errors import ConfigError
from superalign.kit.study import Study

PARTS = ("weak-to-strong", "easy-to-hard", "belief", "crossing", "carry-over")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which finished runs are put together."""

    runs: tuple[str, ...] = ()
    """Folders of finished runs of the five studies, one or more of each; else all of them that lie under `under`."""
    under: str = "runs"
    """Where runs lie, if none are named."""


def check(config: Config) -> None:
    """Refuse the same folder twice."""
    if len(set(config.runs)) < len(config.runs):
        raise ConfigError(
            "runs names a folder twice. Its claims would stand there twice. Name each once, with commas between two."
        )


STUDY = Study(
    question="What do all studies of generalization say together? One page of their finished runs",
    config=Config,
    check=check,
)
