"""Does an agent trained at one level help a judge, who can verify one step, to train a reward model for the next?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from superalign.kit.study import Count, CountOrNone, Seeds, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on other seeds than those it uses."""

    levels: Annotated[int, Ge(2)] = 4
    """Operations at the highest level of the ladder."""
    labels: Annotated[int, Ge(10)] = 8000
    """Labels at each level, one check each, in every arm."""
    steps: Annotated[int, Ge(10)] = 400
    """Updates of a reward model, and of an agent, at each level."""
    more: Annotated[float, Ge(1)] = 2.0
    """Labels and updates of the arm that gets the computation which others spend on agents, as a multiple."""
    seeds: Seeds = 3
    """Ladders of each arm."""
    test_questions: Annotated[int, Ge(2)] = 600
    """Held-out questions at each level."""
    training_seeds: CountOrNone = 3
    """Assistants trained against each overseer of worked arithmetic; 0 leaves that part out."""
    rl_steps: Count = 24
    """Updates of each of these."""
    held_out: Annotated[int, Ge(6)] = 600
    """Test problems that they are graded on."""
    votes: Count = 3
    """Responses that vote."""
    climbing: Count = 400
    """Updates at each level of the ladder whose reward model judges worked arithmetic; 20 labels for each."""


STUDY = Study(
    question="Recursive reward modelling: agents of one level help the judge of the next, against no help at all",
    paper="Leike et al., Scalable agent alignment via reward modeling, 2018 (arXiv 1811.07871)",
    config=Config,
    quick={
        "levels": 3,
        "labels": 4000,
        "steps": 200,
        "seeds": 2,
        "test_questions": 200,
        "training_seeds": 2,
        "rl_steps": 8,
        "held_out": 150,
        "climbing": 150,
    },
)
