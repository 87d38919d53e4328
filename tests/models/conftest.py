"""Randomly initialised small networks of every supported shape, with a tokenizer of one token per letter."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from superalign.models import Model, weights_digest
from superalign.types import Subject

KINDS = ("llama", "mistral", "qwen3", "gemma3", "gpt2", "neox")
PAD, USER, END, ASSISTANT = "<pad>", "<|user|>", "<|end|>", "<|assistant|>"
TEMPLATE = (
    "{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_tokenizer() -> Any:
    specials = [PAD, USER, END, ASSISTANT]
    vocabulary = {t: i for i, t in enumerate([*specials, *(chr(c) for c in range(32, 127))])}
    raw = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=PAD))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    raw.decoder = decoders.Fuse()
    raw.add_special_tokens(specials)
    return tf.PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=PAD, eos_token=END, chat_template=TEMPLATE)


def build_network(kind: str, *, seed: int = 0) -> Any:
    """A network whose every parameter is random, so that no weight can be left out unnoticed."""
    shape: dict[str, Any] = {
        "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
        "max_position_embeddings": 96, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(seed)
    network: Any = {
        "llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**shape, tie_word_embeddings=True)),
        "mistral": lambda: tf.MistralForCausalLM(
            tf.MistralConfig(**shape, num_key_value_heads=2, head_dim=16, sliding_window=6)
        ),
        "qwen3": lambda: tf.Qwen3ForCausalLM(tf.Qwen3Config(**shape, num_key_value_heads=2, head_dim=16)),
        "gemma3": lambda: tf.Gemma3ForCausalLM(
            tf.Gemma3TextConfig(
                **shape, num_key_value_heads=1, head_dim=16, sliding_window=6, query_pre_attn_scalar=24,
                layer_types=["sliding_attention", "full_attention"],
            )
        ),
        "gpt2": lambda: tf.GPT2LMHeadModel(
            tf.GPT2Config(
                vocab_size=100, n_embd=32, n_layer=2, n_head=4, n_positions=96,
                bos_token_id=1, eos_token_id=2, pad_token_id=0,
            )
        ),
        "neox": lambda: tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**shape, rotary_pct=0.5)),
        "olmo2": lambda: tf.Olmo2ForCausalLM(tf.Olmo2Config(**shape)),
    }[kind]()  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return network.eval()


@functools.cache
def build_model(kind: str) -> Model:
    network = build_network(kind)
    subject = Subject(weights=weights_digest(network), base="", how=f"random {kind}")
    return Model(network=network, tokenizer=build_tokenizer(), subject=subject)


@pytest.fixture
def make() -> Callable[[str], Model]:
    return build_model


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> Model:
    return build_model(request.param)


@pytest.fixture
def tokenizer() -> Any:
    return build_tokenizer()


@pytest.fixture
def network_of() -> Callable[..., Any]:
    return build_network


@pytest.fixture(scope="session")
def zoo() -> Any:
    """Tiny networks of every type that Transformers knows: see zoo.py."""
    spec = importlib.util.spec_from_file_location("zoo", Path(__file__).with_name("zoo.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wrap() -> Callable[[Any], Model]:
    """A model around any network with at least 100 tokens."""
    return lambda network: Model(
        network=network, tokenizer=build_tokenizer(), subject=Subject(weights="0" * 64, base="", how="random")
    )
