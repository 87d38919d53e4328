"""How far debaters who search for pixels move a judge of few pixels, towards the truth and away from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, Seeds, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; the judge's and the search's were chosen on training images."""

    images: Annotated[int, Ge(10), Le(500)] = 500
    """Test images; there are 500."""
    judges: Seeds = 3
    """Judges trained from different seeds; every number is over images and judges."""
    pixels: Literal[2, 4] = 4
    """Pixels shown in a debate of the panel; whoever moves last wins uneven debates."""
    simulations: Annotated[tuple[Count, ...], MinLen(1)] = (10, 40, 160)
    """Positions that a tree search looks at before each move, rising."""
    sweep_images: Annotated[int, Ge(2)] = 100
    """Images that every pair of debaters plays, each strength against each."""
    deep_images: Annotated[int, Ge(0), Le(100)] = 30
    """Images that more than four pixels are played perfectly on, seconds each; 0 for none."""
    judge_steps: Count = 3000
    """Updates of each judge's training."""

    @property
    def trees(self) -> tuple[str, ...]:
        """Debaters that search, weak first."""
        return tuple(f"tree {s}" for s in self.simulations)

    @property
    def strengths(self) -> tuple[str, ...]:
        """Debaters of the sweep, weak first."""
        return ("random", "greedy", *self.trees, "exact")


def check(config: Config) -> None:
    """Refuse settings that do not go together."""
    if config.sweep_images > config.images:
        raise ConfigError(
            f"sweep_images={config.sweep_images} is more than images={config.images}. The sweep's images stand in every arm. "
            "Give at most as many to the sweep."
        )
    if list(config.simulations) != sorted(set(config.simulations)):
        raise ConfigError(
            f"simulations={config.simulations} do not rise. The curve over search would have no order. Give rising numbers."
        )


STUDY = Study(
    question="Debate on 8 x 8 digits: what two debaters can make a judge of a few pixels believe",
    paper="Irving, Christiano and Amodei, AI safety via debate, 2018 (arXiv 1805.00899)",
    config=Config,
    quick={"images": 60, "simulations": (10, 40), "sweep_images": 25, "deep_images": 0, "judge_steps": 1500},
    check=check,
)
