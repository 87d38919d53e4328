"""The forward of the policy-gradient update: many responses to few prompts, each prompt computed once.

A step runs many small chunks of responses, which stay in a CPU's cache. What chunks have in common is computed once:
the weights as the decoder reads them, and the keys and values of the prompts. Both are leaves of the chunks' graphs;
when all chunks have run backward, what gathered in the leaves is carried on, once, to the parameters (`opened`). The
last token of a response, which predicts nothing, is left out.

Shape suffixes: U distinct prompts, B responses, T tokens, S tokens that may be looked at, H heads, K width of one head,
D width, N response tokens of all responses, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superalign.models import decoder as D
from superalign.models import pad, weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A network after it has read some prompts."""

    decoder: D.Decoder
    past: tuple[tuple[Tensor, Tensor], ...]  # keys and values of each layer, (U, H, T, K)
    last_UD: Tensor  # residual stream at the last token of each prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Some responses, and where their tokens stand in a flat forward."""

    prompts: Sequence[np.ndarray]
    responses: Sequence[np.ndarray]
    of_B: np.ndarray
    prompt_B: Tensor  # the same on the device
    size_B: Tensor  # tokens of each response's prompt
    tokens_BT: Tensor  # padded
    before_N: Tensor  # what predicts each response token: the prompt's end (first B places), or a token (those after)
    bias: dict[int, Tensor]  # for each attention window what a response token may look at, made when first needed


def lay_out(
    prompts: Sequence[np.ndarray], responses: Sequence[np.ndarray], *, of_B: np.ndarray, device: torch.device
) -> Layout:
    """Place the tokens of some responses for `response_logits`.

    Args:
        prompts: Token ids of the prompts that `opened` was given.
        responses: Token ids of each response, at least one token each.
        of_B: Which prompt each response answers.
        device: Where the forward runs.
    """
    tokens_BT, _ = pad([r[:-1] for r in responses])
    B, T = tokens_BT.shape
    length_B = np.array([len(r) for r in responses])
    row_N, t_N = np.repeat(np.arange(B), length_B), np.concatenate([np.arange(n) for n in length_B])
    before_N = np.where(t_N == 0, row_N, B + row_N * T + t_N - 1)
    size_B = np.array([len(prompts[u]) for u in of_B])
    prompt, size, tokens, before = (
        torch.from_numpy(a.astype(np.int64)).to(device) for a in (of_B, size_B, tokens_BT, before_N)
    )
    return Layout(
        prompts=prompts,
        responses=responses,
        of_B=of_B,
        prompt_B=prompt,
        size_B=size,
        tokens_BT=tokens,
        before_N=before,
        bias={},
    )


def _bias(layout: Layout, longest: int, at_BT: Tensor, window: int) -> Tensor:
    """What each response token may look at in its prompt, padded to `longest`, and in its response."""
    if window not in layout.bias:
        B = len(at_BT)
        # Kept for updates too, where a tensor of inference cannot be saved for backward.
        with torch.inference_mode(False):
            at_BS = torch.arange(longest, device=at_BT.device).expand(B, longest)
            valid_BS = torch.cat([at_BS < layout.size_B[:, None], torch.ones_like(at_BT, dtype=torch.bool)], dim=1)
            layout.bias[window] = D.look_back(at_BT, torch.cat([at_BS, at_BT], dim=1), valid_BS, window)
    return layout.bias[window]


def _attend(opened: Opened, layout: Layout, at_BT: Tensor) -> D.Attend:
    """Attention of each response over its prompt and itself."""
    B, T = at_BT.shape
    decoder, longest = opened.decoder, int(layout.size_B.max())

    def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        bias_BTS = _bias(layout, longest, at_BT, decoder.layers[index].window)
        # Joined as (B, H, S, K), the layout in which products read them.
        k, v = (
            torch.cat(
                [a[:, :, :longest].index_select(0, layout.prompt_B), b.unflatten(0, (B, T)).transpose(1, 2)], dim=2
            )
            for a, b in zip(opened.past[index], (k, v), strict=True)
        )
        mixed = D.mix(q.unflatten(0, (B, T)), k.transpose(1, 2), v.transpose(1, 2), bias_BTS)
        return mixed.flatten(2).flatten(0, 1)

    return attend


def _leaves(value: Any, leaves: list[tuple[Tensor, Tensor]]) -> Any:
    """Replace every tensor that was computed from parameters by a leaf with the same numbers."""
    if isinstance(value, Tensor):
        if value.grad_fn is None:
            return value
        leaf = value.detach().requires_grad_()
        leaves.append((value, leaf))
        return leaf
    if isinstance(value, tuple):
        return tuple(_leaves(part, leaves) for part in value)
    if isinstance(value, D.Decoder | D.Layer | D.Linear | D.Norm):
        parts = {f.name: _leaves(getattr(value, f.name), leaves) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    return value


def _carry(leaves: list[tuple[Tensor, Tensor]]) -> None:
    """Run backward from where leaves were cut off."""
    pulled = [(value, leaf.grad) for value, leaf in leaves if leaf.grad is not None]
    if pulled:
        torch.autograd.backward([value for value, _ in pulled], [grad for _, grad in pulled])


@contextmanager
def opened(network: Any, prompts: Sequence[np.ndarray], *, length: int) -> Iterator[Opened | None]:
    """Read a network's weights and some prompts once, for many forwards over responses.

    Where gradients are enabled, the parameters have theirs when the block has been left, not before.

    Args:
        network: `model.network`.
        prompts: Token ids of each.
        length: Positions that will be needed, those of the responses included.

    Yields:
        What `response_logits` takes; None for a network without a decoder of ours.
    """
    if not weights.supported(network):
        yield None
        return
    live = torch.is_grad_enabled()
    of_weights: list[tuple[Tensor, Tensor]] = []
    of_prompts: list[tuple[Tensor, Tensor]] = []
    decoder = _leaves(weights.read(network, length=length, live=live), of_weights)
    padded_UT, size_U = pad(prompts)
    tokens_UT, last_U = (
        torch.from_numpy(a.astype(np.int64)).to(decoder.embed_VD.device) for a in (padded_UT, size_U - 1)
    )
    kept: list[tuple[Tensor, Tensor]] = []
    x_UTD = D.stream(decoder, tokens_UT, keep=kept).view(*tokens_UT.shape, -1)
    last_UD = x_UTD[torch.arange(len(last_U), device=last_U.device), last_U]
    past, last_UD = _leaves((tuple(kept), last_UD), of_prompts)
    yield Opened(decoder=decoder, past=past, last_UD=last_UD)
    _carry(of_prompts)
    _carry(of_weights)


def response_logits(network: Any, opened: Opened | None, layout: Layout) -> Tensor:
    """Compute the logits that predict every token of every response, with gradients where they are enabled.

    Args:
        network: `model.network`.
        opened: The network after the prompts; without it the network's own forward is run.
        layout: The responses.

    Returns:
        Logits (N, V), response by response.
    """
    if opened is None:
        return _own_forward(network, layout)
    decoder, T = opened.decoder, layout.tokens_BT.shape[1]
    at_BT = layout.size_B[:, None] + torch.arange(T, device=layout.size_B.device)
    at_N = at_BT.flatten()
    turns = [table[at_N].unsqueeze(1) for table in decoder.tables]
    place_ND = None if decoder.positions_TD is None else decoder.positions_TD[at_N]
    attend = _attend(opened, layout, at_BT)
    x_ND = D.run(decoder, layout.tokens_BT.flatten(), turns=turns, place_ND=place_ND, attend=attend)
    whole_ND = torch.cat([opened.last_UD.index_select(0, layout.prompt_B), x_ND])
    return D.read_out(decoder, whole_ND.index_select(0, layout.before_N))


def _own_forward(network: Any, layout: Layout) -> Tensor:
    """The same from whole sequences; padding stands to the right, where no causal network looks."""
    joined = [np.concatenate([layout.prompts[u], r]) for u, r in zip(layout.of_B, layout.responses, strict=True)]
    joined_BT, whole_B = pad(joined)
    length_B = np.array([len(r) for r in layout.responses])
    row_N = np.repeat(np.arange(len(joined)), length_B)
    t_N = np.concatenate([np.arange(n) for n in length_B])
    logits_BTV = network(input_ids=torch.from_numpy(joined_BT).to(layout.size_B.device), use_cache=False).logits
    return logits_BTV[row_N, (whole_B - length_B)[row_N] + t_N - 1].float()
