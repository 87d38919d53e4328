"""How well programs explain the units of each layer, beside tables of tokens, random twins and permuted activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from superalign.kit.evidence import Estimate
from superalign.lab.unit_rows import Asked, Edits, Effect, Less, NetworkDone, Null, Score, Shown, Units


class Tested(NamedTuple):
    """What became of the neurons of each layer that were looked at more closely."""

    effects: tuple[Effect, ...]
    effect: Estimate  # over neurons: share of the effect that is kept
    effect_null: Estimate
    edits: tuple[Edits, ...]
    unflipped: int  # neurons whose program no pair of edits flips
    edited_windows: int
    counters: tuple[tuple[str, str], ...]  # neuron, and the edit that contradicts its program most
    asked: tuple[Asked, ...]  # as proposed, ours, another neuron's proposal; none if nobody was asked
    replies: tuple[tuple[str, int], ...]  # what became of them: used, or why not


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One model, all units."""

    policy: str
    corpora: tuple[str, ...]
    explained_on: tuple[str, ...]
    ends: int
    network: NetworkDone
    all: tuple[Units, ...]
    layers: tuple[Units, ...]
    nulls: tuple[Null, Null]  # activations permuted, twins beside twins
    less: tuple[Less, ...]
    shown: tuple[Shown, ...]  # the best of each layer
    drawn: tuple[Shown, ...]  # at random
    scores: tuple[Score, ...]
    tested: Tested
