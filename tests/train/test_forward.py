"""The update's forward gives the logits and gradients of the plain one, however prompts are shared."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from superalign.models import decoder as decoding
from superalign.models import sequence_logprobs
from superalign.train.forward import lay_out, opened, response_logits

PROMPTS = [np.array([5, 9, 11, 20]), np.array([7, 30])]
RESPONSES = [np.array([4, 8, 15]), np.array([16]), np.array([23, 42, 4, 8, 15]), np.array([3, 3])]
OF = np.array([0, 0, 1, 0])


def networks(tiny):
    torch.manual_seed(0)
    shape = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    grouped = MistralConfig(
        **shape, intermediate_size=32, num_key_value_heads=1, max_position_embeddings=64, sliding_window=3
    )
    learned = GPT2Config(vocab_size=60, n_embd=16, n_layer=2, n_head=2, n_positions=64)
    return {
        "llama": tiny().network,
        "mistral with a window and grouped heads": MistralForCausalLM(grouped).eval(),
        "gpt2": GPT2LMHeadModel(learned).eval(),
    }


def logits_of(network, prompts, responses, of_B):
    with torch.no_grad(), opened(network, prompts, length=16) as start:
        layout = lay_out(prompts, responses, of_B=of_B, device=torch.device("cpu"))
        return response_logits(network, start, layout)


def flat_logprobs(network, start):
    layout = lay_out(PROMPTS, RESPONSES, of_B=OF, device=torch.device("cpu"))
    logits_NV = response_logits(network, start, layout)
    token_N = torch.from_numpy(np.concatenate(RESPONSES))
    return torch.log_softmax(logits_NV, -1).gather(1, token_N[:, None]).squeeze(1)


def plain_logprobs(network):
    logprobs_RT = sequence_logprobs(network, [PROMPTS[u] for u in OF], RESPONSES)
    return torch.cat([logprobs_RT[r, : len(tokens)] for r, tokens in enumerate(RESPONSES)])


@pytest.mark.parametrize("way", ["products", "fused", "own forward"])
@pytest.mark.parametrize("name", ["llama", "mistral with a window and grouped heads", "gpt2"])
def test_logprobs_and_gradients_are_those_of_the_plain_forward(tiny, name, way, monkeypatch):
    network = networks(tiny)[name]
    weight_N = torch.arange(1.0, 12.0)
    (plain_logprobs(network) * weight_N).sum().backward()
    want = {n: p.grad.clone() for n, p in network.named_parameters()}
    expected = plain_logprobs(network).detach()
    network.zero_grad()
    if way == "fused":
        monkeypatch.setattr(decoding, "LONG", 0)
    if way == "own forward":
        monkeypatch.setattr("superalign.models.weights.supported", lambda network: False)
    with opened(network, PROMPTS, length=16) as start:
        for half in (0.25, 0.75):  # weights that are read once serve several backwards
            got = flat_logprobs(network, start)
            torch.testing.assert_close(got.detach(), expected, atol=1e-5, rtol=1e-5)
            (half * got * weight_N).sum().backward()
    for n, p in network.named_parameters():
        torch.testing.assert_close(p.grad, want[n], atol=1e-4, rtol=1e-4, msg=lambda m, n=n: f"{n}: {m}")


def test_a_response_does_not_see_its_siblings(tiny):
    network = tiny().network
    together = logits_of(network, PROMPTS, RESPONSES, OF)
    alone = logits_of(network, PROMPTS[:1], RESPONSES[1:2], np.array([0]))
    torch.testing.assert_close(together[3:4], alone, atol=1e-5, rtol=1e-5)


def test_one_token_responses_need_no_response_positions(tiny):
    logits = logits_of(tiny().network, PROMPTS, [np.array([4]), np.array([9])], np.array([0, 1]))
    assert logits.shape[0] == 2
    assert torch.isfinite(logits).all()
