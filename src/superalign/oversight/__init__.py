"""Overseers: limited sources of signal. Nothing here knows an answer; a study grants what one may look at."""

from superalign.oversight.amplification.judge import amplified_judge
from superalign.oversight.conformance import check_overseer
from superalign.oversight.critique.critic import Critic, CriticConfig, critic_alone, pointing_accuracy, train_critic
from superalign.oversight.critique.overseer import critique_overseer
from superalign.oversight.critique.self_critic import self_critique_overseer
from superalign.oversight.debate.rollouts import debate_overseer
from superalign.oversight.judges.judge import (
    OtherRollouts,
    Pointed,
    Pointer,
    RandomSteps,
    SameSteps,
    ground_truth,
    judge,
    oblivious,
)
from superalign.oversight.judges.language_model import participant_judge
from superalign.oversight.market.making import market_price
from superalign.oversight.pixels.overseer import pixel_debate
from superalign.oversight.prover.verifier import train_verifier
from superalign.oversight.recursive.judge import recursive_judge
from superalign.oversight.sandwich.overseer import sandwiched

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
    "participant_judge",
    "pixel_debate",
    "pointing_accuracy",
    "recursive_judge",
    "sandwiched",
    "self_critique_overseer",
    "train_critic",
    "train_verifier",
]
