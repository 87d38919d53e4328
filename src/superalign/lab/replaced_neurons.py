"""Neurons replaced by their simulations, by those of others, and by their mean, in test windows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from superalign.explanations.programs import from_text, simulate, to_text
from superalign.explanations.texts import TEST
from superalign.interp.layers import AT_ONCE
from superalign.interp.replaced import effects, next_token
from superalign.kit.evidence import Array, Estimate
from superalign.lab.corpora import Reading
from superalign.lab.explained_network import LayerUnits, NetworkJob, bank_of
from superalign.lab.unit_rows import Effect
from superalign.models import Model, open_weights
from superalign.models.taps import tapped
from superalign.stats import median_interval
from superalign.stats.streams import stream
from superalign.types import Record, Unmeasured

TOGETHER = 4  # neurons of a job


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceJob:
    """Some neurons of a layer with their programs."""

    policy: str
    reading: Reading
    explained_on: tuple[str, ...]
    layer: int
    neurons: tuple[int, ...]
    programs: tuple[str, ...]
    means: tuple[float, ...]  # in training, which programs leave out
    spreads: tuple[float, ...]  # which they are in units of
    active: tuple[tuple[float, ...], ...]  # when each counts as active, see `Explained.active_U3`
    windows: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replaced(Record):
    """Divergence of the next token from the unchanged model's, nats, by neuron and window."""

    own_UW: Array
    swapped_UW: Array
    mean_UW: Array


def jobs_of(
    units: LayerUnits, neurons_U: Bool[np.ndarray, " U"], network: NetworkJob, *, each: int, windows: int
) -> list[ReplaceJob]:
    """Draw neurons of a layer that have a program, a few to a job.

    Args:
        units: As they were explained.
        neurons_U: Which units are neurons.
        network: How they were explained.
        each: Neurons of the layer.
        windows: Test windows in which they are replaced.
    """
    able = np.flatnonzero(neurons_U & (units.found.bits_U > 0))
    some = np.random.default_rng([network.reading.seed, units.number]).permutation(able)[:each]
    blocks = [some[start : start + TOGETHER] for start in range(0, len(some) - 1, TOGETHER)]
    return [
        ReplaceJob(
            policy=network.policy,
            reading=network.reading,
            explained_on=network.explained_on,
            layer=units.number,
            neurons=tuple(int(units.name_U[u].split(".N")[1]) for u in block),
            programs=tuple(to_text(units.found.programs[u]) for u in block),
            means=tuple(map(float, units.found.mean_U[block])),
            spreads=tuple(map(float, units.found.spread_U[block])),
            active=tuple(tuple(map(float, row)) for row in units.found.active_U3[block]),
            windows=windows,
        )
        for block in blocks
    ]


def kept_of(said_UW: Float[np.ndarray, "U W"], mean_UW: Float[np.ndarray, "U W"]) -> Float[np.ndarray, " U"]:
    """Return 1 minus the divergence under a simulation over that under the mean, for each neuron."""
    return np.asarray(1 - said_UW.mean(1) / np.maximum(mean_UW.mean(1), 1e-12))


def kept_by_unit(todo: Sequence[ReplaceJob], done: Sequence[Replaced]) -> dict[str, float]:
    """Return the share of its effect that each neuron's simulation keeps, by the neuron's name."""
    kept = [(job, kept_of(d.own_UW, d.mean_UW)) for job, d in zip(todo, done, strict=True)]
    return {f"L{job.layer}.N{n}": float(x) for job, kept_U in kept for n, x in zip(job.neurons, kept_U, strict=True)}


def median_kept(done: Sequence[Replaced], which: str) -> Estimate:
    """Return the median over neurons of the share kept: a few have nearly all of the effect, so their mean has no interval."""
    if not done:
        return Unmeasured("no neuron was replaced")
    return median_interval(np.concatenate([kept_of(getattr(d, f"{which}_UW"), d.mean_UW) for d in done]))


def kept_by_layer(todo: Sequence[ReplaceJob], done: Sequence[Replaced]) -> tuple[Effect, ...]:
    """Say what simulations keep of effects, by layer."""
    by_layer: dict[int, list[Replaced]] = {job.layer: [] for job in todo}
    for job, d in zip(todo, done, strict=True):
        by_layer[job.layer].append(d)
    out = []
    for number, some in by_layer.items():
        mean_UW = np.concatenate([d.mean_UW for d in some])
        kept, swapped = (median_kept(some, which) for which in ("own", "swapped"))
        out.append(Effect(number, len(mean_UW), kept, swapped, float(mean_UW.mean())))
    return tuple(out)


@functools.lru_cache(maxsize=1)
def opened(policy: str) -> Model:
    """Open a model; kept within a process."""
    return open_weights(policy)


def replace_neurons(job: ReplaceJob) -> Replaced:
    """Replace each neuron in turn, in a few test windows, each of another document where there are enough."""
    model, bank = opened(job.policy), bank_of(job.policy, job.reading, job.explained_on)
    texts = bank.texts
    test_W = np.flatnonzero(texts.split_D[texts.document_W] == TEST)
    order = stream(0, "windows").permutation(test_W)
    _, first = np.unique(texts.document_W[order], return_index=True)
    some = np.concatenate([order[np.sort(first)], np.delete(order, first)])[: min(job.windows, AT_ONCE)]
    tokens_WT, scored_WT = texts.tokens_WT[some], texts.scored_WT[some]
    rows = texts.number_WT[some][scored_WT]
    seen: list[torch.Tensor] = []
    with tapped(model.network, {f"neurons.{job.layer}": seen.append}):
        unchanged = next_token(model, tokens_WT)
    real_WTU = seen[0].view(*tokens_WT.shape, -1)[..., list(job.neurons)].float().numpy()
    said = [simulate(from_text(p), bank.columns, rows) for p in job.programs]
    out = []
    for u, neuron in enumerate(job.neurons):
        values = []
        for line in (said[u], said[(u + 1) % len(said)], np.zeros(len(rows))):
            value_WT = real_WTU[..., u].copy()  # where nothing is scored, it stays as it is
            value_WT[scored_WT] = job.means[u] + job.spreads[u] * line
            values.append(value_WT)
        out.append(
            effects(model, tokens_WT, scored_WT, unchanged, layer=job.layer, neuron=neuron, values=tuple(values))
        )
    own, swapped, mean_UW = np.stack(out, 1)
    return Replaced(own_UW=own, swapped_UW=swapped, mean_UW=mean_UW)
