"""Where a ledger meets the disk: durable files, blobs, the head file, the writer's lock, the database."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from superalign import files
from superalign.errors import BadInput, LedgerError
from superalign.ledger.chain import HEAD_BYTES, Head, parse_head

DATABASE = "ledger.sqlite"
HEAD = "head.json"
BLOBS = "blobs"
LOCK = "lock"
LOG = f"{DATABASE}-wal"  # what a writer has committed and not yet folded into the database
_TRIES = 5

# The size of the head file never changes, so its data is all that has to reach the disk. macOS has no fdatasync.
sync_data = getattr(os, "fdatasync", os.fsync)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    try:
        files.sync_folder(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def write_durably(path: Path, data: bytes) -> int:
    """Write a whole file, or nothing, so that it survives a power cut; return the number of syncs."""
    try:
        files.write_whole(path, data)
    except OSError as error:
        raise unwritable(path, error) from error
    return 2  # the file and its folder


def unwritable(path: Path, error: Exception) -> BadInput:
    """Explain that the disk refused, with what it means for the records."""
    return BadInput(
        f"Could not write to {path}: {error}. What was being appended is not acknowledged; all that was before it "
        "is kept. Free space or make the folder writable, then run the same command again."
    )


def make_folder(folder: Path) -> None:
    """Create a folder and make its name durable."""
    if folder.is_dir():
        return
    if folder.exists():
        raise BadInput(f"{folder} is a file. A ledger is a folder. Name a folder, or a path that does not exist yet.")
    try:
        if not folder.parent.is_dir():
            make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise unwritable(folder, error) from error


def take_lock(folder: Path) -> int:
    """Take the one writer's lock; it is given back when the returned handle closes, also by a kill."""
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unwritable(folder / LOCK, error) from error
    try:
        for left in range(_TRIES, -1, -1):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    raise
                time.sleep(0.01)  # somebody may only have looked whether there is a writer
    except OSError as error:
        owner = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise BadInput(
            f"The ledger at {folder} already has a writer (process {owner}). Two writers would fork the chain. "
            "Wait for that process, close its ledger, or open this one with readonly=True."
        ) from error
    with contextlib.suppress(OSError):  # the number only serves the message above
        os.pwrite(handle, f"{os.getpid():<19}\n".encode(), 0)
    return handle


def read_head(folder: Path) -> tuple[Head, Head | None]:
    """Read the head file.

    Raises:
        LedgerError: If it is missing or not a head.
    """
    try:
        data = (folder / HEAD).read_bytes()
    except OSError as error:
        raise LedgerError(
            f"The head file of the ledger at {folder} cannot be read ({error.strerror}). Without it a truncated chain "
            "looks whole. Restore the folder from a copy."
        ) from error
    try:
        return parse_head(data)
    except ValueError as error:
        raise LedgerError(
            f"The head file of the ledger at {folder} is damaged ({error}). Without it a truncated chain looks whole. "
            "Restore the folder from a copy."
        ) from error


def open_head(folder: Path) -> int:
    """Open the head file for replacing its one sector in place."""
    handle = os.open(folder / HEAD, os.O_RDWR)
    if os.fstat(handle).st_size != HEAD_BYTES:
        os.close(handle)
        raise LedgerError(f"The head file of {folder} has the wrong size. Restore the folder from a copy.")
    return handle


def blob_path(folder: Path, digest: str) -> Path:
    """Name the file that holds a blob."""
    return folder / BLOBS / digest


def blob_is_whole(folder: Path, digest: str) -> bool:
    """Say whether a blob is there and its bytes have its digest."""
    try:
        path = blob_path(folder, digest)
        if not path.is_file():  # opening a pipe would never end
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except OSError:
        return False


def check_files(folder: Path) -> None:
    """Refuse folders, pipes and devices in place of a ledger's files.

    Raises:
        LedgerError: If there are any.
    """
    for name in (DATABASE, LOG, HEAD):
        path = folder / name
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "a pipe or a device"
            raise LedgerError(
                f"{path} is {what}, not a file. The ledger's records cannot be read from it. Restore it from a copy."
            )


def has_writer(folder: Path) -> bool:
    """Say whether a writer has the ledger open now."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def lacks_log(folder: Path) -> bool:
    """Say whether there is no log of commits beside the database, or an empty one."""
    try:
        return (folder / LOG).stat().st_size == 0
    except OSError:
        return True


def state(folder: Path) -> tuple[object, ...]:
    """Sizes and times of a ledger's files: if they differ, somebody wrote meanwhile."""
    stamps: list[object] = []
    for name in (DATABASE, LOG, HEAD):
        try:
            about = (folder / name).stat()
            stamps.append((about.st_ino, about.st_size, about.st_mtime_ns))
        except OSError as error:
            stamps.append(error.errno)
    return tuple(stamps)


@contextlib.contextmanager
def connect_untouched(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a ledger's database for reading without changing or leaving anything in its folder.

    SQLite makes two files beside a database that keeps a log, and leaves them there. Where a writer is at work they are
    there already. Where none is, there is no log to be read, or what a killed one left is read from a copy.
    """
    if has_writer(folder):
        with connect_readonly(folder) as connection:
            yield connection
    elif lacks_log(folder):
        with contextlib.closing(_connect(folder / DATABASE, mode="ro&immutable=1")) as connection:
            yield connection
    else:
        with _copied(folder) as connection:
            yield connection


@contextlib.contextmanager
def _copied(folder: Path) -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory(prefix="ledger-") as copy:
        for name in (DATABASE, LOG):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(folder / name, Path(copy) / name)
        with contextlib.closing(_connect(Path(copy) / DATABASE, mode="rw")) as connection:
            yield connection


@contextlib.contextmanager
def connect_readonly(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a ledger's database for reading; where even SQLite's side files cannot be made, read a copy."""
    check_files(folder)
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(contextlib.closing(_connect(folder / DATABASE, mode="ro")))
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.OperationalError:
            # A folder on a read-only disk, or one whose last writer was killed and left a log that cannot be opened.
            connection = stack.enter_context(_copied(folder))
        yield connection


def connect(folder: Path) -> sqlite3.Connection:
    """Open a ledger's database for its one writer: write-ahead log, and a sync for every commit."""
    connection = _connect(folder / DATABASE, mode="rwc")
    try:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error:
        connection.close()
        raise
    if mode != "wal":
        connection.close()
        raise BadInput(
            f"The disk under {folder} does not support SQLite's write-ahead log. Readers would block the writer. "
            "Put the ledger on a local disk."
        )
    return connection


def _connect(path: Path, *, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30.0)
