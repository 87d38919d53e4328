"""A subject in, a verdict out; independent of its training, of what was planted and of answers."""

from superalign.detectors.activation_difference import ActivationDifference
from superalign.detectors.base_difference import BaseDifference
from superalign.detectors.behaviour_search import BehaviourSearch
from superalign.detectors.conformance import check_detector
from superalign.detectors.consistency import Consistency
from superalign.detectors.contrast_belief import ContrastBelief, Contrasted, train_contrast_belief
from superalign.detectors.cue_crowds import CueCrowds
from superalign.detectors.cue_sweep import CueSweep
from superalign.detectors.feature_search import FeatureSearch
from superalign.detectors.instructed_directions import InstructedDirections
from superalign.detectors.investigator import Investigator
from superalign.detectors.latent_change import LatentChange
from superalign.detectors.leaked_text import LeakedText
from superalign.detectors.noise_injection import NoiseInjection
from superalign.detectors.rare_behaviour import RareBehaviour
from superalign.detectors.self_check import SelfCheck
from superalign.detectors.transcript_reader import TranscriptReader
from superalign.detectors.trigger_search import TriggerSearch
from superalign.detectors.truth_probe import TruthProbe, train_truth_probe
from superalign.detectors.twin_anomaly import TwinAnomaly

__all__ = [
    "ActivationDifference",
    "BaseDifference",
    "BehaviourSearch",
    "Consistency",
    "ContrastBelief",
    "Contrasted",
    "CueCrowds",
    "CueSweep",
    "FeatureSearch",
    "InstructedDirections",
    "Investigator",
    "LatentChange",
    "LeakedText",
    "NoiseInjection",
    "RareBehaviour",
    "SelfCheck",
    "TranscriptReader",
    "TriggerSearch",
    "TruthProbe",
    "TwinAnomaly",
    "check_detector",
    "train_contrast_belief",
    "train_truth_probe",
]
