"""One functional decoder for the Llama, Mistral, Qwen, Gemma 3, GPT-2 and GPT-NeoX shapes.

The same functions serve the sampler (one new token per row, keys and values from a cache), the scorer and the trainer
(whole sequences, with gradients), so that the log-probs of a rollout and those of the update come from one forward.
Tokens travel flat as (N, D): N = B * T for whole sequences, N = B for one decoding step.

Shape suffixes: B batch, T tokens, N flat tokens, D width, V vocabulary, H heads, K width of one head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Activation: TypeAlias = Callable[[Tensor], Tensor]
Attend: TypeAlias = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # layer index, q, k, v -> mixed values (N, H*K)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A matrix laid out (in, out), with its bias."""

    weight: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A normalisation. An RMS norm's gain is folded into the matrix behind it, so it holds only its floor."""

    floor: Tensor  # epsilon times the width, a scalar
    eps: float
    weight: Tensor | None = None  # a layer norm has one
    bias: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One decoder layer. Gains already contain the square root of the normalised width."""

    norm: Norm
    qkv: Linear  # queries scaled for attention; in queries and keys the two dimensions of a rotary pair are neighbours
    head_gain: Tensor | None  # (H of queries and keys, K): RMS norm of each head
    head_floor: Tensor
    out: Linear
    out_gain: Tensor | None  # (D,): RMS norm of the attention's output
    mlp_norm: Norm
    gate: Linear | None
    up: Linear
    down: Linear
    down_gain: Tensor | None
    act: Activation
    parallel: bool  # attention and MLP read the same residual stream
    rope: int  # index into the decoder's tables; -1 without rotary positions
    window: int  # how many tokens back a query sees, itself included; 0 for all


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """Everything that a forward reads, in the layout in which it is read."""

    embed_VD: Tensor
    positions_TD: Tensor | None  # learned positions
    tables: tuple[Tensor, ...]  # complex rotations, (T, K / 2) each
    layers: tuple[Layer, ...]
    norm: Norm
    head: Linear
    heads: int
    kv_heads: int
    head_width: int


def linear(x_ND: Tensor, matrix: Linear) -> Tensor:
    """Multiply by a matrix and add its bias."""
    if matrix.bias is None:
        return torch.mm(x_ND, matrix.weight)
    return torch.addmm(matrix.bias, x_ND, matrix.weight)


def _unit(x: Tensor, floor: Tensor) -> Tensor:
    """Divide by the length of the last axis (RMS norm without its gain and the square root of the width)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * torch.addcmul(floor, length, length).rsqrt()


def normalise(x_ND: Tensor, norm: Norm) -> Tensor:
    """Apply a layer norm, or an RMS norm whose gain sits in the next matrix."""
    if norm.weight is None:
        return _unit(x_ND, norm.floor)
    return F.layer_norm(x_ND, (x_ND.shape[-1],), norm.weight, norm.bias, norm.eps)


def rotate(x_NHK: Tensor, turn: Tensor) -> Tensor:
    """Rotate neighbouring pairs of dimensions: one complex product with `turn`, (N or 1, 1, K / 2)."""
    N, heads, width = x_NHK.shape
    pairs = torch.view_as_complex(x_NHK.view(N, heads, width // 2, 2))
    return torch.view_as_real(pairs * turn).view(N, heads, width)


def _add(x_ND: Tensor, y_NF: Tensor, matrix: Linear, gain: Tensor | None, floor: Tensor) -> Tensor:
    """Add y @ matrix to the residual stream, through an RMS norm where there is one."""
    if gain is not None:
        return torch.addcmul(x_ND, _unit(linear(y_NF, matrix), floor), gain)
    x_ND = x_ND if matrix.bias is None else x_ND + matrix.bias
    return torch.addmm(x_ND, y_NF, matrix.weight)


def _layer(decoder: Decoder, index: int, x_ND: Tensor, turns: Sequence[Tensor], attend: Attend) -> Tensor:
    layer, width, heads = decoder.layers[index], decoder.head_width, decoder.heads
    floor, both = layer.norm.floor, heads + decoder.kv_heads
    qkv = linear(normalise(x_ND, layer.norm), layer.qkv).view(-1, both + decoder.kv_heads, width)
    qk = qkv[:, :both]
    if layer.head_gain is not None:
        qk = _unit(qk, layer.head_floor) * layer.head_gain
    if layer.rope >= 0:
        qk = rotate(qk, turns[layer.rope])
    mixed_ND = attend(index, qk[:, :heads], qk[:, heads:], qkv[:, both:])
    after_ND = _add(x_ND, mixed_ND, layer.out, layer.out_gain, floor)
    h_ND = normalise(x_ND if layer.parallel else after_ND, layer.mlp_norm)
    up_NF = linear(h_ND, layer.up)
    up_NF = layer.act(up_NF) if layer.gate is None else layer.act(linear(h_ND, layer.gate)) * up_NF
    return _add(after_ND, up_NF, layer.down, layer.down_gain, floor)


def run(
    decoder: Decoder, tokens_N: Tensor, *, turns: Sequence[Tensor], place_ND: Tensor | None, attend: Attend
) -> Tensor:
    """Carry flat tokens through every layer.

    Args:
        decoder: The weights.
        tokens_N: Token ids.
        turns: For each of the decoder's tables, the rotation of each token, (N or 1, 1, K / 2).
        place_ND: Learned position embedding of each token, (N or 1, D), where the decoder has them.
        attend: How queries meet keys: over the sequence, or over a cache.

    Returns:
        The residual stream after the last layer, (N, D), before the final norm.
    """
    x_ND = F.embedding(tokens_N, decoder.embed_VD)
    if place_ND is not None:
        x_ND = x_ND + place_ND
    for index in range(len(decoder.layers)):
        x_ND = _layer(decoder, index, x_ND, turns, attend)
    return x_ND


def read_out(decoder: Decoder, x_ND: Tensor) -> Tensor:
    """Turn the residual stream into logits, (N, V)."""
    return linear(normalise(x_ND, decoder.norm), decoder.head)


def over_sequences(decoder: Decoder, B: int, T: int, keep: list[tuple[Tensor, Tensor]] | None = None) -> Attend:
    """Causal attention within B sequences of T tokens; padding goes to the right, where no earlier token sees it.

    Args:
        decoder: The weights that attention serves.
        B: Sequences.
        T: Tokens in each, padding included.
        keep: If given, gains the keys and values (B, H, T, K) of every layer, as a cache wants them.

    Returns:
        The attention for `run`.
    """
    back_TT: dict[int, Tensor] = {}

    def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (a.unflatten(0, (B, T)).transpose(1, 2) for a in (q, k, v))
        if keep is not None:
            keep.append((k, v))
        window = decoder.layers[index].window
        mask = None
        if 0 < window < T:
            if window not in back_TT:
                steps = torch.arange(T, device=q.device)
                distance_TT = steps[:, None] - steps[None, :]
                back_TT[window] = (distance_TT >= 0) & (distance_TT < window)
            mask = back_TT[window]
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=1.0, enable_gqa=decoder.heads != decoder.kv_heads
        )
        return mixed.transpose(1, 2).reshape(B * T, -1)

    return attend


def stream(decoder: Decoder, tokens_BT: Tensor, *, keep: list[tuple[Tensor, Tensor]] | None = None) -> Tensor:
    """Carry whole right-padded sequences through the layers: the residual stream (B * T, D) before the final norm."""
    B, T = tokens_BT.shape
    turns = [table[:T].repeat(B, 1).unsqueeze(1) for table in decoder.tables]
    place_ND = None if decoder.positions_TD is None else decoder.positions_TD[:T].repeat(B, 1)
    attend = over_sequences(decoder, B, T, keep)
    return run(decoder, tokens_BT.reshape(-1), turns=turns, place_ND=place_ND, attend=attend)
