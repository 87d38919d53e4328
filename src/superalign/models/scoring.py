"""Log-probs of given texts, through the same forward that samples and trains.

Shape suffixes: P problems, C choices, R rollouts, B sequences, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32, Int64
from torch import Tensor, nn

from superalign.errors import BadInput
from superalign.models import decoder as D
from superalign.models import weights
from superalign.models.model import Model, encode

TOKENS_AT_ONCE = 16_384  # bounds the memory of one forward without gradients


def forward_logits(
    network: nn.Module,
    tokens_BT: Int[Tensor, "B T"],
    *,
    length_B: Int[Tensor, " B"] | None = None,
    at_BT: Bool[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B T V"] | Float[Tensor, "N V"]:
    """Compute the logits of whole sequences; differentiable, for any causal LM, LoRA included.

    Args:
        network: `model.network`. A wrapped one (DDP, FSDP) runs its own forward.
        tokens_BT: Token ids, right-padded with any valid id.
        length_B: Tokens of each sequence; needed only by networks whose forward is not strictly causal.
        at_BT: True where logits are wanted; the vocabulary projection, a tenth of a small network, is spared elsewhere.

    Returns:
        Logits, (B, T, V), or (N, V) with N the places that are wanted. Those at padding mean nothing.
    """
    B, T = tokens_BT.shape
    if weights.supported(network):
        decoder = weights.read(network, length=T, live=True)
        x_ND = D.stream(decoder, tokens_BT)
        if at_BT is not None:
            return D.read_out(decoder, x_ND[at_BT.flatten()])
        return D.read_out(decoder, x_ND).view(B, T, -1)
    logits_BTV = own_forward(network, tokens_BT, length_B)
    return logits_BTV if at_BT is None else logits_BTV[at_BT]


def own_forward(network: Any, tokens_BT: Tensor, length_B: Tensor | None) -> Tensor:
    """Compute the logits (B, T, V) of right-padded sequences with the network's own forward."""
    mask_BT = None
    if length_B is not None:
        mask_BT = (torch.arange(tokens_BT.shape[1], device=tokens_BT.device) < length_B[:, None]).long()
    logits: Tensor = network(input_ids=tokens_BT, attention_mask=mask_BT, use_cache=False).logits
    return logits.float()


def positions(network: Any) -> int | None:
    """Return how many tokens a network can read; None if it has no limit or names none."""
    limit = getattr(network.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None  # XLNet says -1


def pad(rows: Sequence[Int[np.ndarray, " _"]]) -> tuple[Int64[np.ndarray, "B T"], Int32[np.ndarray, " B"]]:
    """Put token rows of different lengths into one right-padded array, with their lengths."""
    length_B = np.array([len(row) for row in rows], np.int32)
    out_BT = np.zeros((len(rows), int(length_B.max(initial=0))), np.int64)
    for b, row in enumerate(rows):
        out_BT[b, : len(row)] = row
    return out_BT, length_B


def sequence_logprobs(
    network: nn.Module, prompts: Sequence[Int[np.ndarray, " _"]], responses: Sequence[Int[np.ndarray, " _"]]
) -> Float[Tensor, "R T"]:
    """Compute the log-prob of every response token in one forward, with gradients where they are enabled.

    Args:
        network: `model.network`.
        prompts: Token ids of each templated prompt.
        responses: Token ids of each response.

    Returns:
        Natural log-probs at temperature 1, (R, T) with T the longest response; 0 beyond each end.
    """
    device = next(network.parameters()).device
    joined_BT, length_B = pad([np.concatenate([p, r]) for p, r in zip(prompts, responses, strict=True)])
    tokens_BT = torch.from_numpy(joined_BT).to(device)
    response_RT, size_R = (torch.from_numpy(a).to(device) for a in pad(responses))
    R, T = response_RT.shape
    start_R = torch.tensor([len(p) for p in prompts], device=device)
    within_RT = torch.arange(T, device=device)[None] < size_R[:, None]
    # The logits that predict response token t stand one place before it.
    row_N, t_N = within_RT.nonzero(as_tuple=True)
    at_N = start_R[row_N] + t_N - 1
    if weights.supported(network):
        decoder = weights.read(network, length=tokens_BT.shape[1], live=torch.is_grad_enabled())
        x_ND = D.stream(decoder, tokens_BT)[row_N * tokens_BT.shape[1] + at_N]
        logits_NV = D.read_out(decoder, x_ND)
    else:
        logits_NV = own_forward(network, tokens_BT, torch.from_numpy(length_B).to(device))[row_N, at_N]
    chosen_N = torch.log_softmax(logits_NV, dim=-1).gather(1, response_RT[row_N, t_N].unsqueeze(1)).squeeze(1)
    return torch.zeros(R, T, device=device).index_put((row_N, t_N), chosen_N)


def chunks(
    prompts: Sequence[Int[np.ndarray, " _"]], responses: Sequence[Int[np.ndarray, " _"]]
) -> Iterator[Int[np.ndarray, " _"]]:
    """Indices in chunks of similar length that hold at most TOKENS_AT_ONCE tokens each."""
    size = np.array([len(p) + len(r) for p, r in zip(prompts, responses, strict=True)])
    order = np.argsort(-size, kind="stable")
    at = 0
    while at < len(order):
        count = max(1, TOKENS_AT_ONCE // max(1, int(size[order[at]])))
        yield order[at : at + count]
        at += count


def _logprobs(model: Model, prompts: list[np.ndarray], responses: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    length_R = np.array([len(r) for r in responses], np.int32)
    limit = positions(model.network)
    longest = max((len(p) + len(r) for p, r in zip(prompts, responses, strict=True)), default=0)
    if limit is not None and longest > limit:
        raise BadInput(
            f"A prompt and response of {longest} tokens exceed the model's {limit} positions. Beyond them its "
            "log-probs "
            "mean nothing. Shorten the text or use a model with a longer context."
        )
    out_RT = np.zeros((len(responses), int(length_R.max(initial=0))), np.float32)
    with torch.no_grad():
        for some in chunks(prompts, responses):
            part = sequence_logprobs(model.network, [prompts[i] for i in some], [responses[i] for i in some])
            out_RT[some, : part.shape[1]] = part.float().cpu().numpy()
    return out_RT, length_R


def response_logprobs(
    model: Model, prompts: Sequence[str], responses: Sequence[str] | Sequence[Sequence[int]], *, end: bool = True
) -> tuple[Float32[np.ndarray, "R T"], Int32[np.ndarray, " R"]]:
    """Score responses with a fresh forward.

    Args:
        model: What scores.
        prompts: Texts without template.
        responses: Texts, or token ids (a rollout's own tokens: its text may be tokenised differently).
        end: Close response texts with the end token; token ids are taken as they are.

    Returns:
        Natural log-probs at temperature 1 (R, T), float32, 0 beyond the end; and the lengths (R,).
    """
    return _logprobs(model, *encode(model, prompts, responses, end=end))


def choice_logprobs(model: Model, prompts: Sequence[str], choices: Sequence[str]) -> Float64[np.ndarray, "P C"]:
    """Score each choice as the beginning of the response to each prompt.

    Args:
        model: What scores.
        prompts: Texts without template.
        choices: The same choices for every prompt.

    Returns:
        Total natural log-prob of each choice's tokens, (P, C), float64. No end token is added.
    """
    if not choices or not all(choices):
        raise BadInput("A choice is missing or empty. Its log-prob would be 0 for every model. Give non-empty choices.")
    P, C = len(prompts), len(choices)
    prompt_ids, _ = encode(model, prompts)
    # Each choice is tokenised once; the prompts are those of the template.
    _, choice_ids = encode(model, [""] * C, choices, end=False)
    first = np.array([ids[0] for ids in choice_ids])
    if all(len(ids) == 1 for ids in choice_ids):
        return _next_logprobs(model, prompt_ids)[:, first]
    logprobs_RT, _ = _logprobs(model, [p for p in prompt_ids for _ in choices], choice_ids * P)
    return logprobs_RT.sum(1, dtype=np.float64).reshape(P, C)


def _next_logprobs(model: Model, prompts: list[np.ndarray]) -> np.ndarray:
    """Log-probs of every possible first response token, (P, V): one forward of the prompts serves all choices."""
    vocabulary = model.network.get_output_embeddings().weight.shape[0]
    out_PV = np.zeros((len(prompts), vocabulary))
    empty = [np.zeros(0, np.int64)] * len(prompts)
    network = model.network
    with torch.no_grad():
        for some in chunks(prompts, empty):
            tokens_BT, length_B = pad([prompts[i] for i in some])
            tokens, last = torch.from_numpy(tokens_BT).to(network.device), torch.from_numpy(length_B).long() - 1
            row = torch.arange(len(some))
            if weights.supported(network):
                decoder = weights.read(network, length=tokens.shape[1])
                x_BD = D.stream(decoder, tokens).view(*tokens.shape, -1)[row, last]
                logits = D.read_out(decoder, x_BD)
            else:
                logits = own_forward(network, tokens, torch.from_numpy(length_B).to(network.device))[row, last]
            out_PV[some] = torch.log_softmax(logits.double(), dim=-1).cpu().numpy()
    return out_PV
