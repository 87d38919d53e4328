"""Files and folders that are written whole or not at all: a crash, a full disk or a reader never meets half of one.

All is written under another name beside the target and then renamed, which a file system does at once. A file that stood there
is replaced, and so is a link, but not what it points to: evidence must not end up where a link leads. A folder is never replaced
by a file. A kill may leave what was under way, under a name that begins with `PART`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PART = ".part-"


@contextlib.contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that has its name only after the block; if the block fails, nothing has changed.

    Args:
        path: Where to; its folder exists.
        durable: Wait until the disk has the bytes and the name, so that a power cut loses neither.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     target = Path(folder) / "a"
        ...     with whole_file(target) as file:
        ...         _ = file.write(b"1")
        ...         before = target.exists()
        ...     before, target.read_text()
        (False, '1')
    """
    part = path.with_name(PART + secrets.token_hex(8))
    file = part.open("xb")  # not a temporary file of the library's, which others may not read afterwards
    try:
        with file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_whole(path: Path, data: str | bytes, *, durable: bool = True) -> None:
    """Write a whole file, a text as UTF-8; see `whole_file`."""
    found = data.encode() if isinstance(data, str) else data
    with whole_file(path, durable=durable) as file:
        file.write(found)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder that has its name only after the block, to be filled inside it; if the block fails, nothing has changed.

    Args:
        path: Where to; its parent exists, and nothing but an empty folder stands there.
    """
    target = path.resolve()  # of a link to an empty folder, that folder
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=PART) as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()  # the scratch folder itself is closed to others
        yield folder
        folder.replace(target)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
