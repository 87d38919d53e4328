"""The folder of a run: whose it is, and whether it can be used."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superalign.errors import BadInput
from superalign.files import PART, write_whole

MANIFEST, RESULT, LOG, REPORT, LEDGER = "run.json", "result.json", "log.jsonl", "report.html", "ledger"
CONFIG = "config.yaml"  # the settings that were used, as --config takes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What makes two runs the same run. The number of workers does not: results must not depend on it."""

    study: str
    seed: int
    quick: bool
    settings: Mapping[str, Any]
    version: str
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # setting -> path or hub id -> digest
    code: str = ""  # digest of the code that began the run

    def plain(self) -> dict[str, Any]:
        """As it stands in run.json."""
        return {
            "schema": 1,
            "study": self.study,
            "seed": self.seed,
            "quick": self.quick,
            "settings": dict(self.settings),
            "version": self.version,
            "inputs": {name: dict(digests) for name, digests in self.inputs.items()},
            "code": self.code,
        }


def to_text(plain: Any) -> str:
    """Write plain values as JSON that a person can read; escaped where a text holds half a pair of surrogates."""
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(plain, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    return text


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read which run a folder holds.

    Raises:
        BadInput: If it holds none, or the file cannot be read.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}. Nothing can be read from it. Name the folder of a run.")
    path = folder / MANIFEST
    if not path.exists():
        raise BadInput(
            f"{folder} holds no run (it has no {MANIFEST}). What is in it cannot be told to be a study. "
            "Name the folder that `superalign run` wrote."
        )
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(plain, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}). It says which run the folder holds, so nothing can be added to it. "
            "Restore it from a copy, or name another folder."
        ) from error
    return plain


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Say in words how the run in a folder differs from the one asked for.

    Example:
        >>> differences({"seed": 1, "settings": {"n": 8}}, {"seed": 1, "settings": {"n": 9}})
        ['n is 8 there and 9 here']
    """
    out = []
    for key in dict.fromkeys([*wanted, *found]):
        here, there = wanted.get(key), found.get(key)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            out += differences(there, here)
        elif here != there:
            out.append(f"{key} is {json.dumps(there)} there and {json.dumps(here)} here")
    return out


@contextlib.contextmanager
def claimed(folder: Path, *, manifest: Manifest) -> Iterator[bool]:
    """Take a folder for one run, and give it back at the end; remove what was made if nothing was recorded.

    Args:
        folder: Where the run lives; made if it does not exist.
        manifest: Which run it is.

    Yields:
        Whether the run was begun here before.

    Raises:
        BadInput: If the folder is a file, cannot be written, belongs to another run, or another process has it.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file. A run needs a folder for its files. Name another with --out.")
    created = _make(folder)
    with contextlib.ExitStack() as stack:
        handle = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput(
                f"Another process is running in {folder}. Two would overwrite each other. Wait for it, or name another "
                "folder with --out."
            ) from error
        begun = _identify(folder, manifest)
        before = {path.name for path in folder.iterdir()}
        try:
            if not begun:
                _write_first(folder, manifest)
            yield begun
        except BadInput:
            if not begun and not _recorded(folder):
                _remove(folder, created=created, keep=before)
            raise


def _make(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that were made, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, probe = tempfile.mkstemp(prefix=PART, dir=folder)
        os.close(handle)
        os.unlink(probe)
    except OSError as error:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise cannot_write(folder, error) from error
    return missing


def _identify(folder: Path, manifest: Manifest) -> bool:
    """Say whether a folder holds this run already; refuse if it holds anything else."""
    inside = [path.name for path in folder.iterdir() if not path.name.startswith(PART)]
    if not inside:
        return False
    if MANIFEST not in inside:
        raise BadInput(
            f"{folder} is not empty and holds no run ({min(inside)} is in it). A run would mix its files with others. "
            "Name an empty or new folder with --out."
        )
    recorded, wanted = read_manifest(folder), manifest.plain()
    # Other code is not another run: what it made before is computed anew.
    different = differences(*({k: v for k, v in m.items() if k not in ("inputs", "code")} for m in (recorded, wanted)))
    if different:
        raise BadInput(
            f"{folder} holds another run: {'; '.join(different[:4])}. Its records and yours would be mixed. "
            "Name another folder with --out, or repeat that run's own command to finish it."
        )
    refuse_changed(recorded.get("inputs"), wanted["inputs"])
    return True


WORDS = {
    "subject": "model",
    "reference": "reference model",
    "references": "reference model",
    "prompts": "file of prompts",
    "problems": "file of problems",
}


def refuse_changed(then: Any, now: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse to go on with a run if what its settings name is no longer what it began with.

    Args:
        then: What run.json holds: setting -> path or hub id -> digest.
        now: The same as it is now.

    Raises:
        BadInput: If anything differs. A hub id whose revision was unknown then, or is now, says nothing.
    """
    was = then if isinstance(then, Mapping) else {}
    for name in dict.fromkeys([*now, *was]):
        before, after = was.get(name, {}), now.get(name, {})
        for text in dict.fromkeys([*after, *before]):
            old, new = before.get(text), after.get(text)
            if old == new or (None in (old, new) and "revision" in str(old or new).split()[:1]):
                continue
            how = f"its digest was {_short(old)} and is {_short(new)}"
            if new is None:
                how = "it is no longer there"
            elif old is None:
                how = "it was not there then" if isinstance(then, Mapping) else "the folder does not say what it was"
            raise BadInput(
                f"The {WORDS.get(name, name)} at {text} is not the one that this run began with ({how}). What was found of the "
                "one would be told of the other. Give another --out, or put back what was there."
            )


def _short(digest: str | None) -> str:
    return str(digest).removeprefix("revision ")[:12]


def _write_first(folder: Path, manifest: Manifest) -> None:
    try:
        write_whole(folder / MANIFEST, to_text(manifest.plain()))
    except OSError as error:
        raise cannot_write(folder, error) from error


def _recorded(folder: Path) -> bool:
    """Say whether anything was recorded: then it is kept, whatever happened."""
    head = folder / LEDGER / "head.json"
    try:
        return bool(json.loads(head.read_bytes())["count"] > 1)  # the first record only says which run it is
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True  # unreadable is not the same as empty


def _remove(folder: Path, *, created: list[Path], keep: set[str]) -> None:
    for path in list(folder.iterdir()):
        if path.name not in keep:
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in created:
        with contextlib.suppress(OSError):
            path.rmdir()


def cannot_write(folder: Path, error: BaseException) -> BadInput:
    """Explain that the disk refused."""
    return BadInput(
        f"Could not write in {folder}: {error}. The run cannot keep what it finds. Free space, make the folder "
        "writable or name another with --out, then give the same command again; what was recorded is kept."
    )
