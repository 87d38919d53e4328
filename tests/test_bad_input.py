"""Bad input, as a user gives it to the studies that ship: one message, exit code 2, and nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import transformers as tf
from safetensors.torch import load_file, save_file

from superalign import problems, settings
from superalign.errors import BadInput, ConfigError
from superalign.models import base, load, save
from superalign.policy_names import kind_of
from superalign.studies.audit import study as audit
from superalign.studies.redteam import study as redteam

Run = Callable[..., subprocess.CompletedProcess[str]]


def refused(found: subprocess.CompletedProcess[str], *parts: str) -> str:
    """One message of three parts on standard error, exit code 2, and nothing else said."""
    assert found.returncode == 2, found.stderr
    assert found.stdout == ""
    assert found.stderr.count("\n") == 1, found.stderr
    message = found.stderr.strip()
    assert message.startswith("superalign: ")
    assert len(re.findall(r"[.?)] ", message)) >= 2, f"fewer than three parts: {message}"
    for part in parts:
        assert part in message
    return message


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(base("small"), tmp_path / "given" / "model")


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def no_template(model: Path) -> None:
    (model / "chat_template.jinja").unlink(missing_ok=True)
    edit(model / "tokenizer_config.json", chat_template=None)


def failing_template(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{{ raise_exception('a system message must come first') }}")


def deaf_template(model: Path) -> None:
    (model / "chat_template.jinja").write_text("<|user|>hello<|assistant|>")


def encoder(model: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (model / name).unlink()
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    tf.BertModel(tf.BertConfig(vocab_size=300, **shape)).save_pretrained(model)


def cut_short(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def not_numbers(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    first = min(tensors)
    save_file({**tensors, first: tensors[first] / 0}, model / "model.safetensors", metadata={"format": "pt"})


def unknown_kind(model: Path) -> None:
    edit(model / "config.json", model_type="oracle", architectures=["OracleForCausalLM"])


def not_json(model: Path) -> None:
    (model / "config.json").write_text("{")


def no_config(model: Path) -> None:
    (model / "config.json").unlink()


def half_an_adapter(model: Path) -> None:
    for path in model.iterdir():
        path.unlink()
    (model / "adapter_config.json").write_text("{}")


def adapter(model: Path) -> None:
    half_an_adapter(model)
    (model / "adapter_model.safetensors").touch()


MODELS: dict[Callable[[Path], None], str] = {
    no_template: "no chat template",
    failing_template: "a system message must come first",
    deaf_template: "leaves the question out",
    encoder: "is a bert model, which is not a causal language model",
    cut_short: "could not be loaded",
    not_numbers: "weights that are no numbers",
    unknown_kind: "could not be loaded",
    not_json: "could not be loaded",
    no_config: "is not a model: it has no config.json",
    half_an_adapter: "is not a LoRA adapter",
    adapter: "holds a LoRA adapter",
}


@pytest.mark.parametrize("spoil", MODELS, ids=lambda spoil: spoil.__name__)
def test_what_is_no_usable_model(spoil: Callable[[Path], None], model: Path, superalign: Run, tmp_path: Path) -> None:
    spoil(model)
    refused(superalign("run", "loop", "--set", f"subject={model}", "--out", str(tmp_path / "out")), MODELS[spoil])
    assert [p.name for p in tmp_path.iterdir()] == ["given"]


def test_a_missing_path_a_file_and_a_name_that_is_not_at_hand(superalign: Run, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("text")
    for subject, part in (
        (tmp_path / "none", "There is no model at"),
        (tmp_path / "given", "is a file, not a model folder"),
        ("nobody/no-such-model", "could not be loaded"),
        ("api:someone/some-model", "gives texts only"),
    ):
        refused(superalign("run", "loop", "--set", f"subject={subject}", "--out", str(tmp_path / "out")), part)
    assert [p.name for p in tmp_path.iterdir()] == ["given"]


def test_a_folder_of_packed_models_names_the_file_and_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    bare, other = tmp_path / "folder", tmp_path / "m.gguf"
    bare.mkdir()
    (bare / "M.GGUF").write_bytes(b"GGUF")
    with pytest.raises(BadInput, match=r"holds a model as GGUF.*Give the file: .*folder/M.GGUF"):
        load(bare)
    other.write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"does not begin as a GGUF file does"):
        kind_of(str(other))
    with pytest.raises(BadInput, match=r"There is no file"):
        kind_of(str(tmp_path / "none.gguf"))


def test_what_a_hint_advises_is_taken(superalign: Run, tmp_path: Path) -> None:
    for study in (audit, redteam):
        config: Any = study.Config()
        with pytest.raises(ConfigError, match=r"Did you mean reference\?"):
            settings.apply(config, words=["references=x"], study=study.__name__)
        assert settings.apply(config, words=["reference=x,y"], study=study.__name__).reference == ("x", "y")
    missing = tmp_path / "none.jsonl"
    for path in (str(missing), f"jsonl:{missing}"):
        with pytest.raises(BadInput, match=r"none\.jsonl cannot be read"):
            problems.named(path)
    given = ("plant", "--problems", f"jsonl:{missing}", "--out", str(tmp_path / "out"))
    assert "jsonl:" not in refused(superalign(*given), f"{missing} cannot be read")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody may look into."""
    folder = tmp_path / "closed"
    folder.mkdir()
    shutil.copytree(save(base("small"), tmp_path / "model"), folder / "model")
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="dropping the superuser's rights is Linux's own")
def test_what_may_not_be_read(closed: Path, superalign: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    for words in (
        ("run", "loop", "--out", out, "--set", f"subject={closed}"),
        ("run", "loop", "--out", out, "--set", f"subject={closed / 'model'}"),
        ("run", "critic-transfer", "--out", out, "--set", f"problems=gsm8k:{closed}"),
        ("run", "critic-transfer", "--out", out, "--set", f"problems=gsm8k:{closed / 'data'}"),
        ("run", "loop", "--out", str(closed / "out")),
        ("verify", str(closed / "run")),
        ("report", str(closed / "run")),
    ):
        refused(superalign(*words, mortal=True), "Permission denied", str(closed))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["closed", "model"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="dropping the superuser's rights is Linux's own")
def test_one_file_that_may_not_be_read(model: Path, superalign: Run, tmp_path: Path) -> None:
    (model / "model.safetensors").chmod(0)
    words = ("run", "loop", "--out", str(tmp_path / "out"), "--set", f"subject={model}")
    refused(superalign(*words, mortal=True), "model.safetensors cannot be read (Permission denied)")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The three files of GSM8K, of two lines each."""
    folder = tmp_path / "given"
    folder.mkdir()
    for name in ("train", "test"):
        rows = [
            {"question": f"What is 1+{k} in {name}?", "answer": f"<<1+{k}={1 + k}>>{1 + k}\n#### {1 + k}"}
            for k in (1, 2)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    one = {"solution": "#### 2", "is_correct": True}
    sources = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    row = {"question": "What is 1+1 in test?", **dict.fromkeys(sources, one)}
    (folder / "example_model_solutions.jsonl").write_text(2 * (json.dumps(row) + "\n"))
    return folder


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("train.jsonl", '{"question": "q", "answer": "#### 1"}\n{"question": "q"\n', "train.jsonl, line 2, "),
        ("test.jsonl", '{"question": "q", "answer": 1}\n', "test.jsonl, line 1, "),
        ("example_model_solutions.jsonl", '{"question": "q"}\n', "example_model_solutions.jsonl, line 1, "),
        ("train.jsonl", "", "train.jsonl is empty"),
        ("train.jsonl", None, "has no train.jsonl"),
        ("test.jsonl", b"\xff\xfe", "test.jsonl, line 1, is not text in UTF-8"),
    ],
)
def test_data_with_a_bad_line_or_nothing_in_it(
    name: str, text: str | bytes | None, part: str, data: Path, superalign: Run, tmp_path: Path
) -> None:
    if text is None:
        (data / name).unlink()
    else:
        (data / name).write_bytes(text.encode() if isinstance(text, str) else text)
    refused(
        superalign("run", "critic-transfer", "--set", f"problems=gsm8k:{data}", "--out", str(tmp_path / "out")), part
    )
    assert [p.name for p in tmp_path.iterdir()] == ["given"]


@pytest.mark.parametrize("problems", ["", "gsm8k", "gsm8k:", "jsonl:mine.jsonl", "gsm8k:/no/where"])
def test_data_that_is_not_named(problems: str, superalign: Run, tmp_path: Path) -> None:
    refused(
        superalign("run", "critic-transfer", "--set", f"problems={problems}", "--out", str(tmp_path / "out")),
        "gsm8k:PATH",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["lop"], "Did you mean loop?"),
        (["critic-trasfer"], "Did you mean critic-transfer?"),
        (["loop", "--set", "subjct=x"], "Did you mean subject?"),
        (["loop", "--set", "arm_seeds=two"], "'two' is not a whole number"),
        (["loop", "--set", "recall_bar=half"], "'half' is not a number"),
        (["loop", "--set", "recall_bar=1.5"], "'1.5' is not below 1"),
        (["loop", "--set", "false_positive_rate=0"], "'0' is not above 0"),
        (["loop", "--set", "arm_seeds=0"], "'0' is not at least 1"),
        (["loop", "--set", "held_out=-1"], "'-1' is not at least 3"),
        (["loop", "--set", "arms=judge,base"], "'judge' is not one of the choices"),
        (["loop", "--set", "kinds=traitor"], "'traitor' is not one of the choices"),
        (["loop", "--set", "arms=base,base"], "names 'base' twice"),
        (["loop", "--set", "seed=3"], "no field 'seed'"),
        (["pretrain", "--set", "size=tiny"], "tiny"),
    ],
)
def test_settings_that_cannot_be_used(words: list[str], part: str, superalign: Run, tmp_path: Path) -> None:
    refused(superalign("run", *words, "--out", str(tmp_path / "out")), part)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing(superalign: Run, tmp_path: Path) -> None:
    refused(superalign("run", "loop", "--out", str(tmp_path / "out"), limit=500), "Could not write", "Free space")
    assert list(tmp_path.iterdir()) == []


# A download that breaks off.

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """A model hub with one model, whose line goes dead in the middle of a file."""

    folder: Path
    dies_in: str

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.folder / self.path.partition("?")[0].rpartition("/")[2]
        if "/resolve/" not in self.path or not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        since = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        size, data = path.stat().st_size, path.read_bytes()[since:]
        self.send_response(206 if since else 200)
        if since:
            self.send_header("Content-Range", f"bytes {since}-{size - 1}/{size}")
        for name, value in (("ETag", f'"{path.name}"'), ("X-Repo-Commit", COMMIT), ("Content-Length", str(len(data)))):
            self.send_header(name, value)
        self.end_headers()
        if body and path.name == self.dies_in:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub(model: Path) -> Iterator[tuple[str, type[Hub]]]:
    handler = type("Here", (Hub,), {"folder": model, "dies_in": "model.safetensors"})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
        server.shutdown()
        thread.join()


@pytest.mark.slow  # the hub's own client tries again several times
def test_an_interrupted_download(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    address, handler = hub
    cache = tmp_path / "cache"
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(cache)}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    words = ["run", "loop", "--set", "subject=someone/a-model", "--out", str(tmp_path / "out")]

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "superalign", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)

    refused(run(), "someone/a-model could not be loaded (peer closed connection", "a download was interrupted")
    assert not (tmp_path / "out").exists()
    whole = [p.name for p in cache.rglob("snapshots/*/*")]
    assert "config.json" in whole
    assert "model.safetensors" not in whole  # what came of it lies aside, and is no model
    # The line is back: the rest of the file is fetched, and the model is the one that was sent.
    handler.dies_in = ""
    code = "import sys; from superalign.models import load; print(load(sys.argv[1]).subject.weights)"
    found = subprocess.run(
        [sys.executable, "-c", code, "someone/a-model"], env=environment, capture_output=True, text=True, timeout=600
    )
    assert found.stdout.strip() == base("small").subject.weights, found.stderr
