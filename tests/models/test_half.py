from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.errors import BadInput
from superalign.models import (
    Model,
    Sampling,
    activations,
    encode,
    forward_logits,
    in_half,
    load_adapter,
    lora,
    quantised,
    response_logprobs,
    sample_prompts,
    save,
    save_adapter,
    sequence_logprobs,
    with_sampling,
)
from superalign.models.engine_check import check_engine
from superalign.models.forward import own_forward
from superalign.models.weights import supported
from superalign.organisms.harmless import trained_whole
from superalign.organisms.planting import PlantingConfig
from superalign.train import PolicyGradientConfig, policy_gradient
from superalign.types import Problem, Rollouts, Signal

PROMPTS = ["1+1=?", "And what is it, then, once more?", "b"]
SAID = ["two", "it is three", "a, or so"]


def half_of(model: Model) -> Model:
    """A model in 16 bits, whatever this processor gains by it."""
    found = in_half(model, faster=0.0, within_nats=10.0)
    assert found.rounded
    return found.model


def test_what_is_rounded_is_a_copy_with_the_same_record(model: Model) -> None:
    found = in_half(model, faster=0.0)
    assert found.rounded
    assert found.model.rounded
    assert not model.rounded
    assert found.model.subject == model.subject
    assert {p.dtype for p in found.model.network.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in found.model.network.parameters())
    assert 0 < found.mean_nats < found.largest_nats <= found.within_nats
    assert in_half(found.model).model is found.model


def test_a_model_that_would_move_too_far_is_kept(make: Callable[[str], Model]) -> None:
    model = make("llama")
    found = in_half(model, faster=0.0, within_nats=1e-6)
    assert found.model is model
    assert not found.rounded
    assert found.largest_nats > 1e-6


def test_a_model_that_gains_nothing_is_kept_and_not_compared(make: Callable[[str], Model]) -> None:
    model = make("llama")
    found = in_half(model, faster=1e9)
    assert found.model is model
    assert math.isnan(found.largest_nats)
    assert 0 < found.speedup < 1e9


def test_numbers_are_those_of_the_rounded_network(model: Model) -> None:
    half = half_of(model)
    assert supported(half.network)
    tokens_BT = torch.randint(4, 99, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mine, theirs = forward_logits(half.network, tokens_BT), own_forward(half.network, tokens_BT, None)
        # The same rounded weights with every operation in 32 bits.
        wide = copy.deepcopy(half.network).float()
        true = forward_logits(wide, tokens_BT)
    assert mine.dtype == torch.float32
    ours_off, theirs_off = ((x.log_softmax(-1) - true.log_softmax(-1)).abs().mean() for x in (mine, theirs))
    assert 0 < ours_off < theirs_off + 1e-3
    check_engine(half)


def test_what_is_sampled_is_what_is_scored(model: Model) -> None:
    half = with_sampling(half_of(model), Sampling(max_tokens=12))
    sampled = sample_prompts(half, PROMPTS, n=3, seed=0)
    said = [row[:size].tolist() for row, size in zip(sampled.tokens_RT, sampled.length_R, strict=True)]
    scored_RT, _ = response_logprobs(half, [PROMPTS[p] for p in sampled.prompt_R], said)
    assert np.abs(scored_RT - sampled.plain_RT[:, : scored_RT.shape[1]]).max() < 0.15
    same = sample_prompts(half, PROMPTS, n=3, seed=0)
    assert (same.tokens_RT == sampled.tokens_RT).all()


def test_a_model_in_half_against_itself_differs_by_nothing(make: Callable[[str], Model]) -> None:
    model = make("llama")
    one, other = (response_logprobs(half_of(model), PROMPTS, SAID)[0] for _ in range(2))
    assert (one == other).all()
    wide, _ = response_logprobs(model, PROMPTS, SAID)
    assert 0 < np.abs(wide - one).max() < 0.5


def test_an_adapter_is_merged_first(make: Callable[[str], Model]) -> None:
    adapted = lora(make("llama"), rank=2, seed=0)
    with torch.no_grad():
        for name, parameter in adapted.network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    half = half_of(adapted)
    assert half.subject == adapted.subject
    one, other = (response_logprobs(m, PROMPTS, SAID)[0] for m in (half, adapted))
    assert np.abs(one - other).max() < 0.5


def test_an_adapter_that_is_not_kept_learns_on_rounded_weights_nearly_what_it_learns_on_whole_ones(
    make: Callable[[str], Model],
) -> None:
    model = make("llama")
    prompts, responses = encode(model, PROMPTS, SAID)

    def taught(base: Model) -> tuple[list[torch.Tensor], np.ndarray]:
        adapted = lora(base, rank=2, seed=0, kept=False)
        assert supported(adapted.network)
        trained = [p for p in adapted.network.parameters() if p.requires_grad]
        assert {p.dtype for p in trained} == {torch.float32}
        steps = torch.optim.SGD(trained, lr=0.5)
        for _ in range(4):
            steps.zero_grad()
            (-sequence_logprobs(adapted.network, prompts, responses).mean()).backward()
            steps.step()
        return trained, response_logprobs(adapted, PROMPTS, SAID)[0]

    (whole, one), (half, other) = taught(model), taught(half_of(model))
    moved = np.abs(one - response_logprobs(model, PROMPTS, SAID)[0]).max()
    assert np.abs(one - other).max() < 0.1 * moved + 0.1
    assert all((a - b).abs().max() < 0.1 * a.abs().max() for a, b in zip(whole, half, strict=True))


def test_taps_read_a_rounded_model_in_32_bits(make: Callable[[str], Model]) -> None:
    model = make("llama")
    wide, near = (activations(m, PROMPTS, SAID, sites=("residual.1",))["residual.1"] for m in (model, half_of(model)))
    assert near.dtype == np.float32
    assert 0 < np.abs(wide - near).max() < 0.05 * np.abs(wide).max()


def test_what_changes_or_keeps_weights_refuses_rounded_ones(make: Callable[[str], Model], tmp_path: Path) -> None:
    model = make("llama")
    half = half_of(model)

    def nobody(problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        raise AssertionError

    folder = save_adapter(lora(model, rank=2, seed=0), tmp_path / "adapter")
    tries: list[Callable[[], Any]] = [
        lambda: save_adapter(lora(half, rank=2, seed=0, kept=False), tmp_path / "half"),
        lambda: lora(half, rank=2, seed=0),
        lambda: load_adapter(half, folder),
        lambda: save(half, tmp_path / "whole"),
        lambda: quantised(half, bits=4),
        lambda: trained_whole(half, (), config=PlantingConfig(), seed=0),
        lambda: policy_gradient(half, (), nobody, config=PolicyGradientConfig(), seed=0),
    ]
    for attempt in tries:
        with pytest.raises(BadInput, match="rounded to 16 bits by in_half"):
            attempt()
    assert not (tmp_path / "whole").exists()
    assert encode(half, PROMPTS)[0][0].tolist() == encode(model, PROMPTS)[0][0].tolist()
