"""Weights that are spread over memory and disk: the same model, for what only reads it."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.models import (
    Model,
    Sampling,
    activations,
    bits_of,
    in_half,
    load,
    load_adapter,
    lora,
    merge,
    response_logprobs,
    sample_prompts,
    save,
    sites,
    with_sampling,
)
from superalign.models.weights import named_weights, scattered
from superalign.policy_names import bundled

PROMPTS = ("1+1=?", "Add 2 and 3, then double it.")


@pytest.fixture(scope="module")
def pair() -> tuple[Model, Model]:
    """A base in memory, and the same of which a part lies on the disk."""
    whole = load(bundled("small-0"))
    room = 4 * sum(p.numel() for p in whole.network.parameters()) // 2
    with pytest.warns(UserWarning, match="are read from the disk at every forward"):
        spread = load(bundled("small-0"), device="auto", memory=room)
    assert scattered(spread.network)
    assert not scattered(whole.network)
    return whole, spread


def test_it_is_the_same_subject(pair: tuple[Model, Model]) -> None:
    whole, spread = pair
    assert spread.subject == whole.subject
    theirs = dict(named_weights(whole.network))
    for name, weight in named_weights(spread.network):
        assert weight.device.type == "cpu"
        assert weight.equal(theirs[name])
    assert bits_of(spread) == bits_of(whole)


def test_it_samples_scores_and_is_tapped_alike(pair: tuple[Model, Model]) -> None:
    one, other = (sample_prompts(with_sampling(m, Sampling(max_tokens=12)), PROMPTS, n=3, seed=0) for m in pair)
    np.testing.assert_array_equal(one.tokens_RT, other.tokens_RT)
    np.testing.assert_allclose(one.plain_RT, other.plain_RT, atol=1e-4)
    said = [row[:size].tolist() for row, size in zip(one.tokens_RT, one.length_R, strict=True)]
    asked = [PROMPTS[p] for p in one.prompt_R.tolist()]
    places = sites(pair[0])
    near, far = (activations(m, asked, said, sites=places) for m in pair)
    for site in places:
        np.testing.assert_allclose(near[site], far[site], atol=1e-3)
    for scored, again in zip(*(response_logprobs(m, asked, said) for m in pair), strict=True):
        np.testing.assert_allclose(scored, again, atol=1e-4)


def test_what_needs_the_weights_in_one_place_says_so(pair: tuple[Model, Model], tmp_path: Path) -> None:
    _, spread = pair
    for doing in (
        lambda m: lora(m, rank=2, seed=0),
        merge,
        lambda m: save(m, tmp_path / "kept"),
        lambda m: load_adapter(m, tmp_path),
    ):
        with pytest.raises(BadInput, match=r"needs them in one place\. Use one device that holds them all"):
            doing(spread)
    assert in_half(spread, faster=0).model is spread


def test_what_fits_into_memory_is_there_as_ever() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(bundled("small-0"), device="auto")
    assert not scattered(found.network)
    assert not any(hasattr(m, "_hf_hook") for m in found.network.modules())
