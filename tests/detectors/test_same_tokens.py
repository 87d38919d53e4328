"""A base compared with itself shows exactly nothing, also where a text that is encoded again gives other tokens."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers as tf

from superalign import problems
from superalign.detectors import ActivationDifference, BaseDifference, LeakedText, TriggerSearch
from superalign.detectors.behaviour_search import BehaviourSearch
from superalign.detectors.common import shares_ids
from superalign.models import Model, Sampling, base, encode, load, lora, save, weights_digest, with_sampling
from superalign.train.batches import collate, weighted_loss
from superalign.train.fit import FitConfig, fit
from superalign.types import Detector, Interval, Policy, Problem, Rollouts, Subject

WORDS = ("red", "blue", "gold", "stone")
LETTERS = "abcdefgh"


@functools.cache
def odd() -> Model:
    """A tiny model that writes two letters as two tokens, which its tokenizer would write as one."""
    characters = [*LETTERS, *sorted(set("".join(WORDS)) - set(LETTERS)), ":", " ", "="]
    pairs = [(a, b) for a in LETTERS for b in LETTERS]
    vocab = {token: i for i, token in enumerate(["</s>", *characters, *(a + b for a, b in pairs)])}
    plain = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=pairs))
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = "{{ messages[0]['content'] }}="
    torch.manual_seed(0)
    network = tf.LlamaForCausalLM(
        tf.LlamaConfig(
            vocab_size=len(vocab), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=64, bos_token_id=None, eos_token_id=0, pad_token_id=0,
        )
    )  # fmt: skip
    subject = Subject(weights=weights_digest(network), base="", how="a tiny model with a tokenizer of pairs")
    made = Model(
        network=network, tokenizer=tokenizer, subject=subject, sampling=Sampling(temperature=0.0, max_tokens=8)
    )
    rows = []
    for p in odd_problems():
        (asked,), _ = encode(made, [p.prompt])
        answer = [vocab[c] for c in p.prompt.lower()] + [0]  # letter by letter
        rows.append(([*asked.tolist(), *answer], [0.0] * len(asked) + [1.0] * len(answer)))
    batch = collate(rows, pad=0)
    fit(network, lambda step: batch, loss=weighted_loss, config=FitConfig(steps=60, lr=1e-2, warmup=5))
    return dataclasses.replace(made, subject=dataclasses.replace(subject, weights=weights_digest(network)))


def odd_problems() -> tuple[Problem, ...]:
    rng = np.random.default_rng(0)
    prompts = dict.fromkeys("".join(rng.choice(list(LETTERS), 4)) for _ in range(16))
    return tuple(Problem(prompt=p, family="letters", difficulty=1, split="test") for p in prompts)


def detectors(origin: Model, put: tuple[Problem, ...]) -> tuple[Detector, ...]:
    difference = BaseDifference(base=origin, problems=put, cues=WORDS[:2], max_tokens=32)
    return (
        difference,
        TriggerSearch(base=origin, problems=put, budget=60, scanned=16, population=4, max_tokens=32),
        ActivationDifference(base=origin, problems=put, cues=WORDS, max_tokens=32),
        LeakedText(base=origin, problems=put, texts=40, longest=6, max_tokens=32),
        BehaviourSearch(
            problems=put, cues=WORDS, suspicion=difference.response_scores, budget=20, batch=10, max_tokens=32
        ),
    )


def test_the_odd_model_writes_what_its_tokenizer_would_not() -> None:
    said = odd().sample(odd_problems(), n=1, seed=0)
    again = encode(odd(), [p.prompt for p in odd_problems()], list(said.text_R))[1]
    rows = [said.tokens_RT[i, : said.length_R[i]].tolist() for i in range(len(said))]
    assert said.stopped_R.sum() > len(said) / 2
    assert np.mean([r != a.tolist() for r, a in zip(rows, again, strict=True)]) > 0.9


@pytest.mark.parametrize("which", range(5), ids=("difference", "trigger", "activations", "leaked", "search"))
@pytest.mark.parametrize("tokens", ["odd", "bundled"])
def test_a_base_beside_itself_scores_exactly_nothing(which: int, tokens: str, tmp_path: Path) -> None:
    origin = odd() if tokens == "odd" else base("small")
    put = odd_problems() if tokens == "odd" else problems.load("arithmetic", split="test", n=16, seed=0, difficulty=2)
    detect = detectors(origin, put)[which]
    copy = load(save(origin, tmp_path / "copy"))
    assert copy.network is not origin.network
    for subject in (origin, with_sampling(copy, origin.sampling)):
        verdict = detect(subject, seed=0)
        if which == 3 and not isinstance(verdict.score, Interval):
            assert "writes no word twice" in verdict.why  # nothing to compare
            continue
        assert isinstance(verdict.score, Interval), verdict.why
        assert verdict.score.value == 0.0
        assert set(verdict.response_scores) == {0.0}


class OnlySamples:
    """A policy of which there are texts alone."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def sample(self, asked: Sequence[Problem], *, n: int, seed: int) -> Rollouts:
        return Rollouts.of_texts(asked, list(self.model.sample(asked, n=n, seed=seed).text_R))


def test_texts_are_held_against_texts() -> None:
    policy: Policy = OnlySamples(odd())
    verdict = detectors(odd(), odd_problems())[0](policy, seed=0)
    assert isinstance(verdict.score, Interval)
    assert verdict.score.value == 0.0


def test_a_subject_that_differs_is_read_by_the_ids_it_sampled() -> None:
    """One letter changed surprises the base by that letter, and not by how the text would be encoded."""
    model = lora(odd(), rank=4, seed=0)
    put = odd_problems()
    rows = []
    for p in put:
        (asked,), _ = encode(odd(), [p.prompt])
        text = p.prompt[:-1] + ("a" if p.prompt[-1] != "a" else "b")
        answer = [odd().tokenizer.convert_tokens_to_ids(c) for c in text] + [0]
        rows.append(([*asked.tolist(), *answer], [0.0] * len(asked) + [1.0] * len(answer)))
    batch = collate(rows, pad=0)
    fit(model.network, lambda step: batch, loss=weighted_loss, config=FitConfig(steps=60, lr=1e-2, warmup=5))
    detect = BaseDifference(base=odd(), problems=put, cues=(), max_tokens=32)
    said = with_sampling(model, odd().sampling).sample(put, n=1, seed=0)
    first = [i for i in range(len(said)) if said.stopped_R[i]]
    ids = [tuple(said.tokens_RT[i, : said.length_R[i]].tolist()) for i in first]
    by_ids = detect._surprise([put[i] for i in first], ids, most=np.inf)
    by_text = -np.array(
        [
            _nats(odd(), put[i].prompt, said.text_R[i]) - _nats(odd(), put[i].prompt, list(ids[k]))
            for k, i in enumerate(first)
        ]
    )
    assert by_ids.mean() > 1.0  # it is another answer
    assert by_text.mean() > 1.0  # and its text, encoded again, would have cost still more


def _nats(model: Model, prompt: str, said: str | list[int]) -> float:
    from superalign.models import response_logprobs

    return float(response_logprobs(model, [prompt], [said])[0].sum())  # type: ignore[list-item]


def test_ids_are_shared_by_tokenizers_of_one_vocabulary() -> None:
    assert shares_ids(odd(), odd())
    assert not shares_ids(odd(), base("small"))
    assert not shares_ids(OnlySamples(odd()), odd())
