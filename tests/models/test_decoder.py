from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from superalign.models import Model, forward, forward_logits, lora, sequence_logprobs
from superalign.models import decoder as D
from superalign.models.weights import read, supported


def test_logits_are_those_of_the_network(model: Model) -> None:
    tokens_BT = torch.randint(4, 99, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert supported(model.network)
        mine = torch.log_softmax(forward_logits(model.network, tokens_BT), -1)
        theirs = torch.log_softmax(model.network(tokens_BT).logits, -1)
    assert (mine - theirs).abs().max() < 3e-5


def test_the_comparison_can_fail(make: Callable[[str], Model]) -> None:
    network = make("mistral").network
    tokens_BT = torch.randint(4, 99, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        right = forward_logits(network, tokens_BT)
        network.config.sliding_window = 5
        wrong = forward_logits(network, tokens_BT)
        network.config.sliding_window = 6
    assert (right - wrong).abs().max() > 1e-2


def test_gradients_are_those_of_the_network(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = lora(model, rank=2, seed=0)
    with torch.no_grad():
        for name, parameter in adapted.network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))

    def gradients() -> list[torch.Tensor]:
        adapted.network.zero_grad()
        prompts = [torch.arange(5, 9).numpy(), torch.arange(20, 30).numpy()]
        responses = [torch.arange(40, 52).numpy(), torch.arange(60, 65).numpy()]
        sequence_logprobs(adapted.network, prompts, responses).sum().backward()
        return [p.grad.clone() for p in adapted.network.parameters() if p.grad is not None]

    mine = gradients()
    monkeypatch.setattr(forward.weights, "supported", lambda _: False)
    theirs = gradients()
    assert len(mine) == len(theirs) > 0
    for a, b in zip(mine, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max() + 1e-6


def test_a_network_that_is_not_known_has_no_decoder(network_of: Callable[..., Any]) -> None:
    assert not supported(network_of("olmo2"))
    assert not supported(network_of("llama").to(torch.float16))


def test_rotation_keeps_lengths() -> None:
    x = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0))
    turn = torch.polar(torch.ones(4, 1, 4), torch.arange(16.0).view(4, 1, 4))
    assert torch.allclose(D.rotate(x, turn).norm(dim=-1), x.norm(dim=-1), atol=1e-5)


def test_snapshot_does_not_follow_the_network(network_of: Callable[..., Any]) -> None:
    network = network_of("llama")
    tokens_BT = torch.full((1, 4), 7)
    with torch.no_grad():
        decoder = read(network, length=4)
        before = D.read_out(decoder, D.stream(decoder, tokens_BT))
        network.model.layers[0].mlp.up_proj.weight.add_(1.0)
        assert torch.equal(before, D.read_out(decoder, D.stream(decoder, tokens_BT)))
        assert not torch.equal(before, forward_logits(network, tokens_BT)[0])
