"""Does RL on a limited judge's comparisons make a critic better, and what does a planter that is trained to be missed teach it?

The judge can check one step and is wrong about some facts. What is wrong is found by executing steps; neither judge nor critic
executes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt

from superalign.kit.study import Count, Seeds, Share, Study

Solutions = Annotated[int, Ge(16)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on training problems."""

    seeds: Seeds = 5
    """Of critics, judges' errors and planters."""
    labelled: Solutions = 300
    """Solutions with labelled steps that the supervised critic is trained on."""
    compared: Count = 12000
    """Pairs of critiques that the judge compares, one check each critique."""
    reward_updates: Count = 600
    """Updates of the reward model."""
    updates: Count = 400
    """Policy-gradient updates of the critic."""
    kl: float = 0.02
    """Reward taken away for each nat of leaving the supervised critic."""
    judge: Share = 0.95
    """Share of elementary facts that the judge gets right."""
    judges: tuple[Share, ...] = (0.85, 1.0)
    """The same for other judges that critics are trained against."""
    trust: float = 0.5
    """What an unchecked highlight is worth to a judge who trusts; the judge of the main setting gives it nothing."""
    sweep_seeds: Count = 3
    """Seeds of the other judges."""
    held_out: Solutions = 600
    """Test solutions."""
    rounds: Count = 3
    """How often the critic is retrained on flaws of a fresh planter."""
    planted: Count = 400
    """Flaws that it is retrained on in each round."""
    planter_updates: Count = 200
    """Policy-gradient updates of each planter."""
    entropy: float = 0.2
    """What a planter earns for each nat of variety; a flaw that is missed earns 1."""
    nitpicks: Annotated[float, Gt(0)] = 0.1
    """Nit-picks a solution at which critics are set in the race and the trial."""


STUDY = Study(
    question="A critic trained by RL, its frontier of flaws found against nit-picks, and a planter trained to be missed by it",
    paper="McAleese et al., LLM critics help catch LLM bugs, 2024 (arXiv 2407.00215)",
    config=Config,
    quick={
        "seeds": 3,
        "compared": 5000,
        "reward_updates": 250,
        "updates": 150,
        "judges": (1.0,),
        "sweep_seeds": 1,
        "held_out": 240,
        "rounds": 1,
        "planter_updates": 80,
    },
)
