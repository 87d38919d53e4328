"""What lies in a folder, and how that differs from what a manifest says; no link is followed, and no content but hashed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superalign.canonical import Record
from superalign.errors import DataError

MANIFEST, SIGNATURE, FORMAT = "MANIFEST.json", "SIGNATURE", "superalign sealed folder 1"
SUFFIXES = (".json", ".jsonl", ".md", ".safetensors", ".txt")  # what has one of these is read without running code
# What is wrong with a path in which this is found, and why it matters.
WRONG = (
    (r"(^|/)\.{0,2}(/|$)|[\\:\0]", "may lead out of the folder. Who opens it might read or write anything else."),
    (r"(^|/)\.", "is hidden. People who look through the folder would not see it."),
    (r"[^A-Za-z0-9_.+=/-]|[.+=-](/|$)", "is not of letters, digits and `._+=-`. Other systems may change it."),
    (r"^.{201}", "has more than 200 characters. Not every system can hold it."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFile(Record):
    """What one file holds: the sha256 of its bytes, and how many they are."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Record):
    """What a folder holds: every file but manifest and signature, by its path with slashes. Its digest names the folder."""

    files: Mapping[str, SealedFile]
    format: str = FORMAT


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Refuse a file or folder that cannot be read inside the block."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{str(path)!r} cannot be read ({error.strerror or error}). What cannot be read cannot be checked. Make it "
            "readable, or get it again."
        ) from error


def sizes(folder: Path) -> dict[str, int]:
    """List every file in a folder, manifest and signature among them: path with slashes -> bytes.

    Raises:
        DataError: For anything that is neither file nor folder, an empty folder, or a path that `check_paths` refuses.
    """
    found: dict[str, int] = {}
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with reading(folder / inside), os.scandir(folder / inside) as entries:
            here = {inside + entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        if not here:
            raise DataError(
                f"The folder {inside or str(folder)!r} is empty. Something that was in it may be lost. Remove it, or get what "
                "belongs into it."
            )
        for path, about in sorted(here.items()):
            if stat.S_ISDIR(about.st_mode):
                waiting.append(f"{path}/")
            elif stat.S_ISREG(about.st_mode):
                found[path] = about.st_size
            else:
                kind = "a symbolic link" if stat.S_ISLNK(about.st_mode) else "neither a file nor a folder"
                raise DataError(
                    f"{path!r} is {kind}. What is read through it is not part of the folder. Put the file itself in its place."
                )
    check_paths(found.keys() - {MANIFEST, SIGNATURE})
    if not found.keys() - {MANIFEST, SIGNATURE}:
        raise DataError(
            f"{folder} holds no file but its seal. A seal of nothing says nothing. Put in what it should hold."
        )
    return found


def check_paths(paths: Iterable[str]) -> None:
    """Refuse paths that lead elsewhere, hide, may hold code, or that some system takes for each other."""
    spelled = {name.lower(): name for name in (MANIFEST, SIGNATURE)}
    for path in sorted(paths):
        wrong = [why for piece, why in WRONG if re.search(piece, path)]
        if not path.endswith(SUFFIXES):
            wrong.append(f"ends in none of {' '.join(SUFFIXES)}. To load it may run code.")
        if wrong:
            raise DataError(f"The path {path[:200]!r} {wrong[0]} Rename or remove it, then seal the folder anew.")
        for place in (path[: slash.start()] for slash in re.finditer("/|$", path)):
            other = spelled.setdefault(place.lower(), place)
            if other != place or place in (MANIFEST, SIGNATURE):
                raise DataError(
                    f"The paths {other!r} and {place!r} are one where case does not count. One would replace the "
                    "other. Rename one, then seal the folder anew."
                )


def manifest_of(folder: Path, found: Mapping[str, int]) -> Manifest:
    """Hash every file that `sizes` found, a piece at a time, since one may be larger than memory."""
    files = {}
    for path in sorted(found.keys() - {MANIFEST, SIGNATURE}):
        with reading(folder / path), (folder / path).open("rb") as file:
            files[path] = SealedFile(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size=found[path])
    return Manifest(files=files)


def difference(text: bytes, found: Mapping[str, SealedFile]) -> str:
    """Say what first differs between the manifest that came along and the files that are there."""
    try:
        told = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return f"{MANIFEST} is not JSON that names everything once ({error})"
    sealed = told.get("files") if isinstance(told, dict) and told.get("format") == FORMAT else None
    if not isinstance(sealed, dict):
        return f"{MANIFEST} is not of the format {FORMAT!r}"
    check_paths(sealed)
    if lost := sorted(sealed.keys() - found.keys()):
        extra = sorted(found.keys() - sealed.keys())
        return f"{lost[0]!r} is missing" + (f", and {extra[0]!r} is there that was not sealed" if extra else "")
    for path, file in found.items():
        if path not in sealed:
            return f"{path!r} is there and was not sealed"
        about = sealed[path] if isinstance(sealed[path], dict) else {}
        if about.get("size") != file.size:
            return f"{path!r} has {file.size} bytes and was sealed with {str(about.get('size'))[:20]}"
        if about.get("sha256") != file.sha256:
            return f"The bytes of {path!r} are not those that were sealed"
    return f"{MANIFEST} is not written as `seal` writes it"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary of what JSON names; `json` itself would take the last of what is named twice."""
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0][:200]!r} stands there twice")
    return dict(pairs)
