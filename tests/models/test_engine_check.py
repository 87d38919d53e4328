from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.errors import BadInput
from superalign.models import Model, Sampling, encode, engines, load, response_logprobs, sample_prompts, weights
from superalign.models import with_sampling as set_to
from superalign.models.engine_check import check_engine
from superalign.models.forward import positions

PROMPTS = ("1+1=?", "what is it, then?", "x")


@pytest.fixture
def of_kind(zoo: Any, wrap: Callable[[Any], Model]) -> Callable[[str], Model]:
    def build(kind: str) -> Model:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return wrap(zoo.network_of(kind))

    return build


@pytest.mark.parametrize(
    ("kind", "engine"),
    [
        ("qwen3_next", "CacheEngine"), ("granitemoehybrid", "CacheEngine"), ("mamba", "CacheEngine"),
        ("jamba", "CacheEngine"), ("bamba", "CacheEngine"),
        ("roformer", "CacheEngine"), ("bart", "WholeEngine"),
        ("recurrent_gemma", "WholeEngine"), ("rwkv", "WholeEngine"), ("openai-gpt", "WholeEngine"),
    ],
)  # fmt: skip
def test_what_is_sampled_is_what_the_network_alone_says(
    of_kind: Callable[[str], Model], kind: str, engine: str
) -> None:
    """The first importance ratio is one, for a prompt alone and beside others, whatever state the network keeps."""
    model = set_to(of_kind(kind), Sampling(max_tokens=10))
    drawn = sample_prompts(model, PROMPTS, n=3, seed=0, rows=7)
    assert type(engines.engine_for(model.network, rows=1, length=1, spare=False)).__name__ == engine
    own = [row[:size].tolist() for row, size in zip(drawn.tokens_RT, drawn.length_R, strict=True)]
    scored_RT, _ = response_logprobs(model, [PROMPTS[p] for p in drawn.prompt_R], own)
    assert np.abs(scored_RT - drawn.plain_RT[:, : scored_RT.shape[1]]).max() < 1e-4
    prompt_ids, _ = encode(model, PROMPTS)
    for r, tokens in enumerate(own):
        prompt = prompt_ids[drawn.prompt_R[r]].tolist()
        with torch.no_grad():
            for t, token in enumerate(tokens):  # what stands behind cannot be seen
                logits = model.network(input_ids=torch.tensor([[*prompt, *tokens[:t]]]), use_cache=False).logits
                assert abs(torch.log_softmax(logits[0, -1], -1)[token].item() - drawn.plain_RT[r, t]) < 1e-4
    alone = np.concatenate([sample_prompts(model, [p], n=3, seed=0).tokens_RT for p in PROMPTS])
    assert (alone == drawn.tokens_RT).all()
    check_engine(model)


@pytest.mark.parametrize("kind", ["xlnet", "roberta"])
def test_refused_when_it_is_loaded(of_kind: Callable[[str], Model], tmp_path: Path, kind: str) -> None:
    """One looks ahead when it scores; the other's `generate` counts positions otherwise than its forward."""
    model = of_kind(kind)
    model.network.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=f"type {kind} cannot be used here: it gives log-probs that differ by"):
        load(tmp_path)


def test_positions_that_a_network_can_read(of_kind: Callable[[str], Model], make: Callable[[str], Model]) -> None:
    assert positions(make("llama").network) == 96
    assert positions(of_kind("xlnet").network) is None  # its config says -1
    assert positions(of_kind("bloom").network) is None


def test_the_check_can_fail(
    of_kind: Callable[[str], Model], make: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    llama, olmo, mamba = make("llama"), of_kind("olmo2"), of_kind("mamba")
    for model in (llama, olmo, mamba):
        check_engine(model)
    norm = weights.Norm
    with monkeypatch.context() as wrong:  # our decoder reads a weight wrongly
        wrong.setattr(
            weights, "Norm", lambda floor, eps, gain: norm(floor=100 * floor + 0.1, eps=100 * eps + 1e-3, gain=gain)
        )
        with pytest.raises(BadInput, match="type llama"):
            check_engine(llama)
    forward = engines.CacheEngine._forward
    with monkeypatch.context() as wrong:  # positions count from 1
        wrong.setattr(type(olmo.network), "forward", shifted(type(olmo.network).forward))
        with pytest.raises(BadInput, match="type olmo2"):
            check_engine(olmo)
    with monkeypatch.context() as wrong:  # the cache is not read
        wrong.setattr(engines.CacheEngine, "_forward", lambda self, past, *rest: forward(self, None, *rest))
        with pytest.raises(BadInput, match="type mamba"):
            check_engine(mamba)
    with monkeypatch.context() as wrong:
        wrong.setattr(engines, "past_name", lambda _: 1 / 0)
        with pytest.raises(BadInput, match=r"fails on two short prompts \(ZeroDivisionError"):
            check_engine(mamba)


def shifted(forward: Any) -> Any:
    """A forward whose positions count from 5 where they are given."""

    def wrong(self: Any, *args: Any, position_ids: Any = None, **rest: Any) -> Any:
        return forward(self, *args, position_ids=None if position_ids is None else 5 + position_ids * 2, **rest)

    wrong.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    return wrong


def test_sixteen_bits_have_a_looser_bound(of_kind: Callable[[str], Model]) -> None:
    model = of_kind("olmo2")
    model.network.to(torch.bfloat16)
    check_engine(model)
