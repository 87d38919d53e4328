"""What is done otherwise for large networks, on tiny ones that are called large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from superalign.models import (
    Model,
    Sampling,
    choice_logprobs,
    lora,
    response_logprobs,
    sample_prompts,
    sequence_logprobs,
    weights,
    with_sampling,
)
from superalign.models import decoder as D
from superalign.train.batches import collate, weighted_loss

PROMPTS = ["1+1=?", "And what is it, then, once more?", "b"]
SAID = ["two", "it is three", "a, or so"]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to have every network called large, with tables of 7 places and room for one layer's values."""

    def call() -> None:
        monkeypatch.setattr(weights, "LARGE", 0)
        monkeypatch.setattr(D, "TABLE", 4 * 7 * 100)
        monkeypatch.setattr(D, "_kept", lambda *_: 1)
        monkeypatch.setattr(D, "COSTLY", 0)
        monkeypatch.setattr(D, "SPARED", 2)

    return call


def adapted(model: Model) -> Any:
    """The network with an adapter that does something."""
    network = lora(model, rank=2, seed=0).network
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    return network


def gradients(network: Any, value: torch.Tensor) -> dict[str, torch.Tensor]:
    network.zero_grad()
    value.backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert len(one) > 0
    for name, grad in one.items():
        assert (grad - other[name]).abs().max() <= 1e-4 * grad.abs().max() + 1e-6, name


def batch() -> Any:
    rng = np.random.default_rng(0)
    rows = [[*range(5, 11), *rng.integers(4, 99, size - 6).tolist()] for size in (20, 13, 25)]
    return collate(
        [(row, [0.0] * 5 + [1.0, 0.5] * 10) if len(row) == 25 else (row, [1.0] * len(row)) for row in rows], pad=0
    )


def prefixes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the prefixes that are read from here on."""
    sizes: list[int] = []
    opened = D.open_prefix

    def watched(*args: Any, **settings: Any) -> D.Prefix | None:
        found = opened(*args, **settings)
        sizes.extend([] if found is None else [len(found.x_SD)])
        return found

    monkeypatch.setattr(D, "open_prefix", watched)
    return sizes


def test_scores_are_the_same(model: Model, large: Callable[[], None]) -> None:
    before, choices = response_logprobs(model, PROMPTS, SAID)[0], choice_logprobs(model, PROMPTS, ["a", "b"])
    large()
    assert np.abs(response_logprobs(model, PROMPTS, SAID)[0] - before).max() < 3e-5
    assert np.abs(choice_logprobs(model, PROMPTS, ["a", "b"]) - choices).max() < 3e-5


def test_an_adapter_learns_the_same(model: Model, large: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    network, documents = adapted(model), batch()
    sizes = prefixes(monkeypatch)
    small = weighted_loss(network, documents)
    before = gradients(network, small)
    large()
    value = weighted_loss(network, documents)
    assert sizes == [6]
    assert float(value.detach()) == pytest.approx(float(small.detach()), abs=3e-5)
    same(before, gradients(network, value))


@pytest.mark.parametrize("size", ["small", "large"])
def test_some_places_are_those_of_the_whole_and_teach_the_same(
    model: Model, large: Callable[[], None], size: str
) -> None:
    if size == "large":
        large()
    network, tokens_BT, places = adapted(model), batch().tokens_BT, torch.tensor([19, 30, 74, 74])

    def read() -> D.Decoder:
        return weights.read(network, length=tokens_BT.shape[1], live=True)

    whole = D.stream(read(), tokens_BT)[places]
    before = gradients(network, (whole**2).sum())
    some = D.stream(read(), tokens_BT, at_M=places)
    assert (some - whole).abs().max() < 3e-5
    same(before, gradients(network, (some**2).sum()))


def test_whole_weights_learn_the_same(
    network_of: Callable[..., Any], large: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("llama", "gpt2", "neox"):
        network, documents = network_of(kind), batch()
        before = gradients(network, weighted_loss(network, documents))
        with monkeypatch.context():
            large()
            same(before, gradients(network, weighted_loss(network, documents)))
        monkeypatch.undo()


def test_the_table_of_logits_is_never_whole(make: Callable[[str], Model], large: Callable[[], None]) -> None:
    network = adapted(make("llama"))
    prompts, responses = [np.arange(5, 25)] * 3, [np.arange(40, 70)] * 3
    large()
    made: list[int] = []
    width = network.config.hidden_size  # of the output matrix, which is no table of logits

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.ndim == 2 and out.shape[1] == 100 and len(out) != width:
                made.append(len(out))
            return out

    with Watch():
        sequence_logprobs(network, prompts, responses).sum().backward()
    assert max(made) <= 7 < sum(len(r) for r in responses)


BEGIN_ALIKE = [
    "Once more: 1+1=?",
    "Once more: and what is it, then?",
    "Once more: b",
    "Once more: and what is it, now?",
]


def test_what_prompts_begin_with_is_read_once(
    model: Model, large: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_sampling(model, Sampling(max_tokens=12))
    said = [SAID[0], *SAID]
    before, score = sample_prompts(settings, BEGIN_ALIKE, n=3, seed=0), response_logprobs(model, BEGIN_ALIKE, said)[0]
    large()
    sizes = prefixes(monkeypatch)
    after = sample_prompts(settings, BEGIN_ALIKE, n=3, seed=0)
    alike = len("Once more: ") + 1  # and the template's first token
    assert sizes == [alike]
    assert (after.tokens_RT == before.tokens_RT).all()
    assert np.abs(after.logprobs_RT - before.logprobs_RT).max() < 3e-5
    assert np.abs(response_logprobs(model, BEGIN_ALIKE, said)[0] - score).max() < 3e-5
    assert sizes == [alike, alike]


def test_rows_that_join_later_are_the_same(make: Callable[[str], Model], large: Callable[[], None]) -> None:
    model = with_sampling(make("llama"), Sampling(max_tokens=12, stop=tuple("aeiou0123")))
    before = sample_prompts(model, BEGIN_ALIKE * 4, n=2, seed=0).tokens_RT
    large()
    assert (sample_prompts(model, BEGIN_ALIKE * 4, n=2, seed=0, rows=5).tokens_RT == before).all()


def test_equal_sequences_and_single_ones_have_no_common_prefix_that_is_too_long(
    make: Callable[[str], Model], large: Callable[[], None]
) -> None:
    model = make("llama")
    before = [response_logprobs(model, [p] * k, ["a"] * k)[0] for p, k in (("b", 1), ("b", 3))]
    large()
    after = [response_logprobs(model, [p] * k, ["a"] * k)[0] for p, k in (("b", 1), ("b", 3))]
    for one, other in zip(before, after, strict=True):
        assert np.abs(one - other).max() < 3e-5


def test_small_networks_read_every_prompt_whole(make: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = prefixes(monkeypatch)
    sample_prompts(with_sampling(make("llama"), Sampling(max_tokens=3)), BEGIN_ALIKE * 20, n=1, seed=0)
    assert sizes == []
