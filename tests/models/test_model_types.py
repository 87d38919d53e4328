"""Every causal LM of the installed Transformers: sampler, scorer and taps are right, or refused in a sentence.

What holds of each type stands in docs/models.md and is checked here. To write it anew after an update of Transformers:
`pytest --slow tests/models/test_model_types.py` shows the lines that differ.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from superalign.errors import BadInput
from superalign.models import Model, Sampling, activations, encode, response_logprobs, sample_prompts, sites
from superalign.models import with_sampling as set_to
from superalign.models.engine_check import check_engine
from superalign.models.engines import engine_for

LIST = Path(__file__).parents[2] / "docs" / "models.md"
PROMPTS = ("1+1=?", "what is it, then?", "x")
WAYS = {"DecoderEngine": "decoder", "WholeEngine": "whole"}


def row_of(kind: str, network: Any, wrap: Callable[[Any], Model]) -> str:
    """The line of the list: how the type samples, and what can be tapped; every number in it is compared first."""
    model = set_to(wrap(network), Sampling(max_tokens=6))
    why = refusal(lambda: check_engine(model))
    if why:
        assert "cannot be used here" in why
        return f"| {kind} | refused | |"
    engine: Any = engine_for(network, rows=1, length=1, spare=False)
    way = WAYS.get(type(engine).__name__) or ("padded" if engine.pads else "by length")
    drawn = sample_prompts(model, PROMPTS, n=1, seed=0)
    own = [row[:size].tolist() for row, size in zip(drawn.tokens_RT, drawn.length_R, strict=True)]
    scored_RT, _ = response_logprobs(model, PROMPTS, own)
    for r, (prompt, tokens) in enumerate(zip(encode(model, PROMPTS)[0], own, strict=True)):
        true = [alone(network, [*prompt.tolist(), *tokens[:t]], token) for t, token in enumerate(tokens)]
        assert np.abs(drawn.plain_RT[r, : len(true)] - true).max() < 1e-3
        assert np.abs(scored_RT[r, : len(true)] - true).max() < 1e-3
    return f"| {kind} | {way} | {taps_of(model, own)} |"


def refusal(call: Callable[[], Any]) -> str:
    """What a call is refused with; empty if it is not."""
    try:
        call()
    except BadInput as error:
        return str(error)
    return ""


def alone(network: Any, before: list[int], token: int) -> float:
    """The log-prob of a token, by the network's own forward of what stands before it."""
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([before]), use_cache=False).logits[0, -1]
    return float(torch.log_softmax(logits.float(), -1)[token])


def taps_of(model: Model, said: list[list[int]]) -> str:
    """Which kinds of sites give for each text what they give for it alone; the others are refused."""
    if refusal(lambda: sites(model)):
        return "none"
    kinds: dict[str, bool] = {}
    for site in sites(model):
        kind = site.partition(".")[0]
        why = refusal(lambda s=site: activations(model, PROMPTS, said, sites=[s]))  # type: ignore[misc]
        if why:
            assert "activations of shape" in why
            kinds[kind] = False
            continue
        beside = activations(model, PROMPTS, said, sites=[site])[site]
        for r, (prompt, tokens) in enumerate(zip(PROMPTS, said, strict=True)):
            assert np.allclose(beside[r], activations(model, [prompt], [tokens], sites=[site])[site][0], atol=1e-3), (
                site
            )
        kinds.setdefault(kind, True)
    return ", ".join(kind for kind, fine in kinds.items() if fine) or "none"


def listed() -> dict[str, str]:
    """The lines of the list by type."""
    lines = re.findall(r"^\| ([\w.-]+) \| .*\|$", LIST.read_text(), re.M)
    return {
        kind: next(line for line in LIST.read_text().splitlines() if line.startswith(f"| {kind} |")) for kind in lines
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
def test_a_type_is_right_or_refused(zoo: Any, wrap: Callable[[Any], Model], kind: str) -> None:
    verbosity = logging.get_verbosity()
    logging.set_verbosity(50)
    try:
        network = zoo.network_of(kind)
    except Exception:  # needs another package, or files beside its config
        assert listed()[kind] == f"| {kind} | not tried | |"
        return
    finally:
        logging.set_verbosity(verbosity)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert row_of(kind, network, wrap) == listed()[kind]
