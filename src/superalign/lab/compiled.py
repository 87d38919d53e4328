"""Programs compiled to transformer weights, so that which heads, MLPs and edges compute an answer is known for certain.

A program is a list of layers of steps over named one-hot variables in the residual stream: `Attend` is one head, `Table` and
`Bucket` are MLPs. Compiling gives them real weights, in a basis turned at random, among heads and MLPs of random weights that
read everything and write where nothing of the circuit reads. With a high sharpness attention is hard-max: softmax is
saturated and its gradient is zero. With a low one it is soft, and the program is computed nearly always.

Shape suffixes: N inputs, T positions, D width, K width of a head, F neurons, O outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from superalign.interp.patching import EMBED, OUT

HARD, SOFT = 100.0, 5.0  # what scores are multiplied with: weights of places that are not selected are e^-100 and e^-5
FIXED = (
    "position",
    "start",
    "one",
)  # variables that no other input changes: an edge that reads only these carries nothing
SCRATCH, GATE, LOGIT = 8, 100.0, 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attend:
    """One head: attend where scores are highest, in equal parts, and copy the mean of a variable."""

    scores: tuple[tuple[str, str, np.ndarray], ...]  # variables of query and key, and a matrix (query value, key value)
    value: str
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One MLP: a function of one-hot variables, a neuron for each combination."""

    reads: tuple[str, ...]
    function: Callable[..., int]
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One MLP: the class whose centre a number lies nearest, in straight lines between two centres."""

    number: tuple[tuple[str, np.ndarray], ...]  # variables and their weights: the number is the sum
    centres: Callable[[int], Mapping[float, int]]  # of one value of the gate: centre -> class
    gate: str  # a one-hot variable that says which centres hold
    out: str


Step: TypeAlias = Attend | Table | Bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program over tokens: its variables, its steps by layer, which variable is the answer, and the same in Python."""

    name: str
    tokens: int  # how many token ids there are; 0 is the start of every input
    length: int  # positions, the start among them
    variables: Mapping[str, int]  # further ones, with how many values each has
    layers: tuple[tuple[Step, ...], ...]
    answer: str
    draw: Callable[[np.random.Generator], list[int]]  # one input, start included
    run: Callable[[list[int]], list[int]]  # the answer at every position; -1 where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A network that computes a program, and the circuit that does: names of its components and of its edges."""

    network: Stack
    program: Program
    nodes: frozenset[str]
    edges: frozenset[tuple[str, str]]  # (from, to); a head is written into at .q, .k and .v


class _Attention(nn.Module):
    def __init__(self, D: int, H: int, K: int, *, causal: bool, scale: float) -> None:
        super().__init__()
        self.heads, self.causal, self.scale = H, causal, scale
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(D, H * K, bias=False) for _ in range(3))
        self.o_proj = nn.Linear(H * K, D, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        q, k, v = (
            m(x_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2) for m in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed: Tensor = self.o_proj(self.mix(q, k, v).transpose(1, 2).flatten(2))
        return mixed

    def mix(self, q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor) -> Tensor:
        """Return the values that each query attends to, (B, H, T, K)."""
        return scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=self.causal, scale=self.scale)


class _MLP(nn.Module):
    def __init__(self, D: int, F: int) -> None:
        super().__init__()
        self.up_proj, self.down_proj = nn.Linear(D, F), nn.Linear(F, D, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.up_proj(x_BTD).relu())
        return out


class _Layer(nn.Module):
    def __init__(self, D: int, attention: _Attention, mlp: _MLP | None) -> None:
        super().__init__()
        self.input_layernorm, self.self_attn = nn.Identity(), attention
        self.post_attention_layernorm = nn.Identity()
        self.mlp = mlp if mlp is not None else _MLP(D, 1)
        if mlp is None:  # attention alone: an MLP that adds nothing keeps the taps the same
            for p in self.mlp.parameters():
                nn.init.zeros_(p).requires_grad_(False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD))
        out: Tensor = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return out


class Stack(nn.Module):
    """A plain transformer without norms, in the parts that taps look for in a Llama: heads of any sharpness, MLPs of ReLUs."""

    def __init__(
        self,
        *,
        tokens: int,
        length: int,
        width: int,
        outputs: int,
        heads: int,
        head_width: int,
        neurons: tuple[int, ...],
        causal: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        L, D = len(neurons), width
        self.config = SimpleNamespace(num_hidden_layers=L, num_attention_heads=heads, num_key_value_heads=heads)
        self.embed_tokens, self.positions = nn.Embedding(tokens, D), nn.Parameter(torch.zeros(length, D))
        nn.init.normal_(self.positions, std=D**-0.5)
        nn.init.normal_(self.embed_tokens.weight, std=D**-0.5)
        self.layers = nn.ModuleList(
            _Layer(D, _Attention(D, heads, head_width, causal=causal, scale=scale), _MLP(D, F) if F else None)
            for F in neurons
        )
        self.norm, self.lm_head = nn.Identity(), nn.Linear(D, outputs, bias=False)

    @property
    def base_model(self) -> Stack:
        """Return itself: there is no wrapper."""
        return self

    @property
    def device(self) -> torch.device:
        """Say where the weights lie."""
        return self.positions.device

    def get_output_embeddings(self) -> nn.Module:
        """Return the matrix to the outputs."""
        return self.lm_head

    def forward(self, input_ids: Int[Tensor, "B T"], **_: Any) -> SimpleNamespace:
        """Compute the logits (B, T, O)."""
        x_BTD = self.embed_tokens(input_ids) + self.positions[: input_ids.shape[1]]
        for layer in self.layers:
            x_BTD = layer(x_BTD)
        return SimpleNamespace(logits=self.lm_head(self.norm(x_BTD)))


def compile_program(
    program: Program, *, seed: int, sharpness: float = SOFT, heads: int = 4, leak: float = 0.0
) -> Compiled:
    """Turn a program into weights, with each step in a head that a seed picks, beside random heads and MLPs.

    Args:
        program: What is computed.
        seed: Of where heads stand, of the basis and of the weights that matter to nothing.
        sharpness: `HARD` or `SOFT`, or anything between.
        heads: In every layer; those that the program does not need are random.
        leak: How strongly the read-out sees what random heads and MLPs write: then these have small effects that are real.
    """
    rng = np.random.default_rng(seed)
    sizes = {"token": program.tokens, "position": program.length, "start": 1, "one": 1, **program.variables}
    edges_D = np.cumsum([0, *sizes.values(), SCRATCH])
    at = {
        name: slice(int(a), int(b)) for name, a, b in zip([*sizes, "scratch"], edges_D[:-1], edges_D[1:], strict=True)
    }
    D, K = int(edges_D[-1]), max(_score_width(s, sizes) for layer in program.layers for s in layer)
    mlps = [next((s for s in layer if not isinstance(s, Attend)), None) for layer in program.layers]
    parts = [_random_mlp(rng, D, at) if s is None else _neurons(s, sizes, at, D) for s in mlps]
    network = Stack(
        tokens=program.tokens,
        length=program.length,
        width=D,
        outputs=sizes[program.answer],
        heads=heads,
        head_width=K,
        neurons=tuple(len(p.bias_F) for p in parts),
    )
    turn_DD = np.linalg.qr(rng.normal(size=(D, D)))[0]
    writers: dict[str, list[str]] = {"token": [EMBED]}
    nodes: set[str] = set()
    edges: set[tuple[str, str]] = set()
    for i, (layer, part) in enumerate(zip(program.layers, parts, strict=True)):
        spots = rng.permutation(heads)
        weights = [_random_head(rng, D, K, at) for _ in range(heads)]
        for spot, step in zip(spots, [s for s in layer if isinstance(s, Attend)], strict=False):
            weights[spot] = _head(step, sizes, at, D, K, sharpness)
            name = f"L{i}.H{spot}"
            nodes.add(name)
            for q, k, _ in step.scores:
                edges |= {(w, f"{name}.{port}") for v, port in ((q, "q"), (k, "k")) for w in writers.get(v, [])}
            edges |= {(w, f"{name}.v") for w in writers.get(step.value, [])}
            writers[step.out] = [name]
        _fill(network.layers[i], weights, part, turn_DD)
        mlp = mlps[i]
        if mlp is not None:
            nodes.add(f"L{i}.mlp")
            edges |= {(w, f"L{i}.mlp") for v in _read(mlp) for w in writers.get(v, [])}
            writers[mlp.out] = [f"L{i}.mlp"]
    edges |= {(w, OUT) for w in writers[program.answer]}
    _embed(network, sizes, at, turn_DD)
    read_OD = np.zeros((sizes[program.answer], D))
    read_OD[:, at[program.answer]] = LOGIT * np.eye(sizes[program.answer])
    read_OD[:, at["scratch"]] = leak * rng.normal(size=(len(read_OD), SCRATCH))
    _put(network.lm_head.weight, read_OD @ turn_DD.T)
    return Compiled(
        network=network.requires_grad_(False), program=program, nodes=frozenset(nodes), edges=frozenset(edges)
    )


def _put(weight: Tensor, values: np.ndarray) -> None:
    with torch.no_grad():
        weight.copy_(torch.from_numpy(np.asarray(values, np.float64)))


def _fill(layer: Any, heads: Sequence[tuple[np.ndarray, ...]], mlp: _Neurons, turn_DD: np.ndarray) -> None:
    """Write the weights of all heads (queries, keys, values, output) and of the MLP into a layer, in the turned basis."""
    for i, key in enumerate("qkv"):
        _put(getattr(layer.self_attn, f"{key}_proj").weight, np.concatenate([h[i] for h in heads]) @ turn_DD.T)
    _put(layer.self_attn.o_proj.weight, turn_DD @ np.concatenate([h[3] for h in heads], axis=1))
    _put(layer.mlp.up_proj.weight, mlp.in_FD @ turn_DD.T)
    _put(layer.mlp.up_proj.bias, mlp.bias_F)
    _put(layer.mlp.down_proj.weight, turn_DD @ mlp.out_DF)


def _embed(network: Stack, sizes: Mapping[str, int], at: Mapping[str, slice], turn_DD: np.ndarray) -> None:
    token_VD, place_TD = (np.zeros((sizes[v], len(turn_DD))) for v in ("token", "position"))
    token_VD[:, at["token"]], place_TD[:, at["position"]] = np.eye(len(token_VD)), np.eye(len(place_TD))
    token_VD[0, at["start"]], place_TD[:, at["one"]] = 1.0, 1.0
    _put(network.embed_tokens.weight, token_VD @ turn_DD.T)
    _put(network.positions, place_TD @ turn_DD.T)


def _read(step: Table | Bucket) -> tuple[str, ...]:
    return step.reads if isinstance(step, Table) else (*(v for v, _ in step.number), step.gate)


def _score_width(step: Step, sizes: Mapping[str, int]) -> int:
    return max(sizes[step.value], sum(sizes[k] for _, k, _ in step.scores)) if isinstance(step, Attend) else 1


def _head(
    step: Attend, sizes: Mapping[str, int], at: Mapping[str, slice], D: int, K: int, sharpness: float
) -> tuple[np.ndarray, ...]:
    """Weights of queries, keys and values (K, D), and of the output (D, K)."""
    q, k, v, o = (np.zeros((K, D)) for _ in range(4))
    row = 0
    for query, key, matrix in step.scores:
        q[row : row + sizes[key], at[query]] = sharpness * matrix.T
        k[row : row + sizes[key], at[key]] = np.eye(sizes[key])
        row += sizes[key]
    n = sizes[step.value]
    v[:n, at[step.value]], o[:n, at[step.out]] = np.eye(n), np.eye(n, sizes[step.out])
    return q, k, v, o.T


def _random_head(rng: np.random.Generator, D: int, K: int, at: Mapping[str, slice]) -> tuple[np.ndarray, ...]:
    q, k, v = rng.normal(size=(3, K, D)) / np.sqrt(K)
    o_DK = np.zeros((D, K))
    o_DK[at["scratch"]] = rng.normal(size=(SCRATCH, K)) / np.sqrt(K)
    return q, k, v, o_DK


@dataclass(frozen=True, slots=True, kw_only=True)
class _Neurons:
    in_FD: Float[np.ndarray, "F D"]
    bias_F: Float[np.ndarray, " F"]
    out_DF: Float[np.ndarray, "D F"]


def _random_mlp(rng: np.random.Generator, D: int, at: Mapping[str, slice], F: int = 32) -> _Neurons:
    out_DF = np.zeros((D, F))
    out_DF[at["scratch"]] = rng.normal(size=(SCRATCH, F)) / np.sqrt(F)
    return _Neurons(in_FD=rng.normal(size=(F, D)), bias_F=rng.normal(size=F), out_DF=out_DF)


def _neurons(step: Table | Bucket, sizes: Mapping[str, int], at: Mapping[str, slice], D: int) -> _Neurons:
    rows: list[tuple[np.ndarray, float, dict[int, float]]] = []  # what a neuron reads, its bias, class -> what it adds
    if isinstance(step, Table):
        for values in np.ndindex(*(sizes[v] for v in step.reads)):
            read_D = np.zeros(D)
            read_D[[at[v].start + i for v, i in zip(step.reads, values, strict=True)]] = 1.0
            rows.append((read_D, 1.0 - len(values), {step.function(*values): 1.0}))
    else:
        number_D = np.zeros(D)
        for v, weights in step.number:
            number_D[at[v]] += weights
        for g in range(sizes[step.gate]):
            gate_D = np.zeros(D)
            gate_D[at[step.gate].start + g] = 1.0
            rows += _hats(number_D, gate_D, step.centres(g))
    out_DF = np.zeros((D, len(rows)))
    for f, (_, _, adds) in enumerate(rows):
        for c, a in adds.items():
            out_DF[at[step.out].start + c, f] += a
    return _Neurons(in_FD=np.stack([r[0] for r in rows]), bias_F=np.array([r[1] for r in rows]), out_DF=out_DF)


def _hats(
    number_D: np.ndarray, gate_D: np.ndarray, centres: Mapping[float, int]
) -> list[tuple[np.ndarray, float, dict[int, float]]]:
    """Neurons that put 1 into the class at its centre, and straight lines between centres; all are shut without the gate."""
    points = sorted(centres)
    if not points:
        return []
    rows: list[tuple[np.ndarray, float, dict[int, float]]] = [(gate_D, 0.0, {centres[points[0]]: 1.0})]
    for low, high in itertools.pairwise(points):  # between two centres one class falls as the other rises
        width, falls, rises = high - low, centres[low], centres[high]
        for start, sign in ((low, 1.0), (high, -1.0)):
            read_D = number_D / width + GATE * gate_D
            rows.append((read_D, -start / width - GATE, {falls: -sign, rises: sign} if falls != rises else {}))
    return rows
