"""Causal effects of heads and MLPs: exact patching, gradient attribution, and circuits with everything else replaced.

A component is one attention head (its slice of what the attention's output matrix reads) or one MLP (what it returns).
The metric m is the logit of the clean answer minus that of the corrupt one, at one position. An effect is
m(clean, component <- corrupt) - m(clean). Gradient attribution estimates it by (corrupt - clean) . dm/da, with the
gradient at the clean input (AtP) or averaged on the way to the corrupt one (IG); rank by it with `ranking`, which says
where the gradient is blind.

Shape suffixes: B pairs, T tokens, D width, K width of a head, H heads, C components, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from superalign.errors import BadInput
from superalign.models.taps import changed, layers_of, tap_module, tapped
from superalign.models.weights import plain

EMBED, OUT = "embed", "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Clean and corrupt inputs of equal length, where they are read, and the two answers."""

    clean_BT: Int[Tensor, "B T"]
    corrupt_BT: Int[Tensor, "B T"]
    at_B: Int[Tensor, " B"]
    right_B: Int[Tensor, " B"]
    wrong_B: Int[Tensor, " B"]

    def metric(self, logits_BTV: Float[Tensor, "B T V"]) -> Float[Tensor, " B"]:
        """Subtract the corrupt answer's logit from the clean one's."""
        at_BV = logits_BTV[torch.arange(len(self.at_B)), self.at_B]
        return (at_BV.gather(1, self.right_B[:, None]) - at_BV.gather(1, self.wrong_B[:, None]))[:, 0]


Network: TypeAlias = nn.Module
Values: TypeAlias = Mapping[str, Tensor]  # component -> (B, T, K) of a head, (B, T, D) of an MLP
Fill: TypeAlias = Literal["zero", "mean", "resample"]


def components(network: nn.Module) -> tuple[str, ...]:
    """Name every head and MLP: L0.H0, L0.H1, ..., L0.mlp, L1.H0, ...

    Raises:
        BadInput: If a layer has no attention or MLP that ends in one matrix.
    """
    return tuple(name for site in sites_of(network)[1:] for name in names_at(network, site))


def sites_of(network: nn.Module, kinds: Sequence[str] = ("heads", "mlp")) -> tuple[str, ...]:
    """Name the taps at the embedding, and at some kinds of sites of each layer: all heads and the MLP.

    Raises:
        BadInput: If there is no such site in a layer.
    """
    layers = layers_of(network)
    found = [f"{kind}.{i}" for i in range(len(layers)) for kind in kinds]
    missing = [site for site in found if tap_module(layers, site) is None]
    if missing:
        raise BadInput(
            f"{type(plain(network)).__name__} has nothing at {', '.join(missing[:3])}: its attention or MLP does not end in one "
            "matrix. What a single head or neuron does cannot be told. Use a model of the Llama, Qwen, Mistral or GPT-2 shape."
        )
    return ("embedding", *found)


def names_at(network: Any, site: str) -> tuple[str, ...]:
    """Name the components at a site."""
    kind, _, number = site.partition(".")
    heads = range(int(plain(network).config.num_attention_heads))
    return {"heads": tuple(f"L{number}.H{h}" for h in heads), "mlp": (f"L{number}.mlp",), "embedding": (EMBED,)}[kind]


def place_of(name: str) -> tuple[str, int | None]:
    """Return the site of a component, and which head it is."""
    layer, _, part = name[1:].partition(".")
    if name == EMBED:
        return "embedding", None
    return (f"heads.{layer}", int(part[1:])) if part.startswith("H") else (f"mlp.{layer}", None)


def head_matrices(network: Any, number: int) -> Float[Tensor, "H K D"]:
    """Return what each head of a layer writes with: its part of attention's last matrix, one number that it reads a row."""
    matrix: Any = tap_module(network, f"heads.{number}")
    weight = matrix.weight.detach()
    weight = weight if type(matrix).__name__ == "Conv1D" else weight.T  # GPT-2 keeps (in, out)
    return weight.unflatten(0, (int(plain(network).config.num_attention_heads), -1))


def logits_of(network: Any, tokens_BT: Tensor) -> Tensor:
    """Compute logits (B, T, V) by the network's own forward."""
    logits: Tensor = network(input_ids=tokens_BT, use_cache=False).logits
    return logits.float()


def by_head(network: Any, x: Tensor) -> Tensor:
    """Cut the last dimension into heads."""
    return x.unflatten(-1, (int(plain(network).config.num_attention_heads), -1))


def read(network: nn.Module, tokens_BT: Int[Tensor, "B T"]) -> tuple[Values, Float[Tensor, "B T V"]]:
    """Read what every component returns, the embedding too, and the logits."""
    values: dict[str, Tensor] = {}

    def keep(x: Tensor, site: str) -> None:
        parts = by_head(network, x).unbind(-2) if site.startswith("heads") else [x]
        values.update(zip(names_at(network, site), parts, strict=True))

    with torch.no_grad(), tapped(network, {site: partial(keep, site=site) for site in sites_of(network)}):
        logits = logits_of(network, tokens_BT)
    return values, logits


def patched(
    network: nn.Module, tokens_BT: Int[Tensor, "B T"], values: Values, *, at: int | None = None
) -> Float[Tensor, "B T V"]:
    """Compute logits with some components' outputs replaced: at all positions, or at one.

    Args:
        network: Any causal LM whose attention and MLPs end in one matrix.
        tokens_BT: What it reads.
        values: Component -> what stands there instead, (B, T, ...), or what broadcasts to it.
        at: The one position; all if None.
    """
    wanted: dict[str, list[tuple[int | None, Tensor]]] = {}
    for name, value in values.items():
        site, head = place_of(name)
        wanted.setdefault(site, []).append((head, value))
    where = slice(None) if at is None else slice(at, at + 1)

    def change(x: Tensor, site: str) -> Tensor:
        x = x.clone()
        for head, value in wanted[site]:
            part = x if head is None else by_head(network, x)[..., head, :]
            part[:, where] = value.expand_as(part)[:, where]
        return x

    with torch.no_grad(), changed(network, {site: partial(change, site=site) for site in wanted}):
        return logits_of(network, tokens_BT)


def exact_effects(
    network: nn.Module, pairs: Pairs, names: Sequence[str] | None = None, *, at: int | None = None
) -> Float[np.ndarray, "C B"]:
    """Patch components one by one from the corrupt run into the clean one, and say how the metric changes.

    Args:
        network: What is patched.
        pairs: Inputs and the metric.
        names: Which components; all if None.
        at: The one position that is patched; all if None.
    """
    corrupt, _ = read(network, pairs.corrupt_BT)
    clean_B = pairs.metric(patched(network, pairs.clean_BT, {}))
    some = components(network) if names is None else names
    found = [pairs.metric(patched(network, pairs.clean_BT, {n: corrupt[n]}, at=at)) - clean_B for n in some]
    return np.stack([f.numpy() for f in found]) if found else np.zeros((0, len(clean_B)), np.float32)


def changed_by_corruption(network: nn.Module, pairs: Pairs) -> Float[np.ndarray, " B"]:
    """Return m(clean) - m(corrupt): what effects are divided by to normalise them."""
    metrics = [pairs.metric(patched(network, t, {})) for t in (pairs.clean_BT, pairs.corrupt_BT)]
    return (metrics[0] - metrics[1]).numpy()


def on_the_way(steps: int) -> list[float]:
    """Say how far from clean to corrupt each gradient is taken: at the clean input alone for 0 steps."""
    return [(i + 0.5) / steps for i in range(steps)] if steps else [0.0]


def gradient_effects(network: nn.Module, pairs: Pairs, *, steps: int = 0) -> Float[np.ndarray, "C B T"]:
    """Estimate the effect of every component at every position: (corrupt - clean) . dm/da.

    Args:
        network: What is attributed.
        pairs: Inputs and the metric.
        steps: 0 for the gradient at the clean input; else points between the clean and the corrupt embeddings to average over.
    """
    (clean, _), (corrupt, _) = (read(network, t) for t in (pairs.clean_BT, pairs.corrupt_BT))
    total: dict[str, Tensor] = {}
    leaves: dict[str, Tensor] = {}

    def add(x: Tensor, site: str, way: float) -> Tensor:
        if site == "embedding":
            return torch.lerp(clean[EMBED], corrupt[EMBED], way)
        leaves[site] = torch.zeros_like(x, requires_grad=True)
        return x + leaves[site]

    for way in on_the_way(steps):
        adding = {site: partial(add, site=site, way=way) for site in sites_of(network)}
        with torch.enable_grad(), changed(network, adding):
            found = torch.autograd.grad(pairs.metric(logits_of(network, pairs.clean_BT)).sum(), list(leaves.values()))
        for site, g in zip(leaves, found, strict=True):
            total[site] = total.get(site, 0) + g / len(on_the_way(steps))
    effects = []
    for name in components(network):
        site, head = place_of(name)
        g = total[site] if head is None else by_head(network, total[site])[..., head, :]
        effects.append(((corrupt[name] - clean[name]) * g).sum(-1).numpy())
    return np.stack(effects)


def fills(network: nn.Module, pairs: Pairs, how: Fill, *, over: Pairs) -> Values:
    """Return what stands in for components outside a circuit: nothing, their mean over other pairs, or the corrupt run's."""
    corrupt, _ = read(network, pairs.corrupt_BT)
    if how == "resample":
        return corrupt
    if how == "zero":
        return {n: torch.zeros_like(v) for n, v in corrupt.items()}
    seen = [read(network, t)[0] for t in (over.clean_BT, over.corrupt_BT)]
    return {n: torch.cat([s[n] for s in seen]).mean((0, 1)) for n in corrupt}


def kept_alone(network: nn.Module, pairs: Pairs, circuit: Iterable[str], fill: Values) -> Float[np.ndarray, " B"]:
    """Return the metric with every component outside the circuit replaced; of the empty circuit with all replaced."""
    kept = set(circuit)
    return pairs.metric(
        patched(network, pairs.clean_BT, {n: fill[n] for n in components(network) if n not in kept})
    ).numpy()


def faithfulness(metrics: Sequence[Float[np.ndarray, "... K B"]]) -> Float[np.ndarray, "... K B S"]:
    """Return [m(circuit) - m(empty)] / [m(full) - m(empty)] of each model (S).

    Args:
        metrics: For each model, of circuits of growing size, the empty one first and the whole model last. With a leading
            dimension its first entry is these circuits, and others are divided by the same.

    A pair's difference is divided by the mean over pairs of what its own model loses in all, which is taken as known.
    """
    ends = [(x.reshape(-1, *x.shape[-2:])[0, 0], x.reshape(-1, *x.shape[-2:])[0, -1]) for x in metrics]
    return np.stack([(x - low) / (high - low).mean() for x, (low, high) in zip(metrics, ends, strict=True)], axis=-1)
