"""Overseers: limited sources of signal. Nothing here knows an answer; a study grants what one may look at."""

from superalign.oversight.amplified_judge import amplified_judge
from superalign.oversight.conformance import check_overseer
from superalign.oversight.critic import Critic, CriticConfig, critic_alone, pointing_accuracy, train_critic
from superalign.oversight.critique_overseer import critique_overseer
from superalign.oversight.debate_rollouts import debate_overseer
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
from superalign.oversight.language_model import seated_judge
from superalign.oversight.market import market_price
from superalign.oversight.pixel_overseer import pixel_debate
from superalign.oversight.recursive_judge import recursive_judge
from superalign.oversight.sandwich_overseer import sandwiched
from superalign.oversight.self_critique import self_critique_overseer
from superalign.oversight.verifier import train_verifier

__all__ = [
    "Critic",
    "CriticConfig",
    "OtherRollouts",
    "Pointed",
    "Pointer",
    "RandomSteps",
    "SameSteps",
    "amplified_judge",
    "check_overseer",
    "critic_alone",
    "critique_overseer",
    "debate_overseer",
    "ground_truth",
    "judge",
    "market_price",
    "oblivious",
    "pixel_debate",
    "pointing_accuracy",
    "recursive_judge",
    "sandwiched",
    "seated_judge",
    "self_critique_overseer",
    "train_critic",
    "train_verifier",
]
