"""Overseers: limited sources of signal. Nothing here knows an answer; a recipe grants what one may look at."""

from superalign.oversight.conformance import check_overseer
from superalign.oversight.critic import Critic, CriticConfig, critic_alone, pointing_accuracy, train_critic
from superalign.oversight.judge import (
    OtherRollouts,
    Pointed,
    Pointer,
    RandomSteps,
    SameSteps,
    ground_truth,
    judge,
    oblivious,
)

__all__ = [
    "Critic",
    "CriticConfig",
    "OtherRollouts",
    "Pointed",
    "Pointer",
    "RandomSteps",
    "SameSteps",
    "check_overseer",
    "critic_alone",
    "ground_truth",
    "judge",
    "oblivious",
    "pointing_accuracy",
    "train_critic",
]
