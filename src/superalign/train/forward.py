"""The forward of the policy-gradient update: many responses to few prompts, each prompt computed once.

Rollouts of one problem share their prompt, so its keys and values are computed once and read by all of them, and the
last token of a response, which predicts nothing, is left out. For short sequences attention is two batched products and
a softmax: on a CPU that is twice as fast, backward included, as the fused kernel, while a chunk stays in the cache.

Shape suffixes: U distinct prompts, B responses, T tokens, S tokens that may be looked at, H heads, K width of one head,
N response tokens of all responses, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from superalign.models import decoder as D
from superalign.models import pad, weights

LONG = 256  # tokens from which the fused kernel is the better one


def _mix(q_BTHK: Tensor, k_BSHK: Tensor, v_BSHK: Tensor, bias_BTS: Tensor) -> Tensor:
    """Attention with an additive bias, (B, T, H, K)."""
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


def _bias(query_BT: Tensor, key_BS: Tensor, valid_BS: Tensor, window: int) -> Tensor:
    """0 where a query may look at a key, minus infinity elsewhere; both are given by their positions."""
    distance_BTS = query_BT[:, :, None] - key_BS[:, None, :]
    seen = (distance_BTS >= 0) & valid_BS[:, None, :]
    if window:
        seen &= distance_BTS < window
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -torch.inf)


def _shared(decoder: D.Decoder, size_U: Tensor, of_B: Tensor, Tp: int, Tr: int) -> D.Attend:
    """Attention over prompts and, for each response, over its prompt and itself."""
    U, B, device = len(size_U), len(of_B), size_U.device
    at_UT = torch.arange(Tp, device=device).expand(U, Tp)
    at_BT = size_U[of_B, None] + torch.arange(Tr, device=device)
    key_BS, everywhere = torch.cat([at_UT[of_B], at_BT], dim=1), torch.ones(B, Tr, dtype=torch.bool, device=device)
    valid_BS = torch.cat([at_UT[of_B] < size_U[of_B, None], everywhere], dim=1)
    made: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        window = decoder.layers[index].window
        if window not in made:
            own_UTS = _bias(at_UT, at_UT, torch.ones_like(at_UT, dtype=torch.bool), window)
            made[window] = (own_UTS, _bias(at_BT, key_BS, valid_BS, window))
        cut = U * Tp
        (qp, kp, vp), (qr, kr, vr) = (
            [a[some].view(n, T, a.shape[1], decoder.head_width) for a in (q, k, v)]
            for some, n, T in ((slice(0, cut), U, Tp), (slice(cut, None), B, Tr))
        )
        prompts = _mix(qp, kp, vp, made[window][0]).reshape(cut, -1)
        kr, vr = (torch.cat([a[of_B], b], dim=1) for a, b in ((kp, kr), (vp, vr)))
        return torch.cat([prompts, _mix(qr, kr, vr, made[window][1]).reshape(B * Tr, prompts.shape[1])])

    return attend


def response_logits(
    network: Any, prompts: Sequence[np.ndarray], responses: Sequence[np.ndarray], *, of_B: np.ndarray
) -> Tensor:
    """Compute the logits that predict every token of every response, with gradients where they are enabled.

    Args:
        network: `model.network`; one without a decoder of ours runs its own forward.
        prompts: Token ids of the distinct prompts.
        responses: Token ids of each response, at least one token each.
        of_B: Which prompt each response answers.

    Returns:
        Logits (N, V), response by response.
    """
    device = next(network.parameters()).device
    length_B = np.array([len(r) for r in responses])
    row_N = np.repeat(np.arange(len(responses)), length_B)
    t_N = np.concatenate([np.arange(n) for n in length_B])
    if not weights.supported(network):
        joined_BT, whole_B = pad([np.concatenate([prompts[u], r]) for u, r in zip(of_B, responses, strict=True)])
        # Padding stands to the right, where no causal network looks.
        logits_BTV = network(input_ids=torch.from_numpy(joined_BT).to(device), use_cache=False).logits
        return logits_BTV[row_N, (whole_B - length_B)[row_N] + t_N - 1].float()
    prompt_UT, size_U = pad(prompts)
    response_BT, _ = pad([r[:-1] for r in responses])
    (U, Tp), Tr = prompt_UT.shape, response_BT.shape[1]
    position_N = np.concatenate([np.tile(np.arange(Tp), U), (size_U[of_B][:, None] + np.arange(Tr)).ravel()])
    before_N = np.where(t_N == 0, of_B[row_N] * Tp + size_U[of_B[row_N]] - 1, U * Tp + row_N * Tr + t_N - 1)
    tokens_N = np.concatenate([prompt_UT.ravel(), response_BT.ravel()])
    tokens, position, before, size, of = (
        torch.from_numpy(a.astype(np.int64)).to(device) for a in (tokens_N, position_N, before_N, size_U, of_B)
    )
    read = weights.read(network, length=int(position_N.max()) + 1, live=torch.is_grad_enabled())
    turns = [table[position].unsqueeze(1) for table in read.tables]
    place_ND = None if read.positions_TD is None else read.positions_TD[position]
    x_ND = D.run(read, tokens, turns=turns, place_ND=place_ND, attend=_shared(read, size, of, Tp, Tr))
    return D.read_out(read, x_ND[before])
