from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from superalign.errors import BadInput, TapError
from superalign.models import Model, activations, encode, forward, lora, sites, tapped, taps
from superalign.models.taps import tap_module
from superalign.organisms.chat_edits import edited
from superalign.organisms.chats import Said

PROMPTS, RESPONSES = ("1+1", "what is it?", "9*8-7"), ("#2", "a;b;#c", "xyz")


def test_a_tap_changes_nothing_and_fires(model: Model) -> None:
    tokens_BT = torch.randint(4, 99, (2, 12), generator=torch.Generator().manual_seed(1))
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        plain = model.network(tokens_BT).logits
        with tapped(model.network, {site: lambda v, s=site: seen.__setitem__(s, v.clone()) for site in sites(model)}):  # type: ignore[misc]
            read = model.network(tokens_BT).logits
        after = model.network(tokens_BT).logits
        hidden = model.network(tokens_BT, output_hidden_states=True).hidden_states
    assert torch.equal(plain, read)
    assert torch.equal(plain, after)
    kinds = ("residual", "attention", "heads", "mlp", "neurons")
    assert set(seen) == {"embedding", *(f"{kind}.{i}" for kind in kinds for i in range(2))}
    assert torch.equal(seen["embedding"], hidden[0])
    assert torch.equal(seen["residual.0"], hidden[1])
    assert not torch.equal(seen["attention.0"], seen["mlp.0"])
    matrix = tap_module(model.network, "neurons.1")
    assert matrix is not None
    assert torch.allclose(matrix(seen["neurons.1"]), seen["mlp.1"], atol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3"])
def test_the_parts_add_up_to_the_stream(make: Callable[[str], Model], kind: str) -> None:
    read = activations(make(kind), PROMPTS, RESPONSES, sites=sites(make(kind)), reduce="last")
    total = read["embedding"] + read["attention.0"] + read["mlp.0"]
    assert np.allclose(total, read["residual.0"], atol=1e-5)


def test_reductions_by_hand(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "TOKENS_AT_ONCE", 30)  # more than one chunk
    site = ["residual.1"]
    mean = activations(model, PROMPTS, RESPONSES, sites=site)["residual.1"]
    last = activations(model, PROMPTS, RESPONSES, sites=site, reduce="last")["residual.1"]
    ends = activations(model, PROMPTS, RESPONSES, sites=site, reduce=(0, -1))["residual.1"]
    largest = activations(
        model, PROMPTS, RESPONSES, sites=site, reduce=lambda x, m: x.masked_fill(~m[..., None], -torch.inf).amax(1)
    )["residual.1"]
    for r, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        p, q = encode(model, [prompt], [response], end=False)
        raw: list[torch.Tensor] = []
        with torch.no_grad(), tapped(model.network, {"residual.1": raw.append}):
            model.network(torch.from_numpy(np.concatenate([p[0], q[0]]))[None])
        x_TD = raw[0][0, len(p[0]) :].numpy()
        assert np.allclose(mean[r], x_TD.mean(0), atol=1e-5)
        assert np.allclose(last[r], x_TD[-1], atol=1e-5)
        assert np.allclose(ends[r], x_TD[[0, -1]], atol=1e-5)
        assert np.allclose(largest[r], x_TD.max(0), atol=1e-5)


def test_taps_work_under_an_adapter(make: Callable[[str], Model]) -> None:
    model = make("gpt2")
    a = activations(model, PROMPTS, RESPONSES, sites=["mlp.1"])["mlp.1"]
    b = activations(lora(model, rank=2, seed=0), PROMPTS, RESPONSES, sites=["mlp.1"])["mlp.1"]
    assert np.allclose(a, b, atol=1e-6)


def test_a_silent_tap_is_an_error(make: Callable[[str], Model]) -> None:
    network = make("llama").network

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())

    before = hooks()
    with pytest.raises(TapError, match="did not fire"), tapped(network, {"mlp.0": lambda _: None}):
        network.get_input_embeddings()(torch.tensor([[1]]))
    assert hooks() == before


def test_bad_input(make: Callable[[str], Model]) -> None:
    model = make("llama")
    with pytest.raises(BadInput, match=r"residual\.9"):
        activations(model, PROMPTS, RESPONSES, sites=["residual.9"])
    with pytest.raises(BadInput, match="fewer tokens"):
        activations(model, PROMPTS, RESPONSES, sites=["mlp.0"], reduce=[4])
    with pytest.raises(BadInput, match="no tokens"):
        activations(model, PROMPTS, ("a", "", "b"), sites=["mlp.0"])


def test_activations_that_are_not_laid_out_by_token_are_refused(zoo: Any, wrap: Callable[[Any], Model]) -> None:
    """XLNet's are (tokens, batch, width): also where there are as many texts as tokens, which no shape could tell apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = wrap(zoo.network_of("xlnet"))
    for count in (3, 4, 5):  # "<|user|>x<|assistant|>y" has four tokens
        with pytest.raises(BadInput, match=r"gives activations of shape"):
            activations(model, ["x"] * count, ["y"] * count, sites=["residual.0"])


def test_activations_of_flattened_tokens_are_put_back(
    make: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As mixtures of experts give them; and where lines are missing, nothing is guessed."""
    model, site = make("llama"), "mlp.0"
    usual = activations(model, PROMPTS, RESPONSES, sites=[site], reduce="last")[site]
    hook = taps._hook
    for cut, fine in ((None, True), (-1, False)):
        monkeypatch.setattr(
            taps, "_hook", lambda m, i, s, read, f, c=cut: hook(m, i, s, lambda x: read(x.flatten(0, 1)[:c]), f)
        )
        if fine:
            assert (activations(model, PROMPTS, RESPONSES, sites=[site], reduce="last")[site] == usual).all()
        else:
            with pytest.raises(BadInput, match=r"mlp\.0 of LlamaForCausalLM gives activations of shape"):
                activations(model, PROMPTS, RESPONSES, sites=[site])


def test_an_edit_of_a_matrix_with_a_norm_behind_it_is_refused(make: Callable[[str], Model]) -> None:
    with pytest.raises(BadInput, match="is not one whose effect on the next token is known"):
        edited(make("gemma3"), ["1+1"], [Said(text="2", ended=True)], seed=0)
