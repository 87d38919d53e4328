"""One writer and many readers of a ledger.

A commit is two syncs: the head file announces where the chain will end, then SQLite commits, then the record is
acknowledged. So what a crash can leave is exactly the old chain or the announced one, and anything else is damage.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from superalign.errors import BadInput, LedgerError, OrderError
from superalign.ledger import disk
from superalign.ledger.chain import EMPTY, FORMAT, INDEX, TABLE, Head, render_head, row_hash
from superalign.ledger.records import Entry, flat, prepare
from superalign.ledger.verification import Verification, describe, examine, snapshot

# Rows fetched at a time: long enough to be quick, short enough that a slow reader keeps no snapshot open.
_CHUNK = 500


class Ledger:
    """An append-only, hash-chained record of every noun, in a folder.

    Args:
        path: The folder; made if it does not exist, unless `readonly`.
        readonly: Open beside a writer, or where nothing may be written.

    Raises:
        BadInput: If the folder cannot be used, or another writer has it.
        LedgerError: If what is there does not verify (the chain and head are checked on opening; `verify` checks all).

    Example:
        >>> import tempfile
        >>> from superalign.types import Interval
        >>> with tempfile.TemporaryDirectory() as folder, Ledger(folder) as ledger:
        ...     (digest,) = ledger.append(Interval(value=0.5, low=0.4, high=0.6, n=100))
        ...     ledger.index_of(digest), next(ledger.records())["value"]
        (0, 0.5)
    """

    def __init__(self, path: str | Path, *, readonly: bool = False) -> None:
        self.path = Path(path)
        self.readonly = readonly
        self.fsyncs = 0  # syncs asked for: one per head, commit, blob and folder; SQLite's checkpoints add a few
        self._broken = ""
        self._depth = 0
        self._at = self._committed = EMPTY
        self._process = os.getpid()
        self._closing = contextlib.ExitStack()
        try:
            if readonly:
                self._open_readonly()
            else:
                self._open_writer()
        except BaseException:
            self._closing.close()
            raise

    def _open_readonly(self) -> None:
        if not (self.path / disk.DATABASE).exists():
            raise BadInput(
                f"{self.path} holds no ledger to read. Numbers could not be traced to records. "
                "Name the folder that a run wrote its ledger to."
            )
        try:
            with snapshot(self.path) as (connection, heads):
                self._refuse_damage(connection, heads)
            self._db = self._closing.enter_context(disk.connect_readonly(self.path))
            self._db.execute("SELECT 1 FROM records LIMIT 1").fetchone()
        except sqlite3.Error as error:
            raise LedgerError(
                f"The database of the ledger at {self.path} cannot be read ({error}). Evidence in it cannot be relied "
                "on. Restore the folder from a copy."
            ) from error

    def _open_writer(self) -> None:
        disk.make_folder(self.path)
        self._lock = disk.take_lock(self.path)
        self._closing.callback(self._unlock)
        # A forked child would otherwise hold the lock after its parent's death.
        unlock = weakref.WeakMethod(self._unlock)
        os.register_at_fork(after_in_child=lambda: _call(unlock()))
        disk.make_folder(self.path / disk.BLOBS)
        if not (self.path / disk.HEAD).exists():
            if (self.path / disk.DATABASE).exists():
                disk.read_head(self.path)  # raises: a database without its head
            self.fsyncs += disk.write_durably(self.path / disk.HEAD, render_head(EMPTY, following=None))
        heads = disk.read_head(self.path)
        if heads != (EMPTY, None) and not (self.path / disk.DATABASE).exists():
            raise LedgerError(
                f"The database of the ledger at {self.path} is missing; its head counts {heads[0].count} records. "
                "Starting an empty one would hide that. Restore the folder from a copy."
            )
        disk.check_files(self.path)
        try:
            self._head_file = disk.open_head(self.path)
            self._closing.callback(os.close, self._head_file)
            self._db = disk.connect(self.path)
            self._closing.callback(self._db.close)
            if heads == (EMPTY, None) and not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                self._db.execute("BEGIN IMMEDIATE")
                for statement in (TABLE, INDEX, f"PRAGMA user_version={FORMAT}"):
                    self._db.execute(statement)
                self._db.execute("COMMIT")
            disk.sync_folder(self.path)
        except (OSError, sqlite3.OperationalError) as error:
            raise disk.unwritable(self.path, error) from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"The database of the ledger at {self.path} cannot be read ({error}). Evidence in it cannot be relied "
                "on. Restore the folder from a copy."
            ) from error
        self.fsyncs += 2
        self._settle()

    def _settle(self) -> None:
        """Take over a commit that a killed writer had announced and made."""
        text, self._db.text_factory = self._db.text_factory, bytes
        verification = self._refuse_damage(self._db, disk.read_head(self.path))
        self._db.text_factory = text
        self._at = self._committed = Head(count=verification.count, hash=verification.head)
        try:
            self._write_head(self._at, following=None, durably=True)
        except OSError as error:
            raise disk.unwritable(self.path, error) from error

    def _refuse_damage(self, connection: sqlite3.Connection | None, heads: tuple[Head, Head | None]) -> Verification:
        try:
            verification = examine(self.path, connection, heads=heads, deep=False)
            said = describe(verification)
        except sqlite3.DatabaseError as error:
            verification, said = None, f"BAD: the database cannot be read: {error}."
        if verification is None or not verification.ok:
            raise LedgerError(
                f"The ledger at {self.path} does not verify. {said} Whatever rests on it would rest on damaged "
                "evidence. Restore the folder from a copy, or start a new one."
            )
        return verification

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. Everything acknowledged is already on disk."""
        if os.getpid() == self._process:  # a forked child must not fold its parent's log into the database
            self._closing.close()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def __len__(self) -> int:
        return self.head.count

    @property
    def head(self) -> Head:
        """Where the chain ends now; keep a copy elsewhere to be able to prove later that history was not replaced."""
        if not self.readonly:
            return self._at
        rows = self._database("SELECT idx, hash FROM records ORDER BY idx DESC LIMIT 1")
        return Head(count=rows[0][0] + 1, hash=rows[0][1]) if rows else EMPTY

    def append(self, *records: Any) -> tuple[str, ...]:
        """Append records as one transaction, durable when this returns (inside `group`, when the group ends).

        Args:
            records: Records, or lists and tuples of records; `Rollouts` are kept row by row.

        Returns:
            The digests, one per record, in order.

        Raises:
            BadInput: If a record cannot be kept, refers to a blob that is not here, or the disk refuses; then none is.
        """
        return self._keep(records, once=False)

    def append_once(self, *records: Any) -> tuple[str, ...]:
        """Append those records that are not here yet, so that a resumed run writes nothing twice."""
        return self._keep(records, once=True)

    def _keep(self, records: Any, *, once: bool) -> tuple[str, ...]:
        self._must_write()
        prepared = [prepare(record, folder=self.path) for record in flat(records)]  # refuse before anything is written
        with self.group():
            for noun, body, digest in prepared:
                if not (once and self.have(digest)):
                    self._insert(noun, body, digest)
        return tuple(digest for _, _, digest in prepared)

    @contextlib.contextmanager
    def group(self) -> Iterator[None]:
        """Commit all that is appended inside as one transaction; an exception undoes all of it.

        A group inside a group joins it. Until the outermost one ends, nothing in it is acknowledged.
        """
        self._must_write()
        if self._depth == 0:
            self._database("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self._undo()
            raise
        self._depth -= 1
        if self._depth == 0:
            self._must_write()  # a failure that was caught inside has undone all of the group
            self._commit()

    def put_blob(self, data: bytes) -> str:
        """Keep bytes by their sha256, durable when this returns; a record that holds the digest makes it evidence."""
        self._must_write()
        digest = hashlib.sha256(data).hexdigest()
        if not disk.blob_is_whole(self.path, digest):
            self.fsyncs += disk.write_durably(disk.blob_path(self.path, digest), data)
        else:  # a killed writer may have left its name undurable
            disk.sync_folder(self.path / disk.BLOBS)
            self.fsyncs += 1
        return digest

    def blob(self, digest: str) -> bytes:
        """Read a blob.

        Raises:
            LedgerError: If it is missing, or its bytes no longer have its digest.
        """
        path = disk.blob_path(self.path, digest)
        data = path.read_bytes() if path.is_file() else None
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            raise LedgerError(
                f"The blob {digest} is {'missing' if data is None else 'altered'}. Records that refer to it rest on "
                "nothing. Restore the folder from a copy."
            )
        return data

    def have(self, digest: str) -> bool:
        """Say whether a record with this digest was appended."""
        return self._find(digest) is not None

    def index_of(self, digest: str) -> int:
        """Return where a record was first appended; smaller came earlier.

        Raises:
            LedgerError: If it is not in the ledger.
        """
        index = self._find(digest)
        if index is None:
            raise LedgerError(
                f"The ledger at {self.path} has no record {digest}. A number or an order that rests on it cannot be "
                "shown. Append the record first, or open the ledger that holds it."
            )
        return index

    def entry(self, index: int) -> Entry:
        """Read the record at an index.

        Raises:
            LedgerError: If there is none, or it was altered.
        """
        for entry in self._entries(first=index, end=index + 1):
            return entry
        raise LedgerError(
            f"The ledger at {self.path} has no record {index}. What points to it cannot be shown. "
            f"Use an index below {len(self)}."
        )

    def entries(self, *, noun: str | None = None) -> Iterator[Entry]:
        """Yield the records that are here now, in order, with their places; optionally of one noun."""
        yield from self._entries(first=0, end=len(self), noun=noun)

    def records(self, *, noun: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records that are here now as plain dictionaries, in order; optionally of one noun."""
        return (entry.record for entry in self.entries(noun=noun))

    def _entries(self, *, first: int, end: int, noun: str | None = None) -> Iterator[Entry]:
        wanted, values = ("", ()) if noun is None else (" AND noun=?", (noun,))
        query = f"SELECT idx, noun, body, digest, hash FROM records WHERE idx>=? AND idx<?{wanted} ORDER BY idx LIMIT ?"
        while first < end:
            rows = self._database(query, first, end, *values, _CHUNK)
            for index, noun_of, body, digest, link in rows:
                if hashlib.sha256(body.encode()).hexdigest() != digest:
                    raise LedgerError(
                        f"Record {index} of the ledger at {self.path} was altered after it was appended. It is no "
                        "evidence any more. Run `superalign verify` on the folder and restore it from a copy."
                    )
                yield Entry(index=index, noun=noun_of, digest=digest, hash=link, record=json.loads(body))
            if len(rows) < _CHUNK:
                return
            first = rows[-1][0] + 1

    def _find(self, digest: str) -> int | None:
        rows = self._database("SELECT idx FROM records WHERE digest=? ORDER BY idx LIMIT 1", digest)
        return rows[0][0] if rows else None

    def _insert(self, noun: str, body: str, digest: str) -> None:
        index, previous = self._at.count, self._at.hash
        link = row_hash(index, digest=digest, previous=previous)
        self._database("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", index, noun, body, digest, previous, link)
        self._at = Head(count=index + 1, hash=link)

    def _commit(self) -> None:
        if self._at == self._committed:
            self._undo()
            return
        try:
            self._write_head(self._committed, following=self._at, durably=True)
            self._db.execute("COMMIT")
            self.fsyncs += 1
            # Not synced: if the power fails now, the announcement still names the chain that is on disk.
            self._write_head(self._at, following=None, durably=False)
        except (OSError, sqlite3.Error) as error:
            self._fail(error)
        except BaseException:  # interrupted between two of the three steps
            self._broken = "interrupted while committing"
            raise
        self._committed = self._at

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self._at = self._committed

    def _write_head(self, head: Head, *, following: Head | None, durably: bool) -> None:
        data = render_head(head, following=following)
        if os.pwrite(self._head_file, data, 0) != len(data):
            raise OSError("the head file was written in part")
        if durably:
            disk.sync_data(self._head_file)
            self.fsyncs += 1

    def _database(self, statement: str, *values: Any) -> list[Any]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if self.readonly:
                raise LedgerError(
                    f"The database of the ledger at {self.path} cannot be read ({error}). Evidence in it cannot be "
                    "relied on. Run `superalign verify` on the folder and restore it from a copy."
                ) from error
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        """Refuse all further writing: after a failed sync nobody knows what is on disk until it is read again."""
        self._undo()
        self._broken = str(error)
        raise disk.unwritable(self.path, error) from error

    def _must_write(self) -> None:
        if self.readonly or os.getpid() != self._process:
            raise OrderError(
                f"This handle on the ledger at {self.path} only reads. Two writers would fork the chain. "
                "Hand records to the process that opened the ledger for writing."
            )
        if self._broken:
            raise BadInput(
                f"The ledger at {self.path} failed earlier ({self._broken}). What reached the disk is known only "
                "after reading it again. Open the ledger anew."
            )


def _call(method: Callable[[], None] | None) -> None:
    if method is not None:
        method()
