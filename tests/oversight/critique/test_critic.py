"""The critic: it learns to point from labelled texts, passes conformance, and reads nothing but the text."""

import dataclasses

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from superalign.errors import BadInput
from superalign.models import Model, Sampling
from superalign.models.tokenizer import build_tokenizer
from superalign.oversight import CriticConfig, check_overseer, critic_alone, judge, pointing_accuracy, train_critic
from superalign.types import Problem, Rollouts, Subject, Unmeasured

torch.set_num_threads(1)
CONFIG = CriticConfig(steps=80, hidden=16, heads=2)
PROBLEMS = tuple(Problem(prompt=f"ask {i}", family="toy", difficulty=1, split="train") for i in range(40))


def letters(text):
    """Each letter is a step."""
    return tuple((i, i + 1) for i in range(len(text)))


def texts_of(seed, n=40):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("wxyn"), 6, p=[0.3, 0.3, 0.3, 0.1])) for _ in range(n)]


def labels(texts):
    return [[c == "n" for c in t] for t in texts]


@pytest.fixture(scope="module")
def base():
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()  # fmt: skip
    subject = Subject(weights="", base="", how="random")
    return Model(network=network, tokenizer=tokenizer, subject=subject, sampling=Sampling())


@pytest.fixture(scope="module")
def critic(base):
    texts = texts_of(0)
    return train_critic(base, PROBLEMS, texts, step_wrong=labels(texts), spans=letters, config=CONFIG, seed=0)


def test_it_points_to_wrong_steps_of_texts_it_has_not_seen(critic):
    texts = texts_of(1)
    accuracy, chance = pointing_accuracy(critic, PROBLEMS, texts, step_wrong=labels(texts))
    assert chance < 0.4
    assert accuracy.low > 0.8


def test_shuffled_labels_teach_nothing(base):
    texts, hits, chance = texts_of(0), [], 0.0
    for seed in range(4):
        flat = np.random.default_rng(seed).permutation(np.ravel(labels(texts)))
        wrong = [[bool(w) for w in row] for row in flat.reshape(len(texts), -1)]
        blind = train_critic(base, PROBLEMS, texts, step_wrong=wrong, spans=letters, config=CONFIG, seed=seed)
        accuracy, chance = pointing_accuracy(blind, PROBLEMS, texts_of(1), step_wrong=labels(texts_of(1)))
        hits.append(accuracy.value)
    assert np.mean(hits) < chance + 0.2


def test_same_seed_same_critic(base, critic):
    texts = texts_of(0)
    again = train_critic(base, PROBLEMS, texts, step_wrong=labels(texts), spans=letters, config=CONFIG, seed=0)
    asked = Rollouts.of_texts(PROBLEMS, texts_of(2))
    for a, b in zip(critic.scores(PROBLEMS, asked)[0], again.scores(PROBLEMS, asked)[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_judge_with_critic_and_critic_alone_conform(critic):
    asked = Rollouts.of_texts(PROBLEMS[:12], texts_of(3, n=12))
    helped = judge(check_step=lambda p, t, i: t[i] != "n", n_steps=len, pointer=critic)
    check_overseer(helped, PROBLEMS[:12], asked)
    check_overseer(critic_alone(critic), PROBLEMS[:12], asked)


def test_a_judge_with_the_critic_finds_more_than_alone(critic):
    texts = [t for t in texts_of(4, n=200) if "n" in t]
    problems = [PROBLEMS[i % 40] for i in range(len(texts))]

    def check(problem, text, step):
        return text[step] != "n"

    asked = Rollouts.of_texts(problems, texts)
    alone, helped = (judge(check_step=check, n_steps=len, pointer=p)(problems, asked, seed=0) for p in (None, critic))
    assert alone.checks == helped.checks
    assert np.mean(helped.values) < np.mean(alone.values) - 0.3
    assert "look at step" in helped.said[0]


def test_equal_rollouts_are_read_once_and_all_get_scores(critic):
    one, three = (Rollouts(problems=PROBLEMS[:1], problem_R=np.zeros(n, int), text_R=["wxn"] * n) for n in (1, 3))
    (first, cost), (each, cost_of_three) = critic.scores(PROBLEMS, one), critic.scores(PROBLEMS, three)
    assert cost == cost_of_three > 0
    assert all(np.array_equal(first[0], s) for s in each)


def test_an_empty_text_is_unmeasured(critic):
    signal = critic_alone(critic)(PROBLEMS, Rollouts.of_texts(PROBLEMS[:2], ["", "w"]), seed=0)
    assert isinstance(signal.values[0], Unmeasured)
    assert not isinstance(signal.values[1], Unmeasured)
    assert len(critic.scores(PROBLEMS, Rollouts.of_texts(PROBLEMS[:1], [""]))[0][0]) == 0


def test_labels_that_cannot_teach_are_refused(base):
    for texts, wrong, says in (
        (["wx"], [[True]], "1 labels for the 2 steps"),
        (["wx"], [[False, False]], "are the same"),
    ):
        with pytest.raises(BadInput, match=says):
            train_critic(base, PROBLEMS[:1], texts, step_wrong=wrong, spans=letters, config=CONFIG, seed=0)


def test_pointing_without_a_wrong_step_is_unmeasured(critic):
    accuracy, _ = pointing_accuracy(critic, PROBLEMS[:1], ["wx"], step_wrong=[[False, False]])
    assert isinstance(accuracy, Unmeasured)


def test_a_network_without_our_decoder_is_read_through_its_own_forward(base, critic, monkeypatch):
    asked = Rollouts.of_texts(PROBLEMS[:6], texts_of(5, n=6))
    ours, _ = critic.scores(PROBLEMS, asked)
    monkeypatch.setattr("superalign.models.weights.supported", lambda network: False)
    theirs, _ = dataclasses.replace(critic).scores(PROBLEMS, asked)
    # Its states carry the last norm's gain, which is 1 at the start.
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
