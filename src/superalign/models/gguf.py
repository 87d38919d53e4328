"""Models that are packed as GGUF: unpack one into plain weights, once, as a folder that `load` reads.

Most such files hold weights of 4 to 8 bits. Unpacked they are float32 numbers, each what the file says it is, so that they can
be sampled, scored and trained on; what was lost when they were rounded stays lost.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer

from superalign.errors import BadInput
from superalign.files import whole_folder
from superalign.models.subject import weights_digest, write_subject
from superalign.named_models import cache_folder
from superalign.policy_names import check_gguf
from superalign.types import Subject

GROWS = 9  # times the size of a file of 4 bits a weight: 32 bits, and what else a folder holds


def unpacked(file: str | Path) -> Path:
    """Return the folder of plain weights of a GGUF file; unpacked at first use, and kept by the file's content.

    Raises:
        BadInput: As `unpack`.
    """
    file = Path(file).expanduser()
    check_gguf(file)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    folder = cache_folder() / "gguf" / digest[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # of two processes one unpacks
        if not (folder / "config.json").is_file():
            unpack(file, folder, how=f"unpacked from {file.name} (GGUF, sha256 {digest[:16]})")
    return folder


def unpack(file: Path, folder: Path, *, how: str) -> str:
    """Write the model of a GGUF file as config, safetensors and tokenizer, whole or not at all.

    Args:
        file: Read, never run.
        folder: Must not exist, or be empty.
        how: What the record of the model says of where it came from.

    Returns:
        The digest of its weights.

    Raises:
        BadInput: If the file is damaged, of an architecture that Transformers cannot unpack, or there is no room.
    """
    if importlib.util.find_spec("gguf") is None:
        raise BadInput(
            f"{file} holds a model as GGUF, and the package that reads it is not installed. Its weights are packed. Install it: "
            "pip install 'superalign[models]'"
        )
    check_room(folder.parent, file.stat().st_size * GROWS)
    with _quiet():
        try:
            where: Any = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
            packed = AutoModelForCausalLM.from_pretrained(**where, dtype="float32")
            tokenizer = AutoTokenizer.from_pretrained(**where)
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BadInput(
                f"{file} could not be unpacked ({first[:200]}). It is damaged, incomplete, or of an architecture that "
                "Transformers does not read from GGUF; what was not read measures nothing. Give the folder or hub id that it was "
                "converted from."
            ) from error
        config = copy.deepcopy(packed.config)
        if getattr(config, "quantization_config", None) is not None:
            del config.quantization_config
        # A model that came from GGUF refuses to be saved: its weights go into a fresh one of the same shape.
        plain = AutoModelForCausalLM.from_config(config, dtype=packed.dtype)
        plain.load_state_dict(packed.state_dict())
        plain.generation_config = packed.generation_config
        weights = weights_digest(plain)
        with whole_folder(folder) as under_way:
            plain.save_pretrained(under_way)
            tokenizer.save_pretrained(under_way)
            write_subject(Subject(weights=weights, base="", how=how), under_way)
    return weights


def check_room(folder: Path, need: int) -> None:
    """Refuse to write more than a disk has free.

    Args:
        folder: On that disk.
        need: Bytes.

    Raises:
        BadInput: If there is less.
    """
    free = shutil.disk_usage(folder).free
    if need > free:
        raise BadInput(
            f"{folder} has {free / 1e9:.1f} GB free, and {need / 1e9:.1f} GB are needed. A model that is written in part is "
            "none. Free some space, or name another folder with SUPERALIGN_CACHE."
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's bars off the screen: they count what is not ours."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
