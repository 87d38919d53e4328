"""The nouns of superalign and its one-method protocols: no torch, no input or output.

Every noun is a frozen record whose digest is its name: two records with the same fields are the same record.
"""

from superalign.types.base import Claim, Interval, Record, Unmeasured, canonical_json, digest_of, rebuild, to_plain
from superalign.types.detection import (
    NOT_YET,
    NOTHING_PLANTED,
    Calibration,
    Decision,
    Detector,
    Outcome,
    Replies,
    Verdict,
)
from superalign.types.oversight import Instrument, Overseer, Signal
from superalign.types.research import Answer, Choice, Finding, Form, Metric, Plan, Question, Tier, Word
from superalign.types.rollouts import Policy, Problem, Rollout, Rollouts, Split
from superalign.types.subjects import Harmless, Misbehaviour, Organism, Plant, Subject

__all__ = [
    "NOTHING_PLANTED",
    "NOT_YET",
    "Answer",
    "Calibration",
    "Choice",
    "Claim",
    "Decision",
    "Detector",
    "Finding",
    "Form",
    "Harmless",
    "Instrument",
    "Interval",
    "Metric",
    "Misbehaviour",
    "Organism",
    "Outcome",
    "Overseer",
    "Plan",
    "Plant",
    "Policy",
    "Problem",
    "Question",
    "Record",
    "Replies",
    "Rollout",
    "Rollouts",
    "Signal",
    "Split",
    "Subject",
    "Tier",
    "Unmeasured",
    "Verdict",
    "Word",
    "canonical_json",
    "digest_of",
    "rebuild",
    "to_plain",
]
