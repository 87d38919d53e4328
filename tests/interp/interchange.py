"""Networks that are trained until known parts of them carry a known mechanism: interchange-intervention training.

The mechanism is a compiled program, whose heads and MLPs are known. A student of the same layout learns its answers; and
wherever a part of the circuit is put in from another input, in both, the student must answer as the program then does, while
parts outside the circuit may be put in from anywhere without an effect. So which parts compute what is known of weights that
training found.

Source:
    Geiger et al., Inducing causal structure for interpretable neural networks, 2022 (arXiv 2112.00826); Gupta et al.,
    InterpBench, 2024 (arXiv 2407.14494): the strict form, and its weights.

Shape suffixes: B inputs, T positions, D width, V answers, K width of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from superalign.interp.edges import Edge, edges, ports
from superalign.interp.patching import (
    EMBED,
    OUT,
    Pairs,
    by_head,
    components,
    head_matrices,
    logits_of,
    names_at,
    read,
    sites_of,
)
from superalign.lab.compiled import Compiled, Program, Stack
from superalign.models.taps import changed

Other: TypeAlias = Callable[[list[int], np.random.Generator], list[int]]
WEIGHTS = {"answers": 1.0, "interchange": 1.0, "strict": 0.4}  # as InterpBench weighs them


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """A trained network, the circuit that it was trained to have, and how well it keeps to it on fresh inputs."""

    network: Stack
    program: Program
    nodes: frozenset[str]
    right: float  # share of answers
    interchanged: (
        float  # share of answers that are the program's after a part of its circuit was put in from another input
    )
    untouched: float  # share of answers that stay right after all other parts were put in from another input


def put_in(network: Stack, tokens_BT: Tensor, values: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Run with some components' outputs replaced; return what every component returns, and the logits, with gradients."""
    kept: dict[str, Tensor] = {}

    def see(x: Tensor, site: str) -> Tensor:
        names = names_at(network, site)
        parts = by_head(network, x).unbind(-2) if site.startswith("heads") else (x,)
        parts = tuple(values.get(n, p) for n, p in zip(names, parts, strict=True))
        kept.update(zip(names, parts, strict=True))
        return torch.cat(parts, -1)

    with changed(network, {site: partial(see, site=site) for site in sites_of(network)}):
        return kept, logits_of(network, tokens_BT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """Inputs with the program's answers, others to put parts in from, and what is answered then; -1 where there is no answer."""

    base_BT: Int[Tensor, "B T"]
    source_BT: Int[Tensor, "B T"]
    answer_BT: Int[Tensor, "B T"]
    moved: Mapping[
        str, Int[Tensor, "B T"]
    ]  # part of the circuit -> what the program answers with that part from the source


def lessons(made: Compiled, n: int, rng: np.random.Generator, *, other: Other | None = None) -> Lessons:
    """Draw inputs and let the compiled program answer them, each part of its circuit put in from another input in turn.

    Args:
        made: The program, compiled.
        n: Inputs.
        rng: Where the draws come from.
        other: Draws the other input of an input; any input if it is not given.
    """
    program = made.program
    base = [program.draw(rng) for _ in range(n)]
    source_BT = torch.tensor([program.draw(rng) if other is None else other(x, rng) for x in base])
    base_BT, answer_BT = torch.tensor(base), torch.tensor([program.run(x) for x in base])
    moved = {}
    with torch.no_grad():
        given, _ = put_in(made.network, source_BT, {})
        for name in sorted(made.nodes):
            said_BT = put_in(made.network, base_BT, {name: given[name]})[1].argmax(-1)
            moved[name] = torch.where(answer_BT >= 0, said_BT, -1)
    return Lessons(base_BT=base_BT, source_BT=source_BT, answer_BT=answer_BT, moved=moved)


def train_student(
    made: Compiled,
    *,
    seed: int,
    steps: int,
    other: Other | None = None,
    width: int = 32,
    neurons: int = 32,
    batch: int = 48,
    pool: int = 2048,
    lr: float = 5e-3,
) -> Student:
    """Train a student of a compiled program, with each part of the circuit in its place.

    Args:
        made: The program, compiled: it answers every intervention.
        seed: Of first weights and batches.
        steps: Updates.
        other: See `lessons`.
        width: Of the student's stream.
        neurons: Of each of its MLPs.
        batch: Inputs of an update.
        pool: Different inputs.
        lr: Highest learning rate.
    """
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), student_of(made, width=width, neurons=neurons)
    all_of, nodes = lessons(made, pool, rng, other=other), sorted(made.nodes)
    others = [n for n in components(network) if n not in made.nodes]
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / 50, (1 - step / steps) / 0.3 + 0.01)
        rows = torch.from_numpy(rng.integers(0, pool, batch))
        base_BT, answer_BT = all_of.base_BT[rows], all_of.answer_BT[rows]
        given, _ = put_in(network, all_of.source_BT[rows], {})
        name, free = nodes[step % len(nodes)], [n for n in others if rng.random() < 0.5]
        loss = (
            WEIGHTS["answers"] * missed(put_in(network, base_BT, {})[1], answer_BT)
            + WEIGHTS["interchange"]
            * missed(put_in(network, base_BT, {name: given[name]})[1], all_of.moved[name][rows])
            + WEIGHTS["strict"] * missed(put_in(network, base_BT, {n: given[n] for n in free})[1], answer_BT)
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    fresh = lessons(made, 300, np.random.default_rng([seed, 1]), other=other)
    return checked(network.requires_grad_(False), made, fresh)


def missed(logits_BTV: Tensor, answer_BT: Tensor) -> Tensor:
    """Return the mean surprise at the answers that there are."""
    return F.cross_entropy(logits_BTV.flatten(0, 1), answer_BT.flatten(), ignore_index=-1)


def student_of(made: Compiled, *, width: int, neurons: int) -> Stack:
    """Make an untrained network with as many layers, heads and answers as a compiled one."""
    attention = made.network.layers[0].self_attn
    heads = made.network.config.num_attention_heads
    return Stack(
        tokens=made.program.tokens,
        length=made.program.length,
        width=width,
        outputs=made.network.lm_head.out_features,
        heads=heads,
        head_width=width // heads,
        neurons=(neurons,) * len(made.network.layers),
        causal=attention.causal,  # type: ignore[union-attr]
        scale=(width // heads) ** -0.5,
    )


def checked(network: Stack, made: Compiled, fresh: Lessons) -> Student:
    """Measure a student on fresh inputs: its answers, and those under interventions, one part of the circuit after another."""

    def share(values: Mapping[str, Tensor], wanted_BT: Tensor) -> float:
        said_BT = put_in(network, fresh.base_BT, values)[1].argmax(-1)
        return float((said_BT == wanted_BT)[wanted_BT >= 0].float().mean())

    with torch.no_grad():
        given, _ = put_in(network, fresh.source_BT, {})
        others = {n: v for n, v in given.items() if n not in made.nodes and n != EMBED}
        return Student(
            network=network,
            program=made.program,
            nodes=made.nodes,
            right=share({}, fresh.answer_BT),
            interchanged=min(share({n: given[n]}, wanted_BT) for n, wanted_BT in fresh.moved.items()),
            untouched=share(others, fresh.answer_BT),
        )


def circuit_metric(network: Stack, pairs: Pairs, kept: Collection[Edge]) -> Float[np.ndarray, " B"]:
    """Return the metric where only some edges carry what is computed on the clean input.

    Each port reads the sum of what components write: along an edge of the circuit what this very run makes of its component,
    along any other what the component writes on the corrupt input. All edges give the clean run, none the corrupt one.
    """
    corrupt, _ = read(network, pairs.corrupt_BT)
    number = len(network.layers)
    writes = {f"L{i}.H{h}": w for i in range(number) for h, w in enumerate(head_matrices(network, i))}
    old = {n: v @ writes[n] if n in writes else v for n, v in corrupt.items()}
    own, found = set(kept), ports(network)
    into: dict[str, list[str]] = {}
    for source, port in edges(network):
        into.setdefault(port, []).append(source)
    new = {EMBED: read(network, pairs.clean_BT)[0][EMBED]}

    def reads(port: str) -> Tensor:
        return torch.stack([new[u] if (u, port) in own else old[u] for u in into[port]]).sum(0)

    with torch.no_grad():
        for i, layer in enumerate(network.layers):
            attention, heads = layer.self_attn, network.config.num_attention_heads
            q, k, v = (
                torch.stack([found[f"L{i}.H{h}.{x}"].through(reads(f"L{i}.H{h}.{x}")) for h in range(heads)], 1)
                for x in "qkv"
            )
            mixed = attention.mix(q, k, v)  # type: ignore[union-attr, operator]
            new.update({f"L{i}.H{h}": mixed[:, h] @ writes[f"L{i}.H{h}"] for h in range(heads)})
            new[f"L{i}.mlp"] = layer.mlp(reads(f"L{i}.mlp"))  # type: ignore[union-attr, operator]
        return pairs.metric(network.lm_head(reads(OUT))).numpy()
