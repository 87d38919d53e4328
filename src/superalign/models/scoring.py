"""Log-probs of given texts, through the same forward that samples and trains.

Shape suffixes: P problems, C choices, R rollouts, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int32

from superalign.errors import BadInput
from superalign.models.forward import chunks, logits_at, pad, positions, sequence_logprobs
from superalign.models.model import Asked, Model, check_answers_at_once, encode

ROWS = 64  # prompts whose log-probs are computed at a time in 64 bits


def _logprobs(model: Model, prompts: list[np.ndarray], responses: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    length_R = np.array([len(r) for r in responses], np.int32)
    limit = positions(model.network)
    longest = max((len(p) + len(r) for p, r in zip(prompts, responses, strict=True)), default=0)
    if limit is not None and longest > limit:
        raise BadInput(
            f"A prompt and response of {longest} tokens exceed the model's {limit} positions. Beyond them its "
            "log-probs mean nothing. Shorten the text or use a model with a longer context."
        )
    out_RT = np.zeros((len(responses), int(length_R.max(initial=0))), np.float32)
    with torch.no_grad():
        for some in chunks(prompts, responses):
            part = sequence_logprobs(model.network, [prompts[i] for i in some], [responses[i] for i in some])
            out_RT[some, : part.shape[1]] = part.float().cpu().numpy()
    return out_RT, length_R


def response_logprobs(
    model: Model, prompts: Sequence[Asked], responses: Sequence[str] | Sequence[Sequence[int]], *, end: bool = True
) -> tuple[Float32[np.ndarray, "R T"], Int32[np.ndarray, " R"]]:
    """Score responses with a fresh forward.

    Args:
        model: What scores.
        prompts: Texts without template, or chats.
        responses: Texts, or token ids (a rollout's own tokens: its text may be tokenised differently).
        end: Close response texts with the end token; token ids are taken as they are.

    Returns:
        Natural log-probs at temperature 1 (R, T), float32, 0 beyond the end; and the lengths (R,).
    """
    return _logprobs(model, *encode(model, prompts, responses, end=end))


def mean_surprise(
    model: Model,
    prompts: Sequence[Asked],
    responses: Sequence[str] | Sequence[Sequence[int]],
    *,
    end: bool = True,
    most: float = np.inf,
) -> Float64[np.ndarray, " R"]:
    """Measure the mean surprise a token at given responses, nats.

    Args:
        model: What is surprised.
        prompts: Texts without template, or chats.
        responses: Texts, or token ids.
        end: As `response_logprobs`.
        most: Nats beyond which one token counts no more.
    """
    logprobs_RT, length_R = response_logprobs(model, prompts, responses, end=end)
    out_R: np.ndarray = -logprobs_RT.clip(-most).sum(1, dtype=np.float64) / np.maximum(length_R, 1)
    return out_R


def choice_logprobs(model: Model, prompts: Sequence[str], choices: Sequence[str]) -> Float64[np.ndarray, "P C"]:
    """Score each choice as the beginning of the response to each prompt.

    Args:
        model: What scores.
        prompts: Texts without template.
        choices: The same choices for every prompt.

    Returns:
        Total natural log-prob of each choice's tokens, (P, C), float64. No end token is added.

    Raises:
        BadInput: If a choice is empty, or the model may think before it answers.
    """
    if not choices or not all(choices):
        raise BadInput("A choice is missing or empty. Its log-prob would be 0 for every model. Give non-empty choices.")
    check_answers_at_once(model)
    P, C = len(prompts), len(choices)
    prompt_ids, _ = encode(model, prompts)
    # Each choice is tokenised once; the prompts are those of the template.
    _, choice_ids = encode(model, [""] * C, choices, end=False)
    first = np.array([ids[0] for ids in choice_ids])
    if all(len(ids) == 1 for ids in choice_ids):
        return _next_logprobs(model, prompt_ids, first)
    logprobs_RT, _ = _logprobs(model, [p for p in prompt_ids for _ in choices], choice_ids * P)
    return logprobs_RT.sum(1, dtype=np.float64).reshape(P, C)


def _next_logprobs(model: Model, prompts: list[np.ndarray], token_C: np.ndarray) -> np.ndarray:
    """Log-probs of some first response tokens, (P, C): one forward of the prompts serves all choices."""
    out_PC = np.zeros((len(prompts), len(token_C)))
    wanted_C = torch.from_numpy(token_C).to(model.network.device)
    empty = [np.zeros(0, np.int64)] * len(prompts)
    network = model.network
    with torch.no_grad():
        for some in chunks(prompts, empty):
            tokens, length = (torch.from_numpy(a).to(network.device) for a in pad([prompts[i] for i in some]))
            row = torch.arange(len(some), device=network.device)
            logits = logits_at(network, tokens, length, row, length.long() - 1)
            for rows in np.array_split(np.arange(len(some)), 1 + len(some) // ROWS):
                logprobs_KV = torch.log_softmax(logits[rows].double(), dim=-1)
                out_PC[some[rows]] = logprobs_KV[:, wanted_C].cpu().numpy()
    return out_PC
