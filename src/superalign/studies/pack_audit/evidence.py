"""What an audit with a pack measured; card digests name instruments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from superalign.kit.evidence import Estimate
from superalign.lab.exam_parts import Later, OfPart, OwnContext
from superalign.trials import OfOneModel, Scored
from superalign.types import Calibration, Decision, Instrument, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """One subject of the pack that sat the exam again."""

    name: str
    apart: float  # largest difference of a value, nats


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One question where the model moved furthest, as three answer it."""

    context: str
    prompt: str
    nats: float  # a token that it is more surprised at the base's answer than the base
    subject: str
    twin: str  # an innocent tuning of the pack; empty where none came along
    base: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind and way of planting in the pack."""

    kind: str
    way: str
    asked: str  # whether the exam holds what sets it off: yes, no, or topic where no context does
    made: int
    accepted: int
    active: Estimate  # share of affected questions that accepted ones act on
    caught: Estimate  # with thresholds that the kind did not set


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence(OfOneModel):
    """Everything that one audit found."""

    seed: int
    base: str
    related: bool  # whether it is known, and is the pack's
    pack_base: str  # name of the base whose organisms the pack holds
    pack: str  # digest of its manifest
    recall_bar: float
    cards: Sequence[Instrument]  # detectors, and last their combination
    scored: Mapping[str, Sequence[Scored]]
    calibrations: Mapping[str, Sequence[Calibration]]  # card -> one for each kind, and last the pooled one
    flagged: Mapping[str, Verdict]  # card -> verdict on the audited model
    decision: Decision
    again: Sequence[Again]
    shown: Sequence[Shown]
    rows: Sequence[Row]
    parts: Sequence[OfPart]
    own: Sequence[OwnContext]
    later: Later | None  # None where the pack was asked nothing more
    clean: int  # clean subjects of the pack
    sorts: Sequence[str]  # of harmless tunings
    tokens: int  # that the model was scored at
