"""Names of policies, told without torch: what each means, and which cannot be opened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from superalign.errors import BadInput
from superalign.policy_names import base_of, check_weights, kind_of


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text("{}")
    return path


def test_what_names_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "model", "config.json", "model.safetensors")
    folder(tmp_path / "middle-1", "config.json", "model.safetensors")
    folder(tmp_path / "lora", "adapter_config.json", "adapter_model.safetensors")
    folder(tmp_path / "org", "config.json").joinpath("name").mkdir()
    kinds = {
        "small": "bundled",
        "large-0": "bundled",
        "random:7": "random",
        "api:openai-api/here/model": "api",
        "model": "folder",
        "./model": "folder",
        "middle-1": "folder",  # what lies there comes before what ships
        str(tmp_path / "lora"): "adapter",
        "someone/model-1.5": "hub",
    }
    assert {name: kind_of(name) for name in kinds} == kinds


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ((), "is not a model: it has no config.json"),
        (("config.json",), r"has no .safetensors weights"),
        (("config.json", "model.safetensors", "adapter_config.json"), "holds two models"),
        (("adapter_config.json",), "is not a LoRA adapter"),
        (("adapter_config.json", "adapter_model.bin"), "as a pickle"),
        (("adapter_config.json", "adapter_model-00001-of-2.safetensors"), "in several files"),
        (("m.gguf",), "as GGUF"),
    ],
)
def test_folders_that_hold_no_policy(names: tuple[str, ...], part: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=part):
        kind_of(str(folder(tmp_path / "it", *names)))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("smal", "There is no model at smal"),
        ("no/such/path", "There is no model at"),
        ("./org/name", "There is no model at"),
        ("small-9", "No bundled base is called small-9"),
        ("random:x", "names no model"),
        ("api:openai", "does not name a model behind an API"),
        ("ap:openai/gpt", "'ap:openai/gpt' names no model"),
    ],
)
def test_names_of_nothing(name: str, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        kind_of(name)


def test_what_only_answers_has_no_weights() -> None:
    with pytest.raises(BadInput, match="gives texts only"):
        check_weights("api:openai/gpt")


def test_the_base_that_an_adapter_records(tmp_path: Path) -> None:
    it = folder(tmp_path / "it")
    for recorded in ("small-0", "org/name", str(tmp_path)):
        (it / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": recorded}))
        assert base_of(it) == recorded
    for text in ('{"base_model_name_or_path": "a-folder-elsewhere"}', "{}", "[]", "{"):
        (it / "adapter_config.json").write_text(text)
        with pytest.raises(BadInput, match="holds a LoRA adapter, and its base is not at hand"):
            base_of(it)


def test_neither_names_nor_files_need_anything_heavy() -> None:
    program = (
        "import sys\nfrom superalign.early import refuse_early\nrefuse_early('audit', ['subject=small'])\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
