"""From a name to a policy: every kind of name, and what is imported on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from superalign import models
from superalign.errors import BadInput
from superalign.models import Sampling, base, load_adapter, lora, random_model, save, save_adapter
from superalign.models.api import ApiPolicy


def test_every_kind_of_name(tmp_path: Path) -> None:
    small = base("small")
    whole, adapter = save(small, tmp_path / "whole"), save_adapter(lora(small, rank=1, seed=0), tmp_path / "adapter")
    wanted = {
        "small": small,
        "middle-1": base("middle", seed=1),
        "random:3": random_model(3),
        str(whole): small,
        str(adapter): load_adapter(small, adapter),
    }
    for name, model in wanted.items():
        assert models.open_weights(name).subject.weights == model.subject.weights, name


def test_an_adapter_is_put_on_the_base_that_is_named(tmp_path: Path) -> None:
    adapter = save_adapter(lora(base("small"), rank=1, seed=0), tmp_path / "adapter")
    assert models.open_weights(adapter, on="small").subject == models.open_weights(adapter).subject
    with pytest.raises(BadInput, match="was trained on another base"):
        models.open_weights(adapter, on="middle")
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(BadInput, match="its base is not at hand"):
        models.open_weights(adapter)


def test_a_model_behind_an_api_samples_as_it_is_told() -> None:
    pytest.importorskip("inspect_ai")
    found = models.open("api:mockllm/model", over_api=Sampling(max_tokens=5))
    assert isinstance(found, ApiPolicy)
    assert found.name == "mockllm/model"
    assert found.sampling == Sampling(max_tokens=5)
    with pytest.raises(BadInput, match="gives texts only"):
        models.open_weights("api:mockllm/model")


def test_peft_is_imported_only_for_adapters() -> None:
    program = (
        "import sys\nfrom superalign import models\nfrom superalign.types import Problem\n"
        "asked = [Problem(prompt='1+1', family='', difficulty=0, split='')]\n"
        "model = models.merge(models.open('small'))\nmodel.sample(asked, n=1, seed=0)\n"
        "assert 'peft' not in sys.modules, 'without an adapter'\n"
        "assert models.weights.has_adapter(models.lora(model, rank=1, seed=0).network)\n"
        "assert 'peft' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
