"""Causal effects of heads and MLPs: exact patching, gradient attribution, and circuits with everything else replaced.

A component is one attention head (its slice of what the attention's output matrix reads) or one MLP (what it returns).
The metric m is the logit of the clean answer minus that of the corrupt one, at one position. An effect is
m(clean, component <- corrupt) - m(clean). Gradient attribution estimates it by (corrupt - clean) . dm/da, with the
gradient at the clean input (AtP) or averaged on the way to the corrupt one (IG); rank by it with `ranking`, which says
where the gradient is blind.

Shape suffixes: B pairs, T tokens, D width, K width of a head, H heads, C components, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from superalign.errors import BadInput, TapError
from superalign.models.taps import last_matrix, layers_of, tap_module
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

    def swapped(self) -> Pairs:
        """Return the corrupt inputs as clean ones, with the same metric."""
        return Pairs(
            clean_BT=self.corrupt_BT,
            corrupt_BT=self.clean_BT,
            at_B=self.at_B,
            right_B=self.right_B,
            wrong_B=self.wrong_B,
        )


Network: TypeAlias = nn.Module
Values: TypeAlias = Mapping[str, Tensor]  # component -> (B, T, K) of a head, (B, T, D) of an MLP
Fill: TypeAlias = Literal["zero", "mean", "resample"]


def components(network: nn.Module) -> tuple[str, ...]:
    """Name every head and MLP: L0.H0, L0.H1, ..., L0.mlp, L1.H0, ...

    Raises:
        BadInput: If a layer has no attention or MLP that ends in one matrix.
    """
    heads = int(plain(network).config.num_attention_heads)
    return tuple(
        n for i in range(len(sites_of(network)) // 2) for n in (*(f"L{i}.H{h}" for h in range(heads)), f"L{i}.mlp")
    )


def sites_of(network: nn.Module) -> dict[str, nn.Module]:
    """Find the output matrix of each attention, each MLP, and the first layer, whose input is the embedding."""
    layers, found = layers_of(network), dict[str, nn.Module]()
    for i in range(len(layers)):
        attention, mlp = tap_module(network, f"attention.{i}"), tap_module(network, f"mlp.{i}")
        matrix = None if attention is None else last_matrix(attention)
        if matrix is None or mlp is None:
            raise BadInput(
                f"Layer {i} of {type(plain(network)).__name__} has no attention and MLP that end in one matrix each. What a "
                "single head adds cannot be told. Use a model of the Llama, Qwen, Mistral or GPT-2 shape."
            )
        found |= {f"L{i}.heads": matrix, f"L{i}.mlp": mlp}
    return {**found, EMBED: layers[0]}


def place_of(name: str) -> tuple[str, int | None]:
    """Return the site of a component, and which head it is."""
    layer, _, part = name.partition(".")
    return (f"{layer}.heads", int(part[1:])) if part.startswith("H") else (name, None)


@contextmanager
def meddled(network: nn.Module, change: Callable[[str, Tensor], Tensor], *, only: Iterable[str] = ()) -> Iterator[None]:
    """Put what flows at each site through a function: L0.heads (all heads, side by side), L0.mlp, ..., and "embed".

    Raises:
        TapError: On leaving, if a hook did not fire.
    """
    chosen, fired = set(only), set()
    sites = {site: m for site, m in sites_of(network).items() if not chosen or site in chosen}

    def hook(site: str, module: nn.Module) -> Any:
        if site.endswith(".mlp"):

            def after(_: nn.Module, __: Any, out: Tensor) -> Tensor:
                fired.add(site)
                return change(site, out)

            return module.register_forward_hook(after)

        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            fired.add(site)
            return (change(site, args[0]), *args[1:])

        return module.register_forward_pre_hook(before)

    handles = [hook(site, module) for site, module in sites.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    silent = [site for site in sites if site not in fired]
    if silent:
        raise TapError(
            f"The hook at {', '.join(silent)} did not fire, so nothing was patched there. The forward went around the module, "
            "or none was run. Run the network's own forward inside the block."
        )


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

    def keep(site: str, x: Tensor) -> Tensor:
        if site.endswith(".heads"):
            values.update({f"{site[:-6]}.H{h}": v for h, v in enumerate(by_head(network, x.detach()).unbind(-2))})
        else:
            values[site] = x.detach()
        return x

    with torch.no_grad(), meddled(network, keep):
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

    def change(site: str, x: Tensor) -> Tensor:
        x = x.clone()
        for head, value in wanted[site]:
            part = x if head is None else by_head(network, x)[..., head, :]
            part[:, where] = value.expand_as(part)[:, where]
        return x

    with torch.no_grad(), meddled(network, change, only=wanted) if wanted else ExitStack():
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
    for way in on_the_way(steps):
        leaves: dict[str, Tensor] = {}

        def add(site: str, x: Tensor, way: float = way, leaves: dict[str, Tensor] = leaves) -> Tensor:
            if site == EMBED:
                return torch.lerp(clean[EMBED], corrupt[EMBED], way)
            leaves[site] = torch.zeros_like(x, requires_grad=True)
            return x + leaves[site]

        with torch.enable_grad(), meddled(network, add):
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
