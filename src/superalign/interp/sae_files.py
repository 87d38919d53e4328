"""Dictionaries and explanations as other tools keep them: SAELens folders, and the explanation and score files of delphi.

A SAELens folder holds `cfg.json` and `sae_weights.safetensors` (W_enc (d_in, d_sae), W_dec, b_enc, b_dec, threshold). Where a
name stands for model and hook differs: version 6 keeps it under `metadata`, older ones beside the sizes. Delphi keeps a JSON text
in `MODULE_latentNUMBER.txt` for each explanation, and a JSON list of tried contexts in a file of the same name for each scorer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from superalign.errors import DataError
from superalign.interp.dictionaries import Dictionary

SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"
KINDS = {"standard": "relu", "topk": "topk", "batchtopk": "jumprelu", "jumprelu": "jumprelu", "transcoder": "relu"}
_NAME = re.compile(r"(?P<module>.+)_latent(?P<latent>\d+)\.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a dictionary was made for."""

    model: str
    hook: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One context that a scorer of delphi showed."""

    activating: bool
    prediction: bool | None  # None where the reply could not be read


def write_dictionary(found: Dictionary, folder: Path, made: Made) -> None:
    """Write a dictionary as SAELens 6 reads it: top-k as it is, all others as JumpReLU."""
    folder.mkdir(parents=True, exist_ok=True)
    (d_in, d_sae), d_out = found.encode_DK.shape, found.decode_KE.shape[1]
    kind = "topk" if found.k else "jumprelu"
    settings: dict[str, Any] = {
        "architecture": kind,
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"model_name": made.model, "hook_name": made.hook},
    }
    settings |= {"k": found.k} if found.k else {}
    settings |= {"d_out": d_out} if d_out != d_in else {}
    # Their b_dec is one vector for both ends; with `apply_b_dec_to_input` false the centre moves into the encoder's bias.
    arrays = {
        "W_enc": found.encode_DK,
        "b_enc": found.bias_K - found.centre_D @ found.encode_DK,
        "W_dec": found.decode_KE,
        "b_dec": found.offset_E,
    }
    arrays |= {} if found.k else {"threshold": found.threshold_K}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in arrays.items()}, folder / WEIGHTS)


def read_dictionary(folder: Path, *, width: int, made: Made | None = None) -> tuple[Dictionary, Made]:
    """Read a dictionary that SAELens, or `write_dictionary`, wrote.

    Args:
        folder: With `cfg.json` and `sae_weights.safetensors`.
        width: Of the activations that it is to read.
        made: The model and hook that it must have been made for; anything is taken where it is not given.

    Raises:
        DataError: If files are missing or damaged, or it was made for other activations, or is of a kind that is not read.
    """
    try:
        settings, arrays = json.loads((folder / SETTINGS).read_text()), load_file(folder / WEIGHTS)
        named = {**settings, **(settings.get("metadata") or {})}
        there = Made(model=str(named.get("model_name", "")), hook=str(named.get("hook_name", "")))
        given = settings.get("architecture") or "standard"
        encode_DK, decode_KE = (arrays[name].astype(np.float32) for name in ("W_enc", "W_dec"))
        bias_K, offset_E = (arrays[name].astype(np.float32) for name in ("b_enc", "b_dec"))
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        raise DataError(
            f"{folder} holds no dictionary ({type(error).__name__}: {error}). Without weights no latent can be read. Name a "
            f"folder of SAELens, with {SETTINGS} and {WEIGHTS}."
        ) from error
    kind = "topk" if settings.get("activation_fn", settings.get("activation_fn_str")) == "topk" else KINDS.get(given)
    k = int(settings.get("k") or (settings.get("activation_fn_kwargs") or {}).get("k") or 0)
    _refuse(folder, settings, kind=kind, given=given, k=k, rescaled=bool(settings.get("rescale_acts_by_decoder_norm")))
    if encode_DK.shape[0] != width or (made is not None and made != there):
        raise DataError(
            f"The dictionary in {folder} reads width {encode_DK.shape[0]} at {there.hook!r} of {there.model!r}, and not width "
            f"{width}{f' at {made.hook!r} of {made.model!r}' if made else ''}. Its latents would mean nothing there. Use one "
            "that was made for this model and site."
        )
    D, K = encode_DK.shape
    if decode_KE.shape[0] != K or bias_K.shape != (K,) or offset_E.shape != decode_KE.shape[1:]:
        raise DataError(f"The weights in {folder} do not fit each other. No code can be read. Take the folder anew.")
    centred = settings.get("apply_b_dec_to_input", given in ("standard", "topk", "batchtopk")) and offset_E.shape == (
        D,
    )
    jump = kind == "jumprelu" and "threshold" in arrays
    found = Dictionary(
        centre_D=offset_E if centred else np.zeros(D, np.float32),
        encode_DK=encode_DK,
        bias_K=bias_K,
        decode_KE=decode_KE,
        offset_E=offset_E,
        threshold_K=arrays["threshold"].astype(np.float32) if jump else np.zeros(K, np.float32),
        k=k if kind == "topk" else 0,
    )
    return found, there


def _refuse(folder: Path, settings: Mapping[str, Any], *, kind: str | None, given: str, k: int, rescaled: bool) -> None:
    """Refuse what would be read wrongly without a word."""
    scaled = settings.get("normalize_activations", "none")
    found = {
        f"is of kind {given!r}": not kind,
        f"normalises activations ({scaled})": scaled not in ("none", None, False),
        "keeps the k largest of codes that are rescaled": rescaled,
        "keeps the k largest and does not say k": kind == "topk" and not k,
        "reads one head alone": settings.get("hook_head_index") is not None,
    }
    why = next((reason for reason, so in found.items() if so), "")
    if why:
        raise DataError(
            f"The dictionary in {folder} {why}, which is not read here. Its codes would be wrong. Fold what it does beside "
            f"encoding into its weights, or use one of {', '.join(KINDS)}."
        )


def write_explanations(folder: Path, module: str, said: Mapping[int, str]) -> None:
    """Write explanations as delphi does: latent -> text."""
    _write(folder, module, said)


def read_explanations(folder: Path, module: str) -> dict[int, str]:
    """Read explanations that delphi wrote: latent -> text.

    Raises:
        DataError: If a file does not hold a JSON text.
    """
    return _read(folder, module, lambda value: isinstance(value, str))


def write_scores(folder: Path, module: str, tried: Mapping[int, Sequence[Tried]]) -> None:
    """Write what a scorer tried as delphi does: latent -> contexts."""
    rows = {
        latent: [{**asdict(t), "correct": t.prediction == t.activating} for t in some] for latent, some in tried.items()
    }
    _write(folder, module, rows)


def read_scores(folder: Path, module: str) -> dict[int, tuple[Tried, ...]]:
    """Read what a scorer of delphi tried: latent -> contexts.

    Raises:
        DataError: If a file does not hold a list of contexts.
    """
    found = _read(folder, module, lambda value: isinstance(value, list) and all(isinstance(r, dict) for r in value))
    return {latent: tuple(map(_tried, rows)) for latent, rows in found.items()}


def _tried(row: Mapping[str, Any]) -> Tried:
    said = row.get("prediction")
    return Tried(bool(row.get("activating")), None if said is None else bool(said))


def _file(module: str, latent: int) -> str:
    return f"{module.replace('/', '--')}_latent{latent}.txt"


def _write(folder: Path, module: str, values: Mapping[int, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for latent, value in values.items():
        (folder / _file(module, latent)).write_text(json.dumps(value, ensure_ascii=False))


def _read(folder: Path, module: str, fits: Callable[[Any], bool]) -> dict[int, Any]:
    """Read every file of a module, by latent."""
    out = {}
    for path in sorted(folder.glob("*.txt")):
        name = _NAME.fullmatch(path.name)
        if name is None or name["module"] != module.replace("/", "--"):
            continue
        try:
            value = json.loads(path.read_text())
        except ValueError:
            value = None
        if not fits(value):
            raise DataError(
                f"The file of latent {name['latent']} in {folder} is not what delphi writes. What was said of it is not known. "
                "Take it anew, or leave it out."
            )
        out[int(name["latent"])] = value
    return dict(sorted(out.items()))
