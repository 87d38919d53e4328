"""The one room where those who know the truth meet those who judge: error rates of every instrument."""

from superalign.trials.calibration import Scored, apply_thresholds, calibrate, null_auroc, response_auroc
from superalign.trials.combination import Combination
from superalign.trials.contributions import Contribution, contributions
from superalign.trials.unsealed import Unsealed

__all__ = [
    "Combination",
    "Contribution",
    "Scored",
    "Unsealed",
    "apply_thresholds",
    "calibrate",
    "contributions",
    "null_auroc",
    "response_auroc",
]
