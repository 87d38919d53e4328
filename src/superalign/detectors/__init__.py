"""A subject in, a verdict out; independent of its training, of what was planted and of answers."""

from superalign.detectors.base_difference import BaseDifference
from superalign.detectors.conformance import check_detector
from superalign.detectors.cue_sweep import CueSweep
from superalign.detectors.self_check import SelfCheck
from superalign.detectors.truth_probe import TruthProbe, train_truth_probe

__all__ = ["BaseDifference", "CueSweep", "SelfCheck", "TruthProbe", "check_detector", "train_truth_probe"]
