"""What answers yes-or-no questions: a network under a new head, its log-odds of two tokens, and a head on states."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM

from superalign.errors import BadInput
from superalign.models import choice_logprobs, encode, open_weights
from superalign.train.answering import HeadOdds, Labelled, NewHead, TokenOdds, answer_odds, fit_answers
from superalign.train.fit import FitConfig
from superalign.train.weak_losses import naive


def by_labels(module: torch.nn.Module, batch: Labelled) -> torch.Tensor:
    return naive(module(batch.row_B), batch.label_B, batch.done)


def fitted(module: torch.nn.Module, rows: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> np.ndarray:
    config = FitConfig(steps=60, lr=0.05, warmup=2)
    fit_answers(module, rows=rows, labels=labels, loss=by_labels, config=config, batch=16, seed=seed)
    return answer_odds(module, rows)


def test_a_head_learns_labels_from_states_and_is_silent_before() -> None:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(400, 6)) * 5 + 3
    labels = (states[:, 2] > 3).astype(float)
    head = HeadOdds(states, trained=np.arange(300))
    assert not answer_odds(head, np.arange(400)).any()
    fitted(head, np.arange(300), labels[:300])
    assert ((answer_odds(head, np.arange(300, 400)) > 0) == labels[300:]).mean() > 0.9


def test_the_same_seed_trains_the_same_student_and_another_does_not() -> None:
    states, labels = np.random.default_rng(1).normal(size=(60, 4)), np.tile([0.0, 1.0], 30)
    rows = np.arange(60)
    one, same, other = (fitted(HeadOdds(states, trained=rows), rows, labels, seed=s) for s in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


def test_log_odds_of_two_tokens_are_those_that_choices_are_scored_by() -> None:
    model = open_weights("small")
    prompts = ["claim 5+3=8", "claim fox eats fish", "claim 5+3*2=6"]
    ids, words = encode(model, prompts)[0], model.tokenizer.get_vocab()
    odds = answer_odds(TokenOdds(model.network, ids, yes=words["5"], no=words["fox"]), np.arange(3))
    scored = choice_logprobs(model, prompts, ["5", "fox"])
    assert odds == pytest.approx(scored[:, 0] - scored[:, 1], abs=1e-4)
    with pytest.raises(BadInput, match="the same token"):
        TokenOdds(model.network, ids, yes=words["5"], no=words["5"])


@pytest.mark.parametrize("known", [True, False])
def test_a_new_head_reads_what_the_output_layer_reads_whoever_runs_the_network(known: bool) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2}
    network = (
        LlamaForCausalLM(LlamaConfig(**sizes, intermediate_size=32, num_attention_heads=2, max_position_embeddings=64))
        if known
        else MambaForCausalLM(MambaConfig(**sizes, state_size=4))
    ).eval()
    ids = [np.array([1, 2, 3]), np.array([4, 5, 6, 7, 8])]
    states = answer_odds(NewHead(network, ids).states, np.arange(2))
    for row, own in zip(ids, states, strict=True):
        logits = network(torch.from_numpy(row)[None]).logits[0, -1]
        read = network.get_output_embeddings()(torch.from_numpy(own).float())
        assert read.detach().numpy() == pytest.approx(logits.detach().numpy(), rel=0.02, abs=1e-3)
    student = NewHead(network, ids)
    assert not answer_odds(student, np.arange(2)).any()
    odds = fitted(student, np.arange(2), np.array([1.0, 0.0]))
    assert odds[0] > 0 > odds[1]
