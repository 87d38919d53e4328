"""What is found of units, as rows of tables: of each kind and layer, of nulls, and of neurons that are looked at more closely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from superalign.kit.evidence import Estimate
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDone(Record):
    """Where the layers of one network lie, and what they took."""

    folder: str
    layers: tuple[int, ...]
    units: int
    tokens: tuple[int, ...]  # scored ones, of each corpus
    documents: tuple[int, ...]  # test documents of each corpus
    predicates: int
    searched: int  # training tokens
    half: bool
    forward_s: float  # CPU time
    search_s: float


class Units(NamedTuple):
    """The units of one kind in one layer, or in all: means and shares over units."""

    kind: str
    layer: int | str  # "all" of all
    units: int
    r: Estimate  # of the program with the unit on test documents
    unigram: Estimate
    bigram: Estimate
    minimum: Estimate  # over corpora
    over_unigram: Estimate  # share whose interval lies above that of a table of tokens
    gained: Estimate  # share whose interval lies above the best of three tables
    everywhere: Estimate  # share that is above the table of tokens in each corpus
    found: Estimate  # share beyond the random twin, at a false discovery rate of 5 %
    auprc: Estimate


class Null(NamedTuple):
    """What the same pipeline finds where there is nothing to find: shares of units."""

    name: str
    units: int
    r: Estimate
    gained: Estimate  # above the best of three tables
    found: Estimate


class Less(NamedTuple):
    """The same neurons, where programs were searched in a part of the training text."""

    part: float
    tokens: int
    r: Estimate
    lost: Estimate  # beside the whole of it
    unigram: Estimate
    gained: Estimate
    permuted: Estimate  # share that gains where activations are permuted


class Shown(NamedTuple):
    """One unit, as an example."""

    unit: str
    explanation: str
    r: float
    best_table: float
    minimum: float


class Score(NamedTuple):
    """What one score says of right and wrong explanations of planted units, on average."""

    name: str
    versions: tuple[Estimate, ...]
    fails: str  # which versions it does not fall for by a tenth, as it should; empty if none


class Effect(NamedTuple):
    """What replacing neurons does to the next token, in nats of Jensen-Shannon divergence, by layer."""

    layer: int
    neurons: int
    kept: Estimate  # share of the effect that the own simulation keeps
    swapped: Estimate  # that of another neuron of the layer keeps
    nats: float  # under the mean, on average over neurons


class Edits(NamedTuple):
    """How far neurons do what their programs say of one changed token: mean over the neurons that have the measure."""

    measure: str
    found: Estimate
    null: Estimate  # by another neuron's program of the same edits


class Asked(NamedTuple):
    """Programs of one origin for the neurons that a language model was asked about."""

    origin: str
    r: Estimate  # mean correlation with the neurons on test documents
    over_unigram: Estimate  # share above a table of tokens
