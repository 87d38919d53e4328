"""What is written is read as it was, and what would be read wrongly is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from superalign.errors import DataError
from superalign.interp.dictionaries import Dictionary, DictionaryConfig, train_dictionary
from superalign.interp.sae_files import (
    Made,
    Tried,
    read_dictionary,
    read_explanations,
    read_scores,
    write_dictionary,
    write_explanations,
    write_scores,
)

MADE = Made(model="small", hook="blocks.1.hook_resid_post")
X = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32) + 2.0


def small(activation: str = "top-k") -> Dictionary:
    return train_dictionary(X, DictionaryConfig(latents=10, k=2, steps=60, activation=activation))  # type: ignore[arg-type]


@pytest.mark.parametrize("activation", ["top-k", "batch top-k", "relu"])
def test_a_dictionary_reads_the_same_codes_after_it_was_kept(activation: str, tmp_path: Path) -> None:
    found = small(activation)
    write_dictionary(found, tmp_path, MADE)
    again, made = read_dictionary(tmp_path, width=6, made=MADE)
    assert made == MADE
    assert np.allclose(again.encode(X), found.encode(X), atol=1e-4)
    assert np.allclose(again.decode(again.encode(X)), found.decode(found.encode(X)), atol=1e-4)


def test_an_older_folder_keeps_names_beside_sizes_and_centres_by_the_decoder_bias(tmp_path: Path) -> None:
    arrays = {"W_enc": np.eye(3), "W_dec": np.eye(3), "b_enc": np.zeros(3), "b_dec": np.array([1.0, 0.0, 0.0])}
    save_file({k: v.astype(np.float32) for k, v in arrays.items()}, tmp_path / "sae_weights.safetensors")
    settings = {"model_name": "m", "hook_name": "h", "d_in": 3, "d_sae": 3, "activation_fn": "relu"}
    (tmp_path / "cfg.json").write_text(json.dumps(settings))
    found, made = read_dictionary(tmp_path, width=3)
    assert made == Made(model="m", hook="h")
    assert found.encode(np.array([[3.0, -1.0, 2.0]])).tolist() == [[2.0, 0.0, 2.0]]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"architecture": "gated"}, "of kind 'gated'"),
        ({"normalize_activations": "layer_norm"}, "normalises activations"),
        ({"rescale_acts_by_decoder_norm": True}, "rescaled"),
        ({"k": None}, "does not say k"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(changed: dict[str, Any], why: str, tmp_path: Path) -> None:
    write_dictionary(small(), tmp_path, MADE)
    path = tmp_path / "cfg.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(DataError, match=why):
        read_dictionary(tmp_path, width=6)


def test_a_dictionary_of_another_width_model_or_hook_is_refused(tmp_path: Path) -> None:
    write_dictionary(small(), tmp_path, MADE)
    with pytest.raises(DataError, match="not width 7"):
        read_dictionary(tmp_path, width=7)
    for other in (Made(model="large", hook=MADE.hook), Made(model=MADE.model, hook="blocks.0.hook_resid_post")):
        with pytest.raises(DataError, match="made for this model and site"):
            read_dictionary(tmp_path, width=6, made=other)
    with pytest.raises(DataError, match="holds no dictionary"):
        read_dictionary(tmp_path / "nothing", width=6)
    arrays = load_file(tmp_path / "sae_weights.safetensors")
    save_file({**arrays, "b_enc": np.zeros(3, np.float32)}, tmp_path / "sae_weights.safetensors")
    with pytest.raises(DataError, match="do not fit each other"):
        read_dictionary(tmp_path, width=6)


def test_explanations_and_scores_stand_in_files_as_delphi_names_them(tmp_path: Path) -> None:
    write_explanations(tmp_path, "layers.3/mlp", {12: "names of rivers", 3: "“quotes”"})
    assert json.loads((tmp_path / "layers.3--mlp_latent12.txt").read_text()) == "names of rivers"
    write_explanations(tmp_path, "layers.4", {1: "another module"})
    assert read_explanations(tmp_path, "layers.3/mlp") == {3: "“quotes”", 12: "names of rivers"}
    tried = {5: (Tried(True, True), Tried(False, True), Tried(False, None))}
    write_scores(tmp_path / "detection", "layers.3", tried)
    assert read_scores(tmp_path / "detection", "layers.3") == tried
    (tmp_path / "layers.4_latent2.txt").write_text("no JSON")
    with pytest.raises(DataError, match="latent 2"):
        read_explanations(tmp_path, "layers.4")
