"""A tiny random model, and overseers that need no answers."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from superalign.models import Model, Sampling, weights_digest
from superalign.models.tokenizer import build_tokenizer
from superalign.types import Problem, Subject

torch.set_num_threads(1)


def tiny_model(*, seed=0, max_tokens=6, temperature=1.0):
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()
    subject = Subject(weights=weights_digest(network), base="", how="random")
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
    return Model(network=network, tokenizer=tokenizer, subject=subject, sampling=sampling)


@pytest.fixture
def tiny():
    return tiny_model


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture
def problems():
    return tuple(
        Problem(prompt=f"{i}+{j}", family="toy", difficulty=1, split="train") for i in range(3) for j in range(4)
    )
