from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import superalign
from superalign.errors import BadInput
from superalign.models import Model, base, load_adapter, lora, merge, response_logprobs, save_adapter, weights_digest

PROMPTS, RESPONSES = ("1+1", "what?"), ("#2", "a;b")


def scores(model: Model) -> np.ndarray:
    return response_logprobs(model, PROMPTS, RESPONSES)[0]


def trained(model: Model) -> Model:
    """As if training had moved the adapter."""
    adapted = lora(model, rank=2, seed=3)
    with torch.no_grad():
        for name, parameter in adapted.network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    return adapted


def test_a_fresh_adapter_changes_nothing_and_leaves_the_base_alone(model: Model) -> None:
    before = weights_digest(model.network)
    adapted = lora(model, rank=2, seed=3)
    assert (scores(adapted) == scores(model)).all()
    assert weights_digest(model.network) == before
    assert all("lora" in n for n, p in adapted.network.named_parameters() if p.requires_grad)
    assert adapted.subject.base == model.subject.digest
    assert adapted.subject.weights == lora(model, rank=2, seed=3).subject.weights
    assert adapted.subject.weights != lora(model, rank=2, seed=4).subject.weights


def test_saved_and_merged_adapters_give_the_same_numbers(model: Model, tmp_path: Path) -> None:
    adapted = trained(model)
    assert np.abs(scores(adapted) - scores(model)).max() > 1e-2
    folder = save_adapter(adapted, tmp_path / "adapter")
    assert {p.name for p in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert (folder / "adapter_model.safetensors").stat().st_size < 40_000
    again = load_adapter(model, folder)
    assert (scores(again) == scores(adapted)).all()
    assert weights_digest(again.network) == weights_digest(adapted.network)
    assert np.allclose(scores(merge(adapted)), scores(adapted), atol=2e-5)


def test_bad_input(make: Callable[[str], Model], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a LoRA adapter"):
        load_adapter(make("llama"), tmp_path)
    with pytest.raises(BadInput, match="no adapter to save"):
        save_adapter(make("llama"), tmp_path / "x")
    with pytest.raises(BadInput, match="rank"):
        lora(make("llama"), rank=0, seed=0)
    folder = save_adapter(trained(make("gpt2")), tmp_path / "other")
    with pytest.raises(BadInput, match="does not fit"):
        load_adapter(make("llama"), folder)


def test_a_saved_adapter_names_its_base_and_not_where_it_lay(tmp_path: Path) -> None:
    origin = base("small")
    folder = save_adapter(lora(origin, rank=2, seed=0), tmp_path / "mine")
    told = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert told == "small-0"
    assert load_adapter(origin, folder).subject.base == origin.subject.digest


def test_nothing_that_ships_says_where_it_was_made() -> None:
    """Files of the package hold no absolute path of a machine."""
    shipped = [p for p in Path(superalign.__file__).parent.rglob("*.json") if p.is_file()]
    assert len(shipped) > 50
    absolute = [p for p in shipped if re.search(r'"(/|[A-Z]:\\\\)[A-Za-z0-9_.-]+[/\\\\]', p.read_text())]
    assert not absolute
