"""LoRA through PEFT: add, merge, save and load adapters; safetensors only."""

from __future__ import annotations

import copy
import dataclasses
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from superalign.errors import BadInput
from superalign.models.engine_check import check_engine
from superalign.models.loading import weights_digest
from superalign.models.model import Model


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide notices of deprecation between PEFT and Transformers that no user of ours can act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def lora(model: Model, *, rank: int, seed: int) -> Model:
    """Put a fresh LoRA adapter on every linear layer of a copy of the network; it changes nothing until trained.

    Args:
        model: A model without an adapter. Its network is copied and not touched.
        rank: Rank of each update; 2 * rank is its alpha.
        seed: Of the random half of each update.

    Returns:
        A model whose only trainable parameters are the adapter's.
    """
    if rank < 1:
        raise BadInput(f"A LoRA rank of {rank} leaves nothing to train. Choose 1 or more.")
    network = copy.deepcopy(model.network)
    skip = network.get_output_embeddings()
    names = [n for n, m in network.named_modules() if isinstance(m, nn.Linear | Conv1D) and m is not skip]
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=names, task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(m, Conv1D) for m in network.modules()),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(seed)
        adapted = get_peft_model(network, config)
    adapted.eval()
    return _changed(model, adapted, how=f"LoRA of rank {rank} on {model.subject.how}", seed=seed)


def _changed(model: Model, network: Any, *, how: str, seed: int = 0) -> Model:
    subject = dataclasses.replace(
        model.subject, weights=weights_digest(network), base=model.subject.digest, how=how, seed=seed
    )
    return dataclasses.replace(model, network=network, subject=subject)


def merge(model: Model) -> Model:
    """Return the model with its adapter added into a copy of the base weights; without an adapter, the model itself."""
    if not isinstance(model.network, PeftModel):
        return model
    with _quiet():
        network: Any = copy.deepcopy(model.network).merge_and_unload()
    network.eval()
    return _changed(model, network, how=f"merged: {model.subject.how}", seed=model.subject.seed)


def save_adapter(model: Model, path: str | Path) -> Path:
    """Write only the adapter: adapter_config.json and adapter_model.safetensors."""
    if not isinstance(model.network, PeftModel):
        raise BadInput(
            "This model has no adapter to save. Saving nothing would look like success. Use save for a whole model."
        )
    target = Path(path)
    with _quiet():
        model.network.save_pretrained(str(target), safe_serialization=True, save_embedding_layers=False)
    (target / "README.md").unlink(missing_ok=True)
    _forget_where(target / "adapter_config.json")
    return target


def _forget_where(config: Path) -> None:
    """Keep the base's name and not its folder: a path says where on somebody's machine it lay, and is wrong on any other."""
    told = json.loads(config.read_text())
    name = told.get("base_model_name_or_path") or ""
    if Path(name).is_absolute() or Path(name).exists():
        told["base_model_name_or_path"] = Path(name).name
        config.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")


def load_adapter(model: Model, path: str | Path) -> Model:
    """Put a saved adapter on a copy of its base.

    Args:
        model: The base.
        path: A folder written by `save_adapter`.

    Returns:
        The adapted model, frozen in evaluation mode.

    Raises:
        BadInput: If there is no adapter, or it belongs to another base.
    """
    folder = Path(path)
    if not (folder / "adapter_config.json").exists() or not (folder / "adapter_model.safetensors").exists():
        raise BadInput(
            f"{folder} is not a LoRA adapter: adapter_config.json or adapter_model.safetensors is missing. The "
            "base alone would "
            "be measured in its place. Give a folder written by save_adapter."
        )
    try:
        with _quiet():
            network = PeftModel.from_pretrained(copy.deepcopy(model.network), str(folder), is_trainable=False)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"The adapter in {folder} does not fit this base ({first}). On another base it means nothing. "
            "Load the base that it was trained on."
        ) from error
    network.eval()
    adapted = _changed(model, network, how=f"adapter {folder.name} on {model.subject.how}", seed=model.subject.seed)
    check_engine(adapted)
    return adapted
