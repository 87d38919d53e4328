"""What a value was made from: digests of the files and folders that settings name, and of the code that runs.

A path says where something lay, never what lay there: training goes on and overwrites its folder.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import stat
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from superalign.errors import ConfigError
from superalign.named_models import NAMED, folder_of, is_here
from superalign.prompting import parted

PACKAGE = Path(__file__).parent
# Numbers may depend on these too: values made with another version are not mixed with new ones.
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "transformers", "tokenizers", "peft")
LARGE = 1 << 20  # bytes from which a file's digest is kept within this process
SETTLED_S = 2.0  # a file younger than this may change again without a new time
ASKING = "file:"  # a folder through which a person is asked: answers come into it while a run goes on
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_kept: dict[tuple[int, ...], str] = {}


class Into(str):
    """A path that a job writes to. It is where a value goes, not what it is made from: its content names nothing."""

    __slots__ = ()


def digest_at(path: Path, *, deep: bool = True) -> str:
    """Name what lies at a path by its bytes: a file, or a folder with all that is in it; links are followed.

    Args:
        path: Of a file or a folder.
        deep: Whether the folders in a folder count; else only its own files do.

    Returns:
        A sha256; for what cannot be read, why not.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a").write_text("1")
        ...     before = digest_at(Path(folder))
        ...     _ = (Path(folder) / "a").write_text("2")
        ...     before == digest_at(Path(folder))
        False
    """
    try:
        if not path.is_dir():
            return _of_file(path)
        whole = hashlib.sha256()
        for name, found in _inside(path, above=(), deep=deep):
            whole.update(f"{name}\0{found}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror or error}"


def _inside(folder: Path, *, above: tuple[tuple[int, int], ...], deep: bool) -> Iterator[tuple[str, str]]:
    """Every name in a folder, in order, with the digest of what it is."""
    here = folder.stat()
    if (here.st_dev, here.st_ino) in above:
        yield ".", "this folder again"
        return
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if path.is_dir():
            if deep:
                for below, found in _inside(path, above=(*above, (here.st_dev, here.st_ino)), deep=True):
                    yield f"{name}/{below}", found
        else:
            yield name, _of_file(path)


def _of_file(path: Path) -> str:
    try:
        about = path.stat()
    except FileNotFoundError:
        return f"a link to nothing: {os.readlink(path)}"
    if not stat.S_ISREG(about.st_mode):
        return "no file"  # reading a pipe or a device would never end
    key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    if key in _kept:
        return _kept[key]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if about.st_size >= LARGE and time.time() - max(about.st_mtime, about.st_ctime) > SETTLED_S:
        _kept[key] = found
    return found


def named(text: str) -> Path | None:
    """Return the file or folder that a setting names, also behind a prefix such as `jsonl:`; None if it names none.

    Example:
        >>> named("small"), named("gsm8k:/nowhere"), named("file:/")
        (None, None, None)
    """
    if text in NAMED:
        return folder_of(text) if is_here(text) else None
    if not text or len(text) > 4096 or "\n" in text or "\0" in text or text.startswith(ASKING):
        return None
    behind = text.partition(":")[2]
    for part in (text, behind, behind.partition("?")[0]):  # what follows a question mark says how a file is read
        with contextlib.suppress(OSError, RuntimeError):  # a name that no file can have; the home of nobody
            path = Path(part).expanduser()
            if part and path.exists() and (part.strip("./") or _is_model(path)):
                return path
    return None


def revision_of(text: str) -> str:
    """Return the revision of a model of the hub that lies in the local cache; empty if it is no hub id or not there."""
    if not _HUB_ID.fullmatch(text):
        return ""
    home = os.environ.get("HF_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or str(Path(home) / "hub")
    place = Path(cache).expanduser() / f"models--{text.replace('/', '--')}" / "refs" / "main"
    try:
        return f"revision {place.read_text().strip()}"
    except (OSError, ValueError):
        return ""


def digests(value: Any, *, run: Path) -> dict[str, str]:
    """Name all that plain values speak of: files, folders, and models of the hub in the local cache.

    Args:
        value: Nested mappings, lists and scalars.
        run: A folder that things are written to. A folder that it lies in counts only if it is a model's, by the files that
            lie right in it.

    Returns:
        Each text that names something -> digest of its content.
    """
    out: dict[str, str] = {}
    home = run.resolve()
    for text in dict.fromkeys(_texts(value)):
        path = named(text)
        if path is None:
            if found := revision_of(text):
                out[text] = found
        elif not home.is_relative_to(path.resolve()):
            out[text] = digest_at(path)
        elif _is_model(path):
            out[text] = digest_at(path, deep=False)
    return out


def _is_model(path: Path) -> bool:
    return any((path / name).is_file() for name in ("config.json", "adapter_config.json"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if not isinstance(value, Into):
            yield value
            with contextlib.suppress(ConfigError):  # any text with a question mark in it
                bare, prompting = parted(value)
                if prompting:
                    yield from (bare, prompting.template)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _texts(part)


@functools.cache
def code() -> str:
    """Name the code of this process: every file of the package, bundled models included, and the libraries' versions.

    Taken once: what a process has imported does not change when a file does.
    """
    stamp()
    whole = hashlib.sha256()
    for path in _files(""):
        whole.update(f"{path.relative_to(PACKAGE).as_posix()}\0{_of_file(path)}\n".encode())
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            whole.update(f"{name} {metadata.version(name)}\n".encode())
    return whole.hexdigest()


@functools.cache
def stamp() -> str:
    """Sizes and times of the package's sources as this process began: a cheap sign that they are still the same."""
    whole = hashlib.sha256()
    for path in _files(".py"):
        about = path.stat()
        whole.update(f"{path}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return whole.hexdigest()


def _files(ending: str) -> Iterator[Path]:
    """The package's files, in one order on every machine; walked, since globbing them costs three times as much."""
    for folder, below, names in os.walk(PACKAGE):
        below[:] = sorted(name for name in below if name != "__pycache__")
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(ending))


def code_around(module: str) -> dict[str, str]:
    """Digests of a module's own source and of what it uses, as far as these are neither of the package nor installed.

    Args:
        module: Its name, as imported. What its functions import when they are called is not seen.
    """
    places = sysconfig.get_paths()
    installed = [Path(places[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    out: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        found = sys.modules.get(name)
        file = Path(getattr(found, "__file__", None) or "")
        if name in out or not file.is_file() or file.is_relative_to(PACKAGE):
            continue
        if any(file.is_relative_to(place) for place in installed):
            continue
        out[name] = _of_file(file)
        for part in vars(found).values():
            waiting.append(part.__name__ if isinstance(part, ModuleType) else str(getattr(part, "__module__", "")))
    return out
