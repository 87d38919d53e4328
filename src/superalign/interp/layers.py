"""Run a language model over a whole corpus one layer at a time, so that all activations of a layer are there at once.

How a layer is called is recorded from one forward of the whole network, so that any decoder of Hugging Face will do; what the
last layer returns is held against that forward. Only the residual stream of the corpus and one layer's units are in memory.

Shape suffixes: W windows, T tokens of a window, N scored tokens, D width, U units, H heads.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from superalign.errors import BadInput, TapError
from superalign.explanations.texts import Texts
from superalign.interp.patching import head_matrices, sites_of
from superalign.models.model import Model
from superalign.models.taps import hooked, layers_of, tap_module, tapped, width_read
from superalign.models.weights import plain

AT_ONCE = 32  # windows of a forward
AGREE = 0.02  # how far apart, relative to its size, the last layer's output may be from the whole network's


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How a network calls each of its layers on a batch of windows, and what came out at the end."""

    args: tuple[tuple[Any, ...], ...] = field(repr=False)
    kwargs: tuple[dict[str, Any], ...] = field(repr=False)
    last_BTD: Tensor = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The units of one layer on all scored tokens."""

    number: int
    neurons_NU: Shaped[np.ndarray, "N U"] = field(repr=False)  # what the MLP's last matrix reads
    heads_NH: Shaped[np.ndarray, "N H"] = field(repr=False)  # how much each head writes: the length of its part
    stream_WTD: Tensor = field(repr=False)  # the residual stream behind the layer


class _Enough(Exception):
    """The embedding was read, and the rest of the forward is not needed."""


def calls_of(model: Model, texts: Texts, *, half: bool = False) -> Calls:
    """Record how a network calls its layers, on the first batch of windows."""
    network = model.network
    sites_of(network, ("neurons", "heads"))
    args: list[tuple[Any, ...]] = []
    kwargs: list[dict[str, Any]] = []

    def see(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        named = {k: None if "past" in k or "cache" in k else v for k, v in named.items()}
        named.pop("hidden_states", None)
        args.append(given[1:])
        kwargs.append(named)

    last: list[Tensor] = []
    seen = hooked(layer.register_forward_pre_hook(see, with_kwargs=True) for layer in layers_of(network))
    with (
        seen,
        torch.no_grad(),
        _precision(half),
        tapped(network, {f"residual.{len(layers_of(network)) - 1}": last.append}),
    ):
        plain(network).base_model(input_ids=_batch(texts, 0), use_cache=False)
    return Calls(args=tuple(args), kwargs=tuple(kwargs), last_BTD=last[0])


def embedded(model: Model, texts: Texts) -> Float[Tensor, "W T D"]:
    """Compute what enters the first layer, for all windows."""
    network, (W, T) = model.network, texts.tokens_WT.shape
    out_WTD = torch.empty(W, T, network.get_input_embeddings().weight.shape[1])
    for start in range(0, W, AT_ONCE):

        def keep(x: Tensor, start: int = start) -> None:
            out_WTD[start : start + AT_ONCE] = x[: W - start].float()
            raise _Enough

        with torch.no_grad(), contextlib.suppress(_Enough), tapped(network, {"embedding": keep}):
            plain(network).base_model(input_ids=_batch(texts, start), use_cache=False)
    return out_WTD


def run_layer(
    model: Model, number: int, calls: Calls, stream_WTD: Float[Tensor, "W T D"], texts: Texts, *, half: bool = False
) -> Layer:
    """Run one layer over all windows, in place, and keep its neurons and heads at scored tokens.

    Args:
        model: What is read.
        number: Of the layer.
        calls: How it is called.
        stream_WTD: What enters it; what leaves it, afterwards.
        texts: The windows.
        half: Whether products are in 16 bits (the stream stays in 32).

    Raises:
        TapError: If a tap did not fire, or the last layer does not return what the whole network's does.
        BadInput: If an activation is not finite, or does not fit into 16 bits.
    """
    layers = layers_of(model.network)
    scored = torch.from_numpy(texts.scored_WT)
    write_HXD = head_matrices(model.network, number).float()
    width = width_read(tap_module(model.network, f"neurons.{number}"))
    # Allocated once: a corpus of three quarters of a million tokens fills gigabytes, and parts that are joined twice that.
    neurons_NU = np.empty((int(scored.sum()), width), np.float16)
    heads_NH = np.empty((len(neurons_NU), len(write_HXD)), np.float16)
    done = 0
    for start in range(0, len(stream_WTD), AT_ONCE):
        keep = scored[start : start + AT_ONCE]
        to = slice(done, done + int(keep.sum()))
        seen: dict[str, Tensor] = {}
        read = {site: partial(seen.__setitem__, site) for site in (f"neurons.{number}", f"heads.{number}")}
        with tapped(model.network, read):
            _run(layers[number], number, calls, stream_WTD[start : start + AT_ONCE], half=half)
        neurons, heads = (seen[site][: len(keep)][keep] for site in read)
        neurons_NU[to], heads_NH[to] = _narrow(neurons), _written(heads, write_HXD)
        done = to.stop
    if number == len(layers) - 1:
        _check_same(stream_WTD, calls)
    return Layer(number=number, neurons_NU=neurons_NU, heads_NH=heads_NH, stream_WTD=stream_WTD)


def pass_layer(
    model: Model, number: int, calls: Calls, stream_WTD: Float[Tensor, "W T D"], *, half: bool = False
) -> None:
    """Run one layer over all windows, in place, and read nothing of it."""
    for start in range(0, len(stream_WTD), AT_ONCE):
        _run(layers_of(model.network)[number], number, calls, stream_WTD[start : start + AT_ONCE], half=half)


def _run(layer: nn.Module, number: int, calls: Calls, batch_BTD: Tensor, *, half: bool) -> None:
    """Run a layer over a batch, in place."""
    given = torch.cat([batch_BTD, batch_BTD[:1].expand(AT_ONCE - len(batch_BTD), -1, -1)])
    with torch.no_grad(), _precision(half):
        out = layer(given, *calls.args[number], **calls.kwargs[number])
    out = out[0] if isinstance(out, tuple | list) else out
    batch_BTD[:] = out[: len(batch_BTD)].float()


def _written(x_NX: Tensor, write_HXD: Tensor) -> np.ndarray:
    """How long the vector is that each head writes, from its Gram matrix: cheaper than the vector where heads are narrow."""
    part_NHX = x_NX.float().unflatten(1, (write_HXD.shape[0], -1))
    gram_HXX = write_HXD @ write_HXD.transpose(1, 2)
    square_NH = torch.einsum("nhx,hxy,nhy->nh", part_NHX, gram_HXX, part_NHX)
    return _narrow(square_NH.clamp_min(0).sqrt())


def _narrow(x: Tensor) -> np.ndarray:
    """Return activations in 16 bits, or say that they cannot be kept."""
    most = float(torch.linalg.vector_norm(x, math.inf))  # not a number, if one is
    if not most <= 65_000:
        raise BadInput(
            f"An activation is {'larger than 16 bits hold' if math.isfinite(most) else 'not finite'}. Its mean and "
            "correlations would mean nothing. Check the weights, or give --set half=false."
        )
    return np.asarray(x.to(torch.float16).cpu().numpy())


def _batch(texts: Texts, start: int) -> Tensor:
    """A batch of windows, filled up with the first: all batches have one shape, so a layer is called alike."""
    some = texts.tokens_WT[start : start + AT_ONCE]
    return torch.from_numpy(np.concatenate([some, np.repeat(texts.tokens_WT[:1], AT_ONCE - len(some), 0)])).long()


def _check_same(stream_WTD: Tensor, calls: Calls) -> None:
    n = min(len(stream_WTD), AT_ONCE)
    apart = (stream_WTD[:n] - calls.last_BTD[:n].float()).norm() / calls.last_BTD[:n].float().norm()
    if float(apart) > AGREE:
        raise TapError(
            f"Layers that were run one by one end {float(apart):.2f} of its size away from what the whole network computes. "
            "Their activations are not the model's. This architecture passes something between layers; use another."
        )


def _precision(half: bool) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext()
