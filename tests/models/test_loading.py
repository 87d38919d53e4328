from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers as tf

from superalign.errors import BadInput
from superalign.models import Model, base, load, load_adapter, loading, lora, save, save_adapter, weights_digest


def test_save_and_load_are_bit_equal(model: Model, tmp_path: Path) -> None:
    folder = save(model, tmp_path / "model")
    again = load(folder)
    mine, theirs = model.network.state_dict(), again.network.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[k], theirs[k]) and theirs[k].dtype == torch.float32 for k in mine)
    tokens_BT = torch.arange(4, 24)[None]
    with torch.no_grad():
        assert torch.equal(model.network(tokens_BT).logits, again.network(tokens_BT).logits)
    assert again.subject == model.subject
    assert again.subject.weights == weights_digest(again.network)
    assert again.tokenizer.chat_template == model.tokenizer.chat_template
    assert not [p for p in tmp_path.iterdir() if p.name != "model"]


def test_half_precision_on_disk_is_float32_in_use(make: Callable[[str], Model], tmp_path: Path) -> None:
    full, half = save(make("llama"), tmp_path / "full"), save(make("llama"), tmp_path / "half", half=True)
    size = [(folder / "model.safetensors").stat().st_size for folder in (full, half)]
    assert size[1] < 0.6 * size[0]
    once = load(half)
    assert {p.dtype for p in once.network.parameters()} == {torch.float32}
    twice = load(save(once, tmp_path / "again", half=True))
    assert once.subject.weights == twice.subject.weights != make("llama").subject.weights


def edit(folder: Path, name: str, **changes: Any) -> None:
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.fixture
def folder(make: Callable[[str], Model], tmp_path: Path) -> Path:
    return save(make("llama"), tmp_path / "model")


def test_missing_or_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no model at"):
        load(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="is a file"):
        load(tmp_path / "file")
    with pytest.raises(BadInput, match=r"no config\.json"):
        load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser can read every folder")
def test_unreadable(folder: Path) -> None:
    folder.chmod(0)
    with pytest.raises(BadInput, match="cannot be read"):
        load(folder)


def test_no_safe_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match="can run code"):
        load(folder)


def test_truncated_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(BadInput, match="could not be loaded"):
        load(folder)


def test_missing_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match="lacks 1 of its weights"):
        load(folder)


def test_no_chat_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    edit(folder, "tokenizer_config.json", chat_template=None)
    with pytest.raises(BadInput, match="chat template"):
        load(folder)


def test_an_encoder(make: Callable[[str], Model], tmp_path: Path) -> None:
    config = tf.BertConfig(
        vocab_size=100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    tf.BertModel(config).save_pretrained(tmp_path / "bert")
    make("llama").tokenizer.save_pretrained(tmp_path / "bert")
    with pytest.raises(BadInput, match="not a causal language model"):
        load(tmp_path / "bert")


def test_quantised_weights(folder: Path) -> None:
    edit(folder, "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    with pytest.raises(BadInput, match="quantised"):
        load(folder)


def test_a_model_that_does_not_fit_is_refused_before_its_weights_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "LARGE", 0)
    load(folder)
    monkeypatch.setattr(loading.psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    monkeypatch.setattr(loading, "_network", lambda *_: pytest.fail("the weights were read"))
    with pytest.raises(BadInput, match=r"billion weights, which take 0\.0 GiB on cpu, and 0\.0 GiB are free"):
        load(folder)


def test_a_tokenizer_of_another_model(folder: Path, tokenizer: Any) -> None:
    tokenizer.add_tokens([f"word{i}" for i in range(10)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(BadInput, match="has 100 embeddings"):
        load(folder)


def test_hub_id_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadInput, match="interrupted"):
        load("nobody/no-such-model-of-ours")


def test_an_adapter_alone_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(BadInput, match="adapter=PATH"):
        load(tmp_path)


@pytest.mark.parametrize("whole", ["model.safetensors", "model-00001-of-00002.safetensors"])
def test_weights_and_an_adapter_in_one_folder(folder: Path, make: Callable[[str], Model], whole: str) -> None:
    """Transformers would load the one with the other on top."""
    save_adapter(lora(make("llama"), rank=2, seed=0), folder)
    (folder / "model.safetensors").rename(folder / whole)
    with pytest.raises(
        BadInput, match=rf"two models: whole weights \({whole}\) and an adapter \(adapter_config.json\)"
    ):
        load(folder)
    (folder / whole).unlink()
    with pytest.raises(BadInput, match="adapter=PATH"):
        load(folder)
    assert load_adapter(make("llama"), folder).subject.base == make("llama").subject.digest


def test_save_does_not_overwrite(folder: Path, make: Callable[[str], Model]) -> None:
    with pytest.raises(BadInput, match="not an empty folder"):
        save(make("llama"), folder)


def test_unknown_base() -> None:
    with pytest.raises(BadInput, match="No bundled base"):
        base("enormous")
