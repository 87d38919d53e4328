"""Name a network by its weights, and keep beside them the record of where they came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from superalign.models import weights
from superalign.types import Subject


def weights_digest(network: Any) -> str:
    """Name a network by its weights: sha256 over names, shapes and float32 bytes in order of name.

    The digest is of the numbers in use, so it is the same before saving and after loading, and wherever they lie.
    """
    if not weights.scattered(network):
        return digest_of(network.state_dict())
    tied = {
        name: id(tensor) for name, tensor in network.state_dict(keep_vars=True).items()
    }  # what is on the disk has no address
    return _digest(weights.named_weights(network), tied)


def digest_of(state: Mapping[str, torch.Tensor]) -> str:
    """Return the digest of named weights; see `weights_digest`."""
    return _digest(sorted(state.items()), {name: tensor.data_ptr() for name, tensor in state.items()})


def _digest(named: Iterable[tuple[str, torch.Tensor]], tied: Mapping[str, int]) -> str:
    digest = hashlib.sha256()
    seen: dict[int, str] = {}
    for name, tensor in named:
        first = seen.setdefault(tied[name], name)
        digest.update(f"{name}|{tuple(tensor.shape)}|".encode())
        if first != name:  # tied weights count once
            digest.update(f"={first}|".encode())
            continue
        part = tensor.detach().to("cpu", torch.float32).contiguous()
        digest.update(part.numpy().tobytes())
    return digest.hexdigest()


def read_subject(weights: str, *, source: str, folder: Path) -> Subject:
    """Return the record that `write_subject` left beside the weights, if it is about these weights; else a new one."""
    try:
        kept = json.loads((folder / "subject.json").read_text())
        if kept["weights"] == weights:
            config = tuple((str(k), v) for k, v in kept["config"])
            return Subject(weights=weights, base=kept["base"], how=kept["how"], config=config, seed=kept["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a model from elsewhere has no record
    return Subject(weights=weights, base="", how=f"loaded from {source}")


def write_subject(subject: Subject, folder: Path) -> None:
    """Leave the record beside the weights."""
    (folder / "subject.json").write_text(json.dumps(dataclasses.asdict(subject), indent=1))
