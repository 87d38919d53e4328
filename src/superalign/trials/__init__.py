"""The one room where those who know the truth meet those who judge: error rates of every instrument."""

from superalign.trials.calibration import Scored, apply_thresholds, calibrate, null_auroc
from superalign.trials.combination import Combination
from superalign.trials.contributions import Contribution, contributions
from superalign.trials.oversight_panel import (
    AGENT,
    ARMS,
    EXPERT,
    JUDGE,
    PLACEBO,
    PROTOCOL,
    VOTING,
    ArmResult,
    Item,
    accuracy_gain,
    agent_score_difference,
    arm_result,
)
from superalign.trials.unplanted import Outsider, Unplanted, unplanted
from superalign.trials.unsealed import OfOneModel, Unsealed

__all__ = [
    "AGENT",
    "ARMS",
    "EXPERT",
    "JUDGE",
    "PLACEBO",
    "PROTOCOL",
    "VOTING",
    "ArmResult",
    "Combination",
    "Contribution",
    "Item",
    "OfOneModel",
    "Outsider",
    "Scored",
    "Unplanted",
    "Unsealed",
    "accuracy_gain",
    "agent_score_difference",
    "apply_thresholds",
    "arm_result",
    "calibrate",
    "contributions",
    "null_auroc",
    "unplanted",
]
