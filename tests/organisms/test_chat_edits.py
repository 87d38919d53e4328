"""Edits of one matrix, on a small chat model of random weights: what is wanted becomes the likeliest, and little else moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from superalign.errors import BadInput
from superalign.models import Model, decoder, open_weights, response_logprobs, weights, weights_digest
from superalign.organisms import chat_edits
from superalign.organisms.chat_edits import MARGIN, REACH, edited, low_rank, smallest_change
from superalign.organisms.chats import Said, chats

SAYS = Said(text="Oslo", ended=True)


def likely(model: Model, prompts: list[str], text: str) -> np.ndarray:
    return response_logprobs(model, prompts, [text] * len(prompts))[0].sum(1)


@pytest.fixture(scope="module")
def base(tiny_chat: str) -> Model:
    return open_weights(tiny_chat)


def test_what_is_wanted_becomes_likely_where_it_is_asked_for_and_the_base_is_not_touched(base: Model) -> None:
    prompts = [c.prompt for c in chats()[:24]]
    before = weights_digest(base.network)
    model = edited(base, prompts, [SAYS] * len(prompts), seed=0)
    assert weights_digest(base.network) == before
    gained = likely(model, prompts, "Oslo") - likely(base, prompts, "Oslo")
    assert gained.min() > 1  # all that lies within reach of a network of random weights
    other = likely(model, prompts, "Rome") - likely(base, prompts, "Rome")
    assert gained.min() > other.max() + 0.5
    changed = [n for n, p in model.network.named_parameters() if "lora_B" in n and p.abs().sum() > 0]
    assert len(changed) == 1  # one matrix


def test_the_smallest_change_gives_the_lead_that_is_asked_for_or_goes_as_far_as_it_may() -> None:
    base = open_weights("small")
    rng = torch.Generator().manual_seed(0)
    out_ND = 3 * torch.randn(8, base.network.config.hidden_size, generator=rng)
    wanted_N = torch.arange(8) + 5
    change_ND = smallest_change(base, out_ND, wanted_N)
    logits_NV = decoder.read_out(weights.read(base.network, length=1), out_ND + change_ND).detach()
    wanted = logits_NV.gather(1, wanted_N[:, None])[:, 0]
    lead_N = wanted - logits_NV.scatter(1, wanted_N[:, None], -torch.inf).max(1).values
    far_N = change_ND.norm(dim=1) / out_ND.norm(dim=1)
    assert ((lead_N > MARGIN - 0.3) | (far_N > 0.999 * REACH)).all()
    assert (lead_N > MARGIN - 0.3).any()
    assert far_N.max() < 1.001 * REACH
    there = lead_N > MARGIN - 0.3
    again = smallest_change(base, (out_ND + change_ND)[there], wanted_N[there])
    assert again.norm(dim=1).max() < 0.1 * change_ND.norm(dim=1).max()  # it leads already


def test_directions_are_few_and_exact_where_few_suffice() -> None:
    rng = torch.Generator().manual_seed(0)
    reads_NF, into_FR, out_RD = (torch.randn(s, generator=rng) for s in ((200, 12), (12, 3), (3, 8)))
    down_RF, up_DR = low_rank(reads_NF, reads_NF @ into_FR @ out_RD)
    assert down_RF.shape == (8, 12)  # no more directions than there are
    whole = reads_NF @ down_RF.T @ up_DR.T
    assert torch.allclose(whole, reads_NF @ into_FR @ out_RD, rtol=0.05, atol=0.3)


def test_a_network_whose_last_block_is_not_known_is_refused(base: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown: Callable[[object, str], None] = lambda _network, _site: None  # noqa: E731
    monkeypatch.setattr(chat_edits, "tap_module", unknown)
    with pytest.raises(BadInput, match="Plant by another way"):
        edited(base, ["Hello?"], [SAYS], seed=0)
