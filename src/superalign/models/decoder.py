"""One functional decoder for the Llama, Mistral, Qwen, Gemma 3, GPT-2 and GPT-NeoX shapes.

The same functions serve the sampler (one new token per row, keys and values from a cache), the scorer and the trainer
(whole sequences, with gradients), so that the log-probs of a rollout and those of the update come from one forward.
Tokens travel flat as (N, D): N = B * T for whole sequences, N = B for one decoding step.

Shape suffixes: B batch, T tokens, N flat tokens, D width, V vocabulary, H heads, K width of one head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

LONG = 256  # tokens from which the fused attention kernel is the better one
Activation: TypeAlias = Callable[[Tensor], Tensor]
Attend: TypeAlias = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # layer index, q, k, v -> mixed values (N, H*K)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A matrix laid out (in, out), with its bias."""

    weight: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A normalisation. An RMS norm's gain may be folded into the matrix behind it; it then holds only its floor."""

    floor: Tensor  # epsilon times the width, a scalar
    eps: float
    gain: Tensor | None = None  # of an RMS norm, where it is not folded
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
    """Multiply by a matrix and add its bias. With 16-bit weights the product alone is in 16 bits."""
    if matrix.weight.dtype == torch.bfloat16:
        made = torch.mm(x_ND.to(torch.bfloat16), matrix.weight).float()
        return made if matrix.bias is None else made + matrix.bias
    if matrix.bias is None:
        return torch.mm(x_ND, matrix.weight)
    return torch.addmm(matrix.bias, x_ND, matrix.weight)


class _Unit(torch.autograd.Function):
    """RMS norm with a written-out gradient: half the time of what autograd makes of its four operations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, floor: Tensor) -> Tensor:
        """Scale to unit length; kept for the way back are the result and the scale."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.addcmul(floor, length, length).rsqrt_()
        unit = x * scale
        ctx.save_for_backward(unit, scale)
        return unit

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Take out the part along the result, and scale."""
        unit, scale = ctx.saved_tensors
        along = torch.linalg.vecdot(grads[0], unit).unsqueeze(-1)
        return torch.addcmul(grads[0], unit, along, value=-1).mul_(scale), None


def _unit(x: Tensor, floor: Tensor) -> Tensor:
    """Divide by the length of the last axis (RMS norm without its gain and the square root of the width)."""
    if x.requires_grad:
        made: Tensor = _Unit.apply(x, floor)
        return made
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * torch.addcmul(floor, length, length).rsqrt_()


def normalise(x_ND: Tensor, norm: Norm) -> Tensor:
    """Apply a layer norm, or an RMS norm, whose gain may sit in the next matrix."""
    if norm.weight is None:
        unit_ND = _unit(x_ND, norm.floor)
        return unit_ND if norm.gain is None else unit_ND * norm.gain
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
    if matrix.weight.dtype == torch.bfloat16:
        return x_ND + linear(y_NF, matrix)
    x_ND = x_ND if matrix.bias is None else x_ND + matrix.bias
    return torch.addmm(x_ND, y_NF, matrix.weight)


def _layer(decoder: Decoder, index: int, x_ND: Tensor, turns: Sequence[Tensor], attend: Attend) -> Tensor:
    layer, width, heads = decoder.layers[index], decoder.head_width, decoder.heads
    floor, both = layer.norm.floor, heads + decoder.kv_heads
    qkv = linear(normalise(x_ND, layer.norm), layer.qkv).view(-1, both + decoder.kv_heads, width)
    qk, v = qkv.split([both, decoder.kv_heads], dim=1)  # the way back from a split is one copy, from slices it is four
    if layer.head_gain is not None:
        qk = _unit(qk, layer.head_floor) * layer.head_gain
    if layer.rope >= 0:
        qk = rotate(qk, turns[layer.rope])
    q, k = qk.split([heads, decoder.kv_heads], dim=1)
    mixed_ND = attend(index, q, k, v)
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
    x_ND = F.embedding(tokens_N, decoder.embed_VD).float()
    if place_ND is not None:
        x_ND = x_ND + place_ND
    for index in range(len(decoder.layers)):
        x_ND = _layer(decoder, index, x_ND, turns, attend)
    return x_ND


def read_out(decoder: Decoder, x_ND: Tensor) -> Tensor:
    """Turn the residual stream into logits, (N, V)."""
    return linear(normalise(x_ND, decoder.norm), decoder.head)


def mix(q_BTHK: Tensor, k_BSHK: Tensor, v_BSHK: Tensor, bias_BTS: Tensor) -> Tensor:
    """Attention with an additive bias, (B, T, H, K).

    For short sequences two batched products and a softmax are, on a CPU, twice as fast as the fused kernel, backward
    included, while a chunk stays in the cache.
    """
    B, T, H, K = q_BTHK.shape
    S, repeats = k_BSHK.shape[1], H // k_BSHK.shape[2]
    if repeats > 1:
        k_BSHK, v_BSHK = (a.repeat_interleave(repeats, dim=2) for a in (k_BSHK, v_BSHK))
    q, k, v = (a.transpose(1, 2) for a in (q_BTHK, k_BSHK, v_BSHK))
    if S >= LONG:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias_BTS[:, None], scale=1.0).transpose(1, 2)
    q, k, v = q.reshape(B * H, T, K), k.reshape(B * H, S, K), v.reshape(B * H, S, K)
    scores = torch.bmm(q, k.transpose(1, 2)).view(B, H, T, S) + bias_BTS[:, None]
    return torch.bmm(torch.softmax(scores, dim=-1).view(B * H, T, S), v).view(B, H, T, K).transpose(1, 2)


def look_back(query_BT: Tensor, key_BS: Tensor, valid_BS: Tensor, window: int) -> Tensor:
    """0 where a query may look at a key, minus infinity elsewhere; both are given by their positions."""
    distance_BTS = query_BT[:, :, None] - key_BS[:, None, :]
    seen = (distance_BTS >= 0) & valid_BS[:, None, :]
    if window:
        seen &= distance_BTS < window
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -torch.inf)


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
    bias_BTS: dict[int, Tensor] = {}

    def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (a.unflatten(0, (B, T)) for a in (q, k, v))
        if keep is not None:
            keep.append((k.transpose(1, 2), v.transpose(1, 2)))
        window = decoder.layers[index].window
        if window not in bias_BTS:
            at_1T = torch.arange(T, device=q.device)[None]
            bias_BTS[window] = look_back(at_1T, at_1T, torch.ones_like(at_1T, dtype=torch.bool), window)
        return mix(q, k, v, bias_BTS[window]).reshape(B * T, -1)

    return attend


def stream(decoder: Decoder, tokens_BT: Tensor, *, keep: list[tuple[Tensor, Tensor]] | None = None) -> Tensor:
    """Carry whole right-padded sequences through the layers: the residual stream (B * T, D) before the final norm."""
    B, T = tokens_BT.shape
    turns = [table[:T].repeat(B, 1).unsqueeze(1) for table in decoder.tables]
    place_ND = None if decoder.positions_TD is None else decoder.positions_TD[:T].repeat(B, 1)
    attend = over_sequences(decoder, B, T, keep)
    return run(decoder, tokens_BT.reshape(-1), turns=turns, place_ND=place_ND, attend=attend)
