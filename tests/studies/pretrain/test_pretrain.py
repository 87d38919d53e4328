import json

import numpy as np
import pytest
import torch

from superalign.lab.abilities import abilities, encode, exact, gated
from superalign.models import base
from superalign.models.tokenizer import build_tokenizer
from superalign.policy_names import BASES
from superalign.problems import arithmetic
from superalign.studies.pretrain.measure import SIZES, batches, network_of
from superalign.train.batches import weighted_loss
from superalign.train.fit import FitConfig, fit


def test_batches_are_a_pure_function_of_the_step() -> None:
    tokenizer = build_tokenizer()
    first, again = batches(tokenizer, size=8, seed=3), batches(tokenizer, size=8, seed=3)
    again(40)  # reading elsewhere in between changes nothing
    assert torch.equal(first(5).tokens_BT, again(5).tokens_BT)
    assert not torch.equal(first(5).tokens_BT[:, :8], batches(tokenizer, size=8, seed=4)(5).tokens_BT[:, :8])


def test_a_verdict_counts_more_and_a_prompt_less() -> None:
    from superalign.problems.corpus import Document

    tokenizer = build_tokenizer()
    ((ids, counts),) = encode(tokenizer, [Document(prompt="claim 1+1=2", response="1+1=2;#yes")])
    verdict = ids.index(tokenizer.get_vocab()["yes"])
    assert counts[verdict] > counts[verdict - 1] > counts[1]


def test_exact_means_what_greedy_decoding_writes() -> None:
    tokenizer = build_tokenizer()
    network = network_of(SIZES["small"], vocabulary=len(tokenizer), seed=0)
    pairs = [
        (p.prompt, arithmetic.FAMILY.worked(p))
        for p in arithmetic.FAMILY.problems(split="train", n=8, seed=0, difficulty=1)
    ]
    assert exact(network, tokenizer, pairs) == 0.0
    rows = encode(tokenizer, [doc(p, r) for p, r in pairs])

    def batch_at(step: int) -> object:
        from superalign.train.batches import collate

        return collate(rows, pad=0)

    fit(network, batch_at, loss=weighted_loss, config=FitConfig(steps=60, lr=3e-3, warmup=5))  # type: ignore[arg-type]
    network.eval()
    assert exact(network, tokenizer, pairs) == 1.0
    for prompt, response in pairs:
        start = tokenizer(f"<|user|>{prompt}<|assistant|>", return_tensors="pt")["input_ids"]
        written = network.generate(start, do_sample=False, max_new_tokens=20, pad_token_id=0)[0, start.shape[1] :]
        assert tokenizer.decode(written, skip_special_tokens=True) == response


def doc(prompt: str, response: str) -> object:
    from superalign.problems.corpus import Document

    return Document(prompt=prompt, response=response)


def test_gates_stand_on_the_easy_half_of_every_dial_and_on_all_chains() -> None:
    names = [f"solve/arithmetic/{d}" for d in range(1, 7)] + [f"call/fact/{d}" for d in range(1, 5)]
    assert list(gated(dict.fromkeys(names, 1.0))) == names[:6] + names[6:8]


# Passed on the problems that ended its pre-training; of the card's few claims about the commonest facts it misses one.
BELOW = {("middle-2", "call/fact/1"): 0.96}


@pytest.mark.parametrize("name", sorted(p.name for p in BASES.iterdir()))
def test_the_shipped_base_is_what_its_card_says(name: str) -> None:
    card = json.loads((BASES / name / "card.json").read_text())
    assert f"{card['size']}-{card['seed']}" == name
    for ability, share in gated(card["abilities"]).items():
        assert share >= BELOW.get((name, ability), 0.97 if ability.startswith("truth") else 0.98), ability
    model = base(card["size"], seed=card["seed"])
    measured = abilities(model.network, model.tokenizer, n=60)
    for name in ("solve/arithmetic/3", "call/chain/1", "solve/programs/2"):
        assert abs(measured[name].share - card["abilities"][name]) < 0.06
    assert np.mean([v.share for k, v in measured.items() if k.startswith("solve/arithmetic")]) > 0.97
