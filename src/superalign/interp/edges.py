"""Effects of single edges: what one component adds to the input of one later port, patched exactly or by gradient (EAP, EAP-IG).

A port is the queries, keys or values of one head, the input of one MLP, or the read-out. An edge is patched by adding to that
port's input alone what its component adds on the corrupt run minus on the clean one; norms are worked out anew.

Shape suffixes: B pairs, T tokens, D width, E edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from superalign.errors import BadInput, TapError
from superalign.interp.patching import (
    EMBED,
    OUT,
    Pairs,
    by_head,
    components,
    logits_of,
    meddled,
    on_the_way,
    patched,
    place_of,
    read,
    sites_of,
)
from superalign.models.taps import layers_of, tap_module
from superalign.models.weights import plain

Edge: TypeAlias = tuple[str, str]  # a component or the embedding, and a port: L1.H0.q (or .k, .v), L1.mlp, out


def ports(network: Any) -> tuple[str, ...]:
    """Name what edges write into: queries, keys and values of each head, MLPs, and the read-out.

    Keys and values that several heads share are named by the first of these.

    Raises:
        BadInput: If queries, keys and values are not three matrices behind one norm.
    """
    inner = plain(network)
    heads = int(inner.config.num_attention_heads)
    shared = int(getattr(inner.config, "num_key_value_heads", heads))
    found: list[str] = []
    for i, layer in enumerate(layers_of(network)):
        attention = tap_module(network, f"attention.{i}")
        if not all(hasattr(attention, f"{p}_proj") for p in "qkv") or len(_norms(layer)) != 2:
            raise BadInput(
                f"Layer {i} of {type(inner).__name__} does not read its queries, keys and values by three matrices behind one "
                "norm. Edges into single heads cannot be told apart. Patch components, or use a model of the Llama shape."
            )
        found += [f"L{i}.H{h}.{p}" for h in range(heads) for p in "qkv" if p == "q" or h % (heads // shared) == 0]
        found.append(f"L{i}.mlp")
    return (*found, OUT)


def edges(network: nn.Module) -> tuple[Edge, ...]:
    """List every edge: from the embedding and from each component into every later port."""
    order = [EMBED, *components(network)]
    heads = int(plain(network).config.num_attention_heads)
    step = {n: -1 if n == EMBED else 2 * int(n[1:].split(".")[0]) + (not _is_head(n)) for n in order}
    goal = {
        p: 2 * len(order) * heads if p == OUT else 2 * int(p[1:].split(".")[0]) + (not _is_head(p))
        for p in ports(network)
    }
    return tuple((n, p) for p in goal for n in order if step[n] < goal[p])


def _is_head(name: str) -> bool:
    return ".H" in name


def _norms(layer: nn.Module) -> list[nn.Module]:
    """The norms of a layer: before its attention, and before its MLP."""
    return [m for name, m in layer.named_children() if "norm" in name]


def _added(network: nn.Module, pairs: Pairs) -> dict[str, Tensor]:
    """What each component adds to the residual stream on the corrupt input minus on the clean one, (B, T, D)."""
    (clean, _), (corrupt, _) = (read(network, t) for t in (pairs.clean_BT, pairs.corrupt_BT))
    sites, found = sites_of(network), {}
    for name, value in clean.items():
        site, head = place_of(name)
        change = corrupt[name] - value
        if head is not None:
            matrix: Any = sites[site]
            weight_DHK = by_head(network, matrix.weight.detach())
            change = change @ weight_DHK[:, head].T
        found[name] = change
    return found


def _reads(network: Any, port: str) -> tuple[nn.Module, nn.Module, int, int]:
    """The norm and the module behind which a port reads; which part of the output is its own, and of how many."""
    if port == OUT:
        return plain(network).base_model.norm, plain(network).get_output_embeddings(), 0, 1
    number = int(port[1:].split(".")[0])
    norms, config = _norms(layers_of(network)[number]), plain(network).config
    if not _is_head(port):
        mlp = tap_module(network, f"mlp.{number}")
        assert mlp is not None
        return norms[1], mlp, 0, 1
    _, head, kind = port.split(".")
    heads = config.num_attention_heads if kind == "q" else config.num_key_value_heads
    part = int(head[1:]) * heads // config.num_attention_heads
    return norms[0], getattr(tap_module(network, f"attention.{number}"), f"{kind}_proj"), part, heads


def exact_edges(network: nn.Module, pairs: Pairs, chosen: Sequence[Edge] | None = None) -> Float[np.ndarray, "E B"]:
    """Patch edges one by one: only what one component adds to one port's input is that of the corrupt run."""
    some = edges(network) if chosen is None else chosen
    added, clean_B = _added(network, pairs), pairs.metric(patched(network, pairs.clean_BT, {}))
    found = [pairs.metric(_edges_patched(network, pairs, [(added[u], port)])) - clean_B for u, port in some]
    return np.stack([f.numpy() for f in found]) if found else np.zeros((0, len(clean_B)), np.float32)


def joint_edges(network: nn.Module, pairs: Pairs, chosen: Sequence[Edge]) -> Float[np.ndarray, " B"]:
    """Patch edges all at once, each by what its component adds on the corrupt run minus on the clean one."""
    added, clean_B = _added(network, pairs), pairs.metric(patched(network, pairs.clean_BT, {}))
    return (pairs.metric(_edges_patched(network, pairs, [(added[u], port) for u, port in chosen])) - clean_B).numpy()


def _edges_patched(network: nn.Module, pairs: Pairs, changes: Sequence[tuple[Tensor, str]]) -> Tensor:
    """Logits with something (B, T, D) added to the inputs of single ports; norms are worked out anew."""
    seen: dict[nn.Module, Tensor] = {}
    ports_of: dict[nn.Module, tuple[nn.Module, int, dict[int, Tensor]]] = {}
    by_port: dict[str, Tensor] = {}
    for change_BTD, port in changes:
        by_port[port] = by_port[port] + change_BTD if port in by_port else change_BTD
    for port, change_BTD in by_port.items():
        norm, module, part, parts = _reads(network, port)
        ports_of.setdefault(module, (norm, parts, {}))[2][part] = change_BTD

    def before(norm: nn.Module, args: tuple[Any, ...]) -> None:
        seen[norm] = args[0]

    def after(module: nn.Module, _: Any, out: Tensor) -> Tensor:
        norm, parts, of_part = ports_of[module]
        whole = out.unflatten(-1, (parts, -1)).clone()
        for part, change_BTD in of_part.items():
            new = module.forward(norm.forward(seen[norm] + change_BTD)).unflatten(-1, (parts, -1))
            whole[..., part, :] = new[..., part, :]
        return whole.flatten(-2)

    norms = {norm: None for norm, _, _ in ports_of.values()}
    handles = [n.register_forward_pre_hook(before) for n in norms] + [m.register_forward_hook(after) for m in ports_of]
    try:
        with torch.no_grad():
            logits = logits_of(network, pairs.clean_BT)
    finally:
        for handle in handles:
            handle.remove()
    if len(seen) < len(norms):
        raise TapError("A hook at a norm did not fire. Nothing was patched behind it. Use a model of the Llama shape.")
    return logits


def gradient_edges(
    network: nn.Module, pairs: Pairs, chosen: Sequence[Edge] | None = None, *, steps: int = 0
) -> Float[np.ndarray, "E B"]:
    """Estimate the effect of every edge: what a component adds, corrupt minus clean, times dm/d(input of the port)."""
    added = _added(network, pairs)
    (clean, _), (corrupt, _) = (read(network, t) for t in (pairs.clean_BT, pairs.corrupt_BT))
    total: dict[str, Tensor] = {}
    for way in on_the_way(steps):
        between = torch.lerp(clean[EMBED], corrupt[EMBED], way)
        for port, g in _port_gradients(network, pairs, between).items():
            total[port] = total.get(port, 0) + g / len(on_the_way(steps))
    some = edges(network) if chosen is None else chosen
    return np.stack([(added[u] * total[port]).sum((1, 2)).numpy() for u, port in some])


def _port_gradients(network: nn.Module, pairs: Pairs, between_BTD: Tensor) -> dict[str, Tensor]:
    """dm/d(input) of every port, (B, T, D): by a zero that is added to what its norm reads, and one behind its matrix."""
    where = {p: _reads(network, p) for p in ports(network)}
    zeros: dict[nn.Module, Tensor] = {}
    outs: dict[nn.Module, Tensor] = {}

    def before(norm: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        zeros[norm] = torch.zeros_like(args[0], requires_grad=True)
        return (args[0] + zeros[norm], *args[1:])

    def after(matrix: nn.Module, _: Any, out: Tensor) -> Tensor:
        outs[matrix], zeros[matrix] = out, torch.zeros_like(out, requires_grad=True)
        return out + zeros[matrix]

    whole = {p: w for p, w in where.items() if not _is_head(p)}
    single = {p: w for p, w in where.items() if _is_head(p)}
    handles = [n.register_forward_pre_hook(before) for n in {w[0]: 0 for w in where.values()}]
    handles += [m.register_forward_hook(after) for m in {w[1]: 0 for w in single.values()}]

    def embed(_: str, x: Tensor) -> Tensor:
        return between_BTD

    try:
        with torch.enable_grad(), meddled(network, embed, only=[EMBED]):
            metric = pairs.metric(logits_of(network, pairs.clean_BT)).sum()
    finally:
        for handle in handles:
            handle.remove()
    asked = [w[0] for w in whole.values()] + list(outs)
    got = dict(zip(asked, torch.autograd.grad(metric, [zeros[m] for m in asked], retain_graph=True), strict=True))
    found = {p: got[w[0]] for p, w in whole.items()}
    for port, (norm, matrix, part, parts) in single.items():
        mine = torch.zeros_like(got[matrix]).unflatten(-1, (parts, -1))
        mine[..., part, :] = got[matrix].unflatten(-1, (parts, -1))[..., part, :]
        (found[port],) = torch.autograd.grad(outs[matrix], zeros[norm], mine.flatten(-2), retain_graph=True)
    return found
