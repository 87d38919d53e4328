"""Effects of single edges: what one component adds to the input of one later port, patched exactly or by gradient (EAP, EAP-IG).

A port is the queries, keys or values of one head, the input of one MLP, or the read-out. An edge is patched by adding to that
port's input alone what its component adds on the corrupt run minus on the clean one; norms are worked out anew.

Shape suffixes: B pairs, T tokens, D width, E edges, U components, P ports or parts of one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from superalign.errors import BadInput, TapError
from superalign.interp.patching import EMBED, OUT, Pairs, components, head_matrices, logits_of, on_the_way, read
from superalign.models.taps import changed, hooked, layers_of, tap_module
from superalign.models.weights import plain

Edge: TypeAlias = tuple[str, str]  # a component or the embedding, and a port: L1.H0.q (or .k, .v), L1.mlp, out


class Port(NamedTuple):
    """The norm and the module behind which a port reads; of queries, keys and values which outputs are the head's own."""

    norm: nn.Module
    module: Any
    own: slice | None = None

    def through(self, x_BTD: Tensor) -> Tensor:
        """Compute what a head makes of what its norm reads."""
        bias = self.module.bias
        return linear(self.norm.forward(x_BTD), self.module.weight[self.own], None if bias is None else bias[self.own])


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """A clean and a corrupt run that were read, for whoever patches many edges."""

    ports: Mapping[str, Port]
    # What each component adds to the stream on the corrupt input minus on the clean one, (B, T, D).
    added: Mapping[str, Tensor]
    clean_B: Tensor  # the metric
    corrupt_B: Tensor


def ports(network: Any) -> dict[str, Port]:
    """Find what edges write into: queries, keys and values of each head, MLPs, and the read-out.

    Keys and values that several heads share are named by the first of these.

    Raises:
        BadInput: If queries, keys and values are not three matrices behind one norm.
    """
    inner, layers = plain(network), layers_of(network)
    heads = int(inner.config.num_attention_heads)
    shared = int(getattr(inner.config, "num_key_value_heads", heads))
    found: dict[str, Port] = {}
    for i, layer in enumerate(layers):
        mlp, attention = (tap_module(layers, f"{kind}.{i}") for kind in ("mlp", "attention"))
        norms = [m for name, m in layer.named_children() if "norm" in name]
        qkv: list[Any] = [getattr(attention, f"{kind}_proj", None) for kind in "qkv"]
        if mlp is None or not all(isinstance(m, nn.Linear) for m in qkv) or len(norms) != 2:
            raise BadInput(
                f"Layer {i} of {type(inner).__name__} does not read its queries, keys and values by three matrices behind one "
                "norm. Edges into single heads cannot be told apart. Patch components, or use a model of the Llama shape."
            )
        for h in range(heads):
            for kind, matrix, parts in zip("qkv", qkv, (heads, shared, shared), strict=True):
                part, later = divmod(h * parts, heads)
                if not later:
                    size = matrix.out_features // parts
                    found[f"L{i}.H{h}.{kind}"] = Port(norms[0], matrix, slice(part * size, (part + 1) * size))
        found[f"L{i}.mlp"] = Port(norms[1], mlp)
    return {**found, OUT: Port(inner.base_model.norm, inner.get_output_embeddings())}


def edges(network: nn.Module) -> tuple[Edge, ...]:
    """List every edge: from the embedding and from each component into every later port."""

    def step(name: str) -> float:
        if name in (EMBED, OUT):
            return -1 if name == EMBED else np.inf
        return 2 * int(name[1:].split(".")[0]) + (".H" not in name)

    from_U, to_P = ([(x, step(x)) for x in some] for some in ((EMBED, *components(network)), ports(network)))
    return tuple((u, p) for p, goal in to_P for u, at in from_U if at < goal)


def runs_of(network: nn.Module, pairs: Pairs) -> Runs:
    """Read the clean and the corrupt run: one by one, so that clean inputs patched into themselves change exactly nothing."""
    (clean, clean_BTV), (corrupt, corrupt_BTV) = (read(network, t) for t in (pairs.clean_BT, pairs.corrupt_BT))
    added = {name: corrupt[name] - value for name, value in clean.items()}
    for number in range(len(layers_of(network))):
        for head, weight_KD in enumerate(head_matrices(network, number)):
            added[f"L{number}.H{head}"] = added[f"L{number}.H{head}"] @ weight_KD
    clean_B, corrupt_B = pairs.metric(clean_BTV), pairs.metric(corrupt_BTV)
    return Runs(ports=ports(network), added=added, clean_B=clean_B, corrupt_B=corrupt_B)


def exact_edges(
    network: nn.Module, pairs: Pairs, chosen: Sequence[Edge] | None = None, *, runs: Runs | None = None
) -> Float[np.ndarray, "E B"]:
    """Patch edges one by one: only what one component adds to one port's input is that of the corrupt run.

    Args:
        network: What is patched.
        pairs: Inputs and the metric.
        chosen: Which edges; all if None.
        runs: From `runs_of`, for whoever asks more than once.
    """
    some = edges(network) if chosen is None else chosen
    runs = runs or runs_of(network, pairs)
    found = [_edges_patched(network, pairs, runs, {port: runs.added[u]}) for u, port in some]
    return np.stack([f.numpy() for f in found]) if found else np.zeros((0, len(pairs.at_B)), np.float32)


def joint_edges(
    network: nn.Module, pairs: Pairs, chosen: Sequence[Edge], *, runs: Runs | None = None
) -> Float[np.ndarray, " B"]:
    """Patch edges all at once, each by what its component adds on the corrupt run minus on the clean one."""
    runs = runs or runs_of(network, pairs)
    at_U, at_P, from_E, to_E = _numbered(chosen)
    there_PU = torch.zeros(len(at_P), len(at_U), dtype=runs.added[EMBED].dtype)
    there_PU[to_E, from_E] = 1.0
    sum_PBTD = torch.tensordot(there_PU, torch.stack([runs.added[u] for u in at_U]), 1) if chosen else []
    return _edges_patched(network, pairs, runs, dict(zip(at_P, sum_PBTD, strict=True))).numpy()


def _numbered(chosen: Sequence[Edge]) -> tuple[list[str], list[str], list[int], list[int]]:
    """List the components and the ports of some edges, and for each edge the places of both."""
    first, second = ({name: i for i, name in enumerate(dict.fromkeys(e[end] for e in chosen))} for end in (0, 1))
    return list(first), list(second), [first[u] for u, _ in chosen], [second[p] for _, p in chosen]


def _edges_patched(network: nn.Module, pairs: Pairs, runs: Runs, changes: Mapping[str, Tensor]) -> Tensor:
    """How the metric changes with something (B, T, D) added to the inputs of single ports; norms are worked out anew."""
    seen: dict[nn.Module, Tensor] = {}
    whole: dict[nn.Module, Tensor] = {}  # what one port alone reads is changed before its norm
    of: dict[nn.Module, list[tuple[Port, Tensor]]] = {}  # of what several read, what each makes of it
    for name, change_BTD in changes.items():
        port = runs.ports[name]
        if port.own is None:
            whole[port.norm] = change_BTD
        elif change_BTD.any():  # a product of fewer rows is rounded otherwise, and nothing must change nothing
            of.setdefault(port.module, []).append((port, change_BTD))

    def before(norm: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        seen[norm] = args[0]
        return (args[0] + whole[norm], *args[1:]) if norm in whole else None

    def after(module: nn.Module, _: Any, out: Tensor) -> Tensor:
        out = out.clone()
        for port, change_BTD in of[module]:
            out[..., port.own] = port.through(seen[port.norm] + change_BTD)
        return out

    norms = {runs.ports[name].norm for name in changes}
    handles = [n.register_forward_pre_hook(before) for n in norms] + [m.register_forward_hook(after) for m in of]
    with hooked(handles), torch.no_grad():
        metric_B = pairs.metric(logits_of(network, pairs.clean_BT))
    if len(seen) < len(norms):
        raise TapError("A hook at a norm did not fire. Nothing was patched behind it. Use a model of the Llama shape.")
    return metric_B - runs.clean_B


def gradient_edges(
    network: nn.Module, pairs: Pairs, chosen: Sequence[Edge] | None = None, *, steps: int = 0, runs: Runs | None = None
) -> Float[np.ndarray, "E B"]:
    """Estimate the effect of every edge: what a component adds, corrupt minus clean, times dm/d(input of the port).

    All components are held against all ports in one product, of which the edges are picked.
    """
    runs = runs or runs_of(network, pairs)
    at_U, at_P, from_E, to_E = _numbered(edges(network) if chosen is None else chosen)
    where, ways = {name: runs.ports[name] for name in at_P}, on_the_way(steps)
    total = [_port_gradients(network, pairs, where, way * runs.added[EMBED]) for way in ways]
    slope_PBX = torch.stack([sum(t[p] for t in total) / len(ways) for p in at_P]).flatten(2)  # type: ignore[misc]
    added_UBX = torch.stack([runs.added[u] for u in at_U]).flatten(2)
    effect_BUP = added_UBX.transpose(0, 1) @ slope_PBX.permute(1, 2, 0)
    return effect_BUP[:, from_E, to_E].T.numpy()


def _port_gradients(network: nn.Module, pairs: Pairs, where: Mapping[str, Port], more_BTD: Tensor) -> dict[str, Tensor]:
    """dm/d(input) of ports, (B, T, D), with more added to the embedding.

    The gradient is that of a zero: one that is added to what a norm reads, one behind each matrix that heads share. What reaches
    a head's part of the latter is sent back through its rows and the norm alone, for all heads of a norm at once.
    """
    zeros: dict[nn.Module, Tensor] = {}
    normed: dict[nn.Module, Tensor] = {}

    def before(norm: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        zeros[norm] = torch.zeros_like(args[0], requires_grad=True)
        return (args[0] + zeros[norm], *args[1:])

    def behind(norm: nn.Module, _: Any, out: Tensor) -> None:
        normed[norm] = out

    def after(matrix: nn.Module, _: Any, out: Tensor) -> Tensor:
        zeros[matrix] = torch.zeros_like(out, requires_grad=True)
        return out + zeros[matrix]

    norms = {port.norm for port in where.values()}
    handles = [n.register_forward_pre_hook(before) for n in norms] + [n.register_forward_hook(behind) for n in norms]
    handles += [m.register_forward_hook(after) for m in {p.module for p in where.values() if p.own is not None}]
    with hooked(handles), torch.enable_grad(), changed(network, {"embedding": lambda x: x + more_BTD}):
        metric = pairs.metric(logits_of(network, pairs.clean_BT)).sum()
    asked = list({port.norm if port.own is None else port.module: 0 for port in where.values()})
    reached = dict(zip(asked, torch.autograd.grad(metric, [zeros[m] for m in asked], retain_graph=True), strict=True))
    found = {name: reached[port.norm] for name, port in where.items() if port.own is None}
    behind_norm: dict[nn.Module, dict[str, Tensor]] = {}
    for name, port in where.items():
        if port.own is not None:
            back = reached[port.module][..., port.own] @ port.module.weight.detach()[port.own]
            behind_norm.setdefault(port.norm, {})[name] = back
    for norm, of in behind_norm.items():
        (sent,) = torch.autograd.grad(
            normed[norm], zeros[norm], torch.stack(list(of.values())), retain_graph=True, is_grads_batched=True
        )
        found |= dict(zip(of, sent, strict=True))
    return found
