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
from torch.utils.checkpoint import checkpoint

LONG = 256  # tokens from which the fused attention kernel is the better one
TABLE = 30 << 20  # bytes of logits at a time: less than what the C library maps afresh for every block
KEPT = 1 << 28  # bytes that layers may keep for their gradients before later ones are computed again
COSTLY = 10_000_000  # weights that a token meets from which sparing tokens is worth another call
SPARED = 32  # tokens that are worth another call
Activation: TypeAlias = Callable[[Tensor], Tensor]
Attend: TypeAlias = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # layer index, q, k, v -> mixed values (N, H*K)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A matrix laid out (in, out), with its bias, and an update of low rank that is left apart."""

    weight: Tensor
    bias: Tensor | None = None
    low: tuple[Tensor, Tensor] | None = None  # (in, rank) and (rank, out)


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
    if matrix.low is not None:
        down, up = matrix.low
        product = linear(x_ND, Linear(weight=matrix.weight, bias=matrix.bias))
        return torch.addmm(product, torch.mm(x_ND, down), up)
    if matrix.weight.dtype == torch.bfloat16:
        in_half = torch.mm(x_ND.to(torch.bfloat16), matrix.weight).float()
        return in_half if matrix.bias is None else in_half + matrix.bias
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
        unit: Tensor = _Unit.apply(x, floor)
        return unit
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
    if matrix.weight.dtype == torch.bfloat16 or matrix.low is not None:
        return x_ND + linear(y_NF, matrix)
    x_ND = x_ND if matrix.bias is None else x_ND + matrix.bias
    return torch.addmm(x_ND, y_NF, matrix.weight)


def _layer(
    decoder: Decoder, index: int, x_ND: Tensor, turns: Sequence[Tensor], attend: Attend, at_M: Tensor | None
) -> Tensor:
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
    if at_M is not None:
        x_ND, mixed_ND = x_ND[at_M], mixed_ND[at_M]
    after_ND = _add(x_ND, mixed_ND, layer.out, layer.out_gain, floor)
    h_ND = normalise(x_ND if layer.parallel else after_ND, layer.mlp_norm)
    up_NF = linear(h_ND, layer.up)
    if layer.gate is None:
        up_NF = layer.act(up_NF)
    elif torch.is_grad_enabled():
        up_NF = layer.act(linear(h_ND, layer.gate)) * up_NF
    else:  # in place: of many tokens at once, fresh memory would cost more than the product
        up_NF = layer.act(linear(h_ND, layer.gate)).mul_(up_NF)
    return _add(after_ND, up_NF, layer.down, layer.down_gain, floor)


def _kept(decoder: Decoder, tokens: int) -> int:
    """How many layers may keep what their gradients need within KEPT bytes."""
    layer = decoder.layers[0]
    return KEPT // max(1, 4 * tokens * (12 * layer.qkv.weight.shape[0] + 4 * layer.up.weight.shape[1]))


def run(
    decoder: Decoder,
    tokens_N: Tensor,
    *,
    turns: Sequence[Tensor],
    place_ND: Tensor | None,
    attend: Attend,
    spare: bool = False,
    at_M: Tensor | None = None,
) -> Tensor:
    """Carry flat tokens through every layer.

    Args:
        decoder: The weights.
        tokens_N: Token ids.
        turns: For each of the decoder's tables, the rotation of each token, (N or 1, 1, K / 2).
        place_ND: Learned position embedding of each token, (N or 1, D), where the decoder has them.
        attend: How queries meet keys: over the sequence, or over a cache.
        spare: On the way back compute those layers again whose intermediate values would take more than KEPT bytes.
        at_M: The places that are asked for, if not all: behind the last attention only these are computed.

    Returns:
        The residual stream after the last layer, (N, D), or (M, D), before the final norm.
    """
    x_ND = F.embedding(tokens_N, decoder.embed_VD).float()
    if place_ND is not None:
        x_ND = x_ND + place_ND
    kept = _kept(decoder, len(x_ND)) if spare else len(decoder.layers)
    for index in range(len(decoder.layers)):
        at = at_M if index + 1 == len(decoder.layers) else None
        if kept > 0 or not x_ND.requires_grad:  # below the first layer that is trained nothing is kept for a gradient
            x_ND = _layer(decoder, index, x_ND, turns, attend, at)
            kept -= x_ND.requires_grad
        else:
            again: Any = checkpoint
            x_ND = again(_layer, decoder, index, x_ND, turns, attend, at, use_reentrant=False, preserve_rng_state=False)
    return x_ND


def read_out(decoder: Decoder, x_ND: Tensor) -> Tensor:
    """Turn the residual stream into logits, (N, V)."""
    return linear(normalise(x_ND, decoder.norm), decoder.head)


class _Chosen(torch.autograd.Function):
    """Log-probs of one token a place, the table of logits held for a few places at a time.

    The gradient of a place is, but for one factor, known when its logits are: it is worked out with them, so that the way
    back needs neither the table nor a second product. Only a matrix that is trained itself asks for the table again.
    """

    @staticmethod
    def forward(ctx: Any, h_ND: Tensor, weight_DV: Tensor, bias_V: Tensor | None, token_N: Tensor) -> Tensor:
        """Keep the gradient (N, D) of each place's log-prob."""
        head, wanted = Linear(weight=weight_DV, bias=bias_V), ctx.needs_input_grad[0]
        slope_ND = torch.empty_like(h_ND) if wanted else None
        logprob_N = h_ND.new_empty(len(h_ND), dtype=torch.float32)
        for some in _places(len(h_ND), weight_DV.shape[1]):
            logits_KV = linear(h_ND[some], head).float()
            token_K1 = token_N[some].unsqueeze(1)
            total_K1 = torch.logsumexp(logits_KV, dim=1, keepdim=True)
            logprob_N[some] = (logits_KV.gather(1, token_K1) - total_K1).squeeze(1)
            if slope_ND is not None:
                share_KV = logits_KV.sub_(total_K1).exp_().neg_()
                share_KV.scatter_add_(1, token_K1, torch.ones_like(total_K1))
                slope_ND[some] = torch.mm(share_KV.to(weight_DV.dtype), weight_DV.t()).to(h_ND.dtype)
        ctx.save_for_backward(h_ND, weight_DV, bias_V, token_N, slope_ND)
        return logprob_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        """Scale the gradients that were kept; for a trained matrix, compute the shares again."""
        h_ND, weight_DV, bias_V, token_N, slope_ND = ctx.saved_tensors
        grad_N1 = grads[0].unsqueeze(1)
        grad_ND = None if slope_ND is None else slope_ND * grad_N1
        if not (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
            return grad_ND, None, None, None
        grad_DV, grad_V = torch.zeros_like(weight_DV), None if bias_V is None else torch.zeros_like(bias_V)
        for some in _places(len(h_ND), weight_DV.shape[1]):
            logits_KV = linear(h_ND[some], Linear(weight=weight_DV, bias=bias_V))
            share_KV = torch.softmax(logits_KV, dim=1).mul_(-grad_N1[some])
            share_KV.scatter_add_(1, token_N[some].unsqueeze(1), grad_N1[some])
            grad_DV.addmm_(h_ND[some].t(), share_KV)
            if grad_V is not None:
                grad_V += share_KV.sum(0)
        return grad_ND, grad_DV, grad_V, None


def _places(count: int, vocabulary: int) -> list[slice]:
    """The places in runs whose logits fit into TABLE."""
    size = max(1, TABLE // (4 * vocabulary))
    return [slice(first, first + size) for first in range(0, count, size)]


def chosen(decoder: Decoder, x_ND: Tensor, token_N: Tensor) -> Tensor:
    """Turn the residual stream into the log-prob of one token at each place, (N,), without a table of all logits."""
    if len(_places(len(x_ND), decoder.head.weight.shape[1])) <= 1:
        return torch.log_softmax(read_out(decoder, x_ND), dim=-1).gather(1, token_N.unsqueeze(1)).squeeze(1)
    head = decoder.head
    logprob_N: Tensor = _Chosen.apply(normalise(x_ND, decoder.norm), head.weight, head.bias, token_N)
    return logprob_N


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The first tokens of several sequences, which begin alike, after one pass."""

    x_SD: Tensor  # the residual stream after the last layer
    past: tuple[tuple[Tensor, Tensor], ...]  # keys and values of each layer, (1, H, S, K)


def costly(decoder: Decoder) -> bool:
    """Say whether a token meets so many weights that looking for tokens to spare is worth it."""
    layer = decoder.layers[0]
    return len(decoder.layers) * (layer.qkv.weight.numel() + 3 * layer.up.weight.numel()) >= COSTLY


def open_prefix(decoder: Decoder, tokens_S: Tensor, *, rows: int) -> Prefix | None:
    """Read what several sequences begin with once, where that spares enough tokens of a network that is not small.

    Args:
        decoder: The weights.
        tokens_S: What all of them begin with; each goes on by at least one token.
        rows: How many sequences.
    """
    if len(tokens_S) * (rows - 1) < SPARED or not costly(decoder):
        return None
    kept: list[tuple[Tensor, Tensor]] = []
    x_SD = stream(decoder, tokens_S[None], keep=kept)
    return Prefix(x_SD=x_SD, past=tuple(kept))


def _prefix_of(decoder: Decoder, tokens_BT: Tensor) -> Prefix | None:
    """The same for padded sequences: where all have one token, all have the same past."""
    if len(tokens_BT) == 1 or not costly(decoder):
        return None
    alike_T = (tokens_BT == tokens_BT[:1]).all(dim=0).long().cumprod(dim=0)
    size = min(int(alike_T.sum()), tokens_BT.shape[1] - 1)
    return open_prefix(decoder, tokens_BT[0, :size], rows=len(tokens_BT))


def over_sequences(
    decoder: Decoder, B: int, T: int, keep: list[tuple[Tensor, Tensor]] | None = None, prefix: Prefix | None = None
) -> Attend:
    """Causal attention within B sequences of T tokens; padding goes to the right, where no earlier token sees it.

    Args:
        decoder: The weights that attention serves.
        B: Sequences.
        T: Tokens in each, padding included and the prefix not.
        keep: If given, gains the keys and values (B, H, T, K) of every layer, as a cache wants them.
        prefix: What stands before each.

    Returns:
        The attention for `run`.
    """
    bias_BTS: dict[int, Tensor] = {}
    S = 0 if prefix is None else len(prefix.x_SD)

    def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (a.unflatten(0, (B, T)) for a in (q, k, v))
        if prefix is not None:
            k, v = (
                torch.cat([old.transpose(1, 2).expand(B, -1, -1, -1), new], dim=1)
                for old, new in zip(prefix.past[index], (k, v), strict=True)
            )
        if keep is not None:
            keep.append((k.transpose(1, 2), v.transpose(1, 2)))
        window = decoder.layers[index].window
        if window not in bias_BTS:
            at_1T = torch.arange(S + T, device=q.device)[None]
            bias_BTS[window] = look_back(at_1T[:, S:], at_1T, torch.ones_like(at_1T, dtype=torch.bool), window)
        return mix(q, k, v, bias_BTS[window]).reshape(B * T, -1)

    return attend


def stream(
    decoder: Decoder,
    tokens_BT: Tensor,
    *,
    keep: list[tuple[Tensor, Tensor]] | None = None,
    prefix: Prefix | None = None,
    at_M: Tensor | None = None,
) -> Tensor:
    """Carry whole right-padded sequences through the layers: the residual stream (B * T, D) before the final norm.

    Args:
        decoder: The weights.
        tokens_BT: Token ids.
        keep: See `over_sequences`.
        prefix: What is known of the first tokens already. Without it, what all sequences begin with is read once.
        at_M: The places of B * T that are asked for, if not all: (M, D) is returned.
    """
    B, T = tokens_BT.shape
    if prefix is None:
        prefix = _prefix_of(decoder, tokens_BT)
    S = 0 if prefix is None else len(prefix.x_SD)
    turns = [table[S:T].repeat(B, 1).unsqueeze(1) for table in decoder.tables]
    place_ND = None if decoder.positions_TD is None else decoder.positions_TD[S:T].repeat(B, 1)
    attend = over_sequences(decoder, B, T - S, keep, prefix)
    spare = keep is None and torch.is_grad_enabled()  # what is kept must be the values that were computed first
    how: dict[str, Any] = {"turns": turns, "place_ND": place_ND, "attend": attend, "spare": spare}
    if prefix is None:
        return run(decoder, tokens_BT.reshape(-1), **how, at_M=at_M)
    x_BTD = run(decoder, tokens_BT[:, S:].reshape(-1), **how).view(B, T - S, -1)
    whole_ND = torch.cat([prefix.x_SD.expand(B, -1, -1), x_BTD], dim=1).flatten(0, 1)
    return whole_ND if at_M is None else whole_ND[at_M]
