"""Layers run one by one give what the whole network gives, in every architecture; what cannot be read is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from superalign.errors import BadInput, TapError
from superalign.explanations.texts import Texts, cut
from superalign.interp.layers import calls_of, embedded, run_layer
from superalign.interp.patching import head_matrices
from superalign.interp.replaced import effects, neuron_at, neurons_over, next_token
from superalign.models import Model, open_weights
from superalign.models.taps import changed, tapped

SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 294}
NETWORKS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: tf.GPT2LMHeadModel(tf.GPT2Config(n_embd=32, n_layer=3, n_head=4, vocab_size=294, n_positions=64)),
    "neox": lambda: tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**SHAPE, intermediate_size=64, rotary_pct=0.5)),
    "llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**SHAPE, intermediate_size=64, num_key_value_heads=2)),
}


def texts() -> Texts:
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 290, (40, 20)).tolist()
    return cut({"a": ids}, {"a": [str(row) for row in ids]}, words=[str(i) for i in range(294)], window=16)


@pytest.fixture(params=list(NETWORKS))
def model(request: pytest.FixtureRequest) -> Model:
    torch.manual_seed(0)
    small = open_weights("small")
    return Model(network=NETWORKS[request.param]().eval(), tokenizer=small.tokenizer, subject=small.subject)


def test_layers_one_by_one_give_the_units_of_the_whole_network(model: Model) -> None:
    t = texts()
    calls, stream = calls_of(model, t), embedded(model, t)
    whole: dict[str, list[torch.Tensor]] = {"neurons.2": [], "heads.2": []}
    ids = torch.from_numpy(t.tokens_WT).long()
    with torch.no_grad(), tapped(model.network, {k: v.append for k, v in whole.items()}):
        model.network(input_ids=ids, use_cache=False)
    for number in range(3):
        layer = run_layer(model, number, calls, stream, t)
    expected = whole["neurons.2"][0].view(*ids.shape, -1)[torch.from_numpy(t.scored_WT)].numpy()
    assert np.allclose(layer.neurons_NU, expected, atol=2e-3)
    write = head_matrices(model.network, 2)
    reads = whole["heads.2"][0].view(*ids.shape, 4, -1)[torch.from_numpy(t.scored_WT)]
    assert np.allclose(layer.heads_NH, torch.einsum("nhx,hxd->nhd", reads, write).norm(dim=-1).numpy(), atol=2e-3)


def test_layers_that_end_elsewhere_than_the_network_are_not_believed(model: Model) -> None:
    t = texts()
    calls, stream = calls_of(model, t), embedded(model, t)
    with pytest.raises(TapError, match="one by one"):
        run_layer(model, 2, calls, stream, t)  # two layers were left out


def test_activations_that_do_not_fit_are_refused(model: Model) -> None:
    t = texts()
    with pytest.raises(BadInput, match="not finite"):
        run_layer(model, 0, calls_of(model, t), embedded(model, t) * float("nan"), t)


def test_a_neuron_that_is_set_to_its_own_values_changes_nothing(model: Model) -> None:
    t = texts()
    seen: list[torch.Tensor] = []
    some, keep = t.tokens_WT[:4], t.scored_WT[:4]
    with tapped(model.network, {"neurons.1": seen.append}):
        before = next_token(model, some)
    own = seen[0].view(*some.shape, -1)[..., 5].numpy()
    apart = effects(model, some, keep, before, layer=1, neuron=5, values=(own, own + 5.0))
    assert np.abs(apart[0]).max() < 1e-6
    assert apart[1].mean() > 1e-5


def test_a_neuron_of_a_layer_that_does_not_run_is_an_error(model: Model) -> None:
    with pytest.raises(TapError, match="did not fire"), changed(model.network, {"neurons.2": lambda x: x}):
        pass
    with pytest.raises(BadInput, match="There is no site"), changed(model.network, {"neurons.9": lambda x: x}):
        pass


def test_neurons_are_read_alike_at_single_tokens_and_over_whole_windows() -> None:
    model = open_weights("small")
    tokens = np.random.default_rng(0).integers(0, len(model.tokenizer), (70, 24)).astype(np.int32)
    at = np.random.default_rng(1).integers(1, 24, 70)
    whole = neurons_over(model, tokens, layer=1, neurons=(3, 7))
    alone = neuron_at(model, tokens, at, layer=1, neuron=7)
    assert whole.shape == (70, 24, 2)
    assert np.allclose(alone, whole[np.arange(70), at, 1], atol=1e-5)
    assert alone.std() > 0
