from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from superalign.errors import BadInput
from superalign.models import (
    Model,
    Sampling,
    choice_logprobs,
    encode,
    forward,
    forward_logits,
    response_logprobs,
    sample_prompts,
    sequence_logprobs,
    with_sampling,
)

PROMPTS, RESPONSES = ("1+1", "what is it?", "9*8-7"), ("#2", "a;b;#c", "x")


def by_hand(model: Model, prompt: str, response: str, *, end: bool) -> list[float]:
    prompt_ids, response_ids = encode(model, [prompt], [response], end=end)
    ids = torch.from_numpy(np.concatenate([prompt_ids[0], response_ids[0]]))
    with torch.no_grad():
        logprobs_TV = torch.log_softmax(model.network(ids[None]).logits[0], -1)
    first = len(prompt_ids[0])
    return [float(logprobs_TV[t - 1, ids[t]]) for t in range(first, len(ids))]


def test_response_logprobs_by_hand(model: Model) -> None:
    values_RT, length_R = response_logprobs(model, PROMPTS, RESPONSES)
    for r, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        expected = by_hand(model, prompt, response, end=True)
        assert length_R[r] == len(expected) == len(response) + 1
        assert np.allclose(values_RT[r, : length_R[r]], expected, atol=3e-5)
        assert (values_RT[r, length_R[r] :] == 0).all()


def test_choices_by_hand(make: Callable[[str], Model]) -> None:
    model = make("qwen3")
    for choices in (("y", "n"), ("yes", "n", "maybe")):
        values_PC = choice_logprobs(model, PROMPTS, choices)
        expected = [[sum(by_hand(model, p, c, end=False)) for c in choices] for p in PROMPTS]
        assert np.allclose(values_PC, expected, atol=1e-4)


def test_small_chunks_change_nothing(make: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("llama")
    whole, _ = response_logprobs(model, PROMPTS * 3, RESPONSES * 3)
    monkeypatch.setattr(forward, "TOKENS_AT_ONCE", 20)
    parts, _ = response_logprobs(model, PROMPTS * 3, RESPONSES * 3)
    assert np.allclose(whole, parts, atol=1e-5)


def test_the_first_importance_ratio_is_one(make: Callable[[str], Model]) -> None:
    """What the trainer differentiates is what the sampler drew from."""
    model = with_sampling(make("llama"), Sampling(max_tokens=32))
    sampled = sample_prompts(model, PROMPTS, n=16, seed=0)
    prompt_ids, _ = encode(model, PROMPTS)
    responses = [row[:size].astype(np.int64) for row, size in zip(sampled.tokens_RT, sampled.length_R, strict=True)]
    live_RT = sequence_logprobs(model.network, [prompt_ids[p] for p in sampled.prompt_R], responses)
    assert live_RT.requires_grad
    ratio_RT = np.exp(live_RT.detach().numpy() - sampled.logprobs_RT[:, : live_RT.shape[1]])
    assert np.abs(ratio_RT - 1).max() < 1e-5


def test_padding_is_not_seen(model: Model) -> None:
    tokens_BT = torch.randint(4, 99, (2, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        short = forward_logits(model.network, tokens_BT[:, :8])
        long = forward_logits(model.network, tokens_BT)[:, :8]
    assert (short - long).abs().max() < 2e-5


def test_bad_input(make: Callable[[str], Model]) -> None:
    with pytest.raises(BadInput, match="non-empty"):
        choice_logprobs(make("llama"), PROMPTS, ["yes", ""])
    with pytest.raises(BadInput, match="2 responses for 3 prompts"):
        response_logprobs(make("llama"), PROMPTS, RESPONSES[:2])
    with pytest.raises(BadInput, match="positions"):
        response_logprobs(make("llama"), ["1"], ["x" * 100])
