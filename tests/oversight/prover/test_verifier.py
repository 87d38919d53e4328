"""Prover-verifier games: the pay is the paper's, the verifier learns from pairs, its null is null, and it conforms."""

import dataclasses

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from superalign.errors import BadInput
from superalign.models import Model, Sampling
from superalign.models.tokenizer import build_tokenizer
from superalign.oversight import check_overseer
from superalign.oversight.conformance import failures
from superalign.oversight.prover.reward import convince, prover_reward
from superalign.oversight.prover.verifier import VerifierConfig, preference_loss, train_verifier
from superalign.stats import auroc
from superalign.types import Problem, Rollouts, Subject, Unmeasured

torch.set_num_threads(1)
CONFIG = VerifierConfig(steps=120, hidden=8, heads=2, pairs=128)
PROBLEMS = tuple(Problem(prompt=f"ask {i}", family="toy", difficulty=1, split="train") for i in range(60))


def texts_of(seed, n=60):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("wxyn"), 6, p=[0.3, 0.3, 0.3, 0.1])) for _ in range(n)]


def right(texts):
    return ["n" not in t for t in texts]


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
    return Model(
        network=network, tokenizer=tokenizer, subject=Subject(weights="", base="", how="random"), sampling=Sampling()
    )


def verifier_of(base, labels, hidden=8):
    config = dataclasses.replace(CONFIG, hidden=hidden)
    return train_verifier(base, PROBLEMS, texts_of(0), right=labels, config=config, seed=0)


def rank(verifier):
    texts = texts_of(1)
    score, _ = verifier.scores(PROBLEMS, Rollouts.of_texts(PROBLEMS, texts))
    true = np.array(right(texts))
    return auroc(score[true], negatives=score[~true])


@pytest.fixture(scope="module")
def verifier(base):
    return verifier_of(base, right(texts_of(0)))


@pytest.mark.parametrize(("role", "paid"), [("helpful", [1.5, -0.5, -1.0, -1.0]), ("sneaky", [-1.5, 0.5, -1.0, -1.0])])
def test_a_prover_is_paid_as_in_the_paper(role, paid):
    score, correct = np.array([2.0, 1.0, 0.0, -1.0]), np.array([True, False, True, False])
    assert prover_reward(score, correct, role).tolist() == paid


def test_the_loss_prefers_the_right_one_and_pulls_scores_to_zero():
    good, bad = torch.tensor([[3.0, -3.0]]), torch.tensor([[-3.0, 3.0]])
    first, second = torch.tensor([0]), torch.tensor([1])
    assert preference_loss(good, first, second, square=0.0) < preference_loss(bad, first, second, square=0.0)
    assert preference_loss(good, first, second, square=1.0) > 9


@pytest.mark.parametrize("hidden", [0, 8])
def test_it_ranks_responses_that_it_has_not_seen(base, hidden):
    assert rank(verifier_of(base, right(texts_of(0)), hidden)) > 0.9


def test_with_shuffled_labels_it_learns_nothing(base):
    labels = right(texts_of(0))
    ranks = [rank(verifier_of(base, np.random.default_rng(s).permutation(labels).tolist())) for s in range(6)]
    mean, error = np.mean(ranks), np.std(ranks, ddof=1) / 6**0.5
    assert abs(mean - 0.5) < 3 * error + 0.05


def test_it_conforms_and_one_that_looks_at_places_does_not(verifier):
    problems, texts = PROBLEMS[:8], texts_of(2, 8)
    rollouts = Rollouts.of_texts(problems, texts)
    check_overseer(verifier, problems, rollouts)

    def by_place(problems, rollouts, *, seed):
        signal = verifier(problems, rollouts, seed=seed)
        return dataclasses.replace(signal, values=tuple(r / len(rollouts) for r in range(len(rollouts))))

    by_place.card = verifier.card
    assert "order does not matter" in failures(by_place, problems, rollouts)


def test_provers_are_paid_by_role_and_an_empty_response_is_fined(verifier):
    problems, texts = PROBLEMS[:4], ["wxyw", "nnnn", "xyxy", ""]
    rollouts = Rollouts.of_texts(problems, texts)
    values = {
        role: convince(verifier, correct=lambda p, t: "n" not in t and bool(t), role=role)(
            problems, rollouts, seed=0
        ).values
        for role in ("helpful", "sneaky")
    }
    assert values["helpful"][0] > 0 > values["sneaky"][0]
    assert values["helpful"][3] == values["sneaky"][3] == -1.0
    assert isinstance(verifier(problems, rollouts, seed=0).values[3], Unmeasured)


@pytest.mark.parametrize("labels", [[True] * 60, [False] * 60, [True, False]])
def test_labels_that_make_no_pairs_are_refused(base, labels):
    with pytest.raises(BadInput, match=r"learns from pairs.*Give one label per text"):
        train_verifier(base, PROBLEMS, texts_of(0), right=labels, config=CONFIG, seed=0)
