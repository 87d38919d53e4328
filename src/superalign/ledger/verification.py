"""Recompute a ledger from the disk and name the first record that is not what was appended."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from superalign.errors import BadInput, DataError, LedgerError
from superalign.ledger import disk
from superalign.ledger.chain import EMPTY, FORMAT, ROWS, SCHEMA, ZERO, Head, fault_in_body, fault_in_row, is_digest
from superalign.ledger.disk import DATABASE, HEAD, blob_is_whole, read_head
from superalign.ledger.records import Entry
from superalign.types import Record

Connecting: TypeAlias = Callable[[Path], AbstractContextManager[sqlite3.Connection]]

# Looks for a moment between two commits of a busy writer; each takes well under a millisecond.
_TRIES = 2000
_LOOKS = 5  # a writer that begins in the middle of a look makes it worthless


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Record):
    """What recomputing a ledger from the disk said."""

    ok: bool
    count: int  # records that verified, from the first one on
    first_bad: int | None  # index of the first bad record; None if no single record is to blame
    what: str  # what is wrong; empty if nothing is
    head: str  # hash of the last record that verified


def verify(path: str | Path, *, head: str = "") -> Verification:
    """Recompute everything in a ledger from the disk: bodies, digests, chain, head and the blobs referred to.

    A reader's view: a writer may be at work meanwhile. Nothing in the folder is changed. That a whole ledger was replaced by
    an older or a re-hashed one shows only against a head that was kept elsewhere.

    Args:
        path: The ledger's folder.
        head: The hash of a head that was kept elsewhere; it must be in the chain. Empty for none.

    Returns:
        Whether all of it is what was appended, and if not, the first bad record and what is wrong with it.

    Raises:
        DataError: If the folder holds no ledger, or the head is no sha256.
    """
    return read_verified(path, head=head)[0]


def read_verified(path: str | Path, *nouns: str, head: str = "") -> tuple[Verification, tuple[Entry, ...]]:
    """As `verify`; and the records of some nouns, as they were read while verifying."""
    folder = Path(path)
    if head and not is_digest(head):
        raise DataError(
            f"{head[:80]!r} is no head. Nothing in a chain could be compared with it. Give the 64 hexadecimal digits that "
            "`superalign verify` or the report printed."
        )
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file. A ledger is a folder, and so is a run. Name the folder that holds it.")
    if not (folder / DATABASE).exists() and not (folder / HEAD).exists():
        raise DataError(
            f"{folder} holds no ledger (neither {DATABASE} nor {HEAD}). Nothing in it can be verified. "
            "Name the folder that a run wrote its ledger to."
        )
    for _ in range(_LOOKS):
        before, entries, known = disk.state(folder), list[Entry](), {ZERO}
        verification = _look(folder, nouns=nouns, entries=entries, known=known)
        if verification.ok or disk.state(folder) == before:
            break
    if verification.ok and head and head not in known:
        what = (
            f"the head {head}, kept elsewhere, is not in this chain. It is another ledger, or an older copy of this one, or its "
            "history was written anew"
        )
        verification = replace(verification, ok=False, what=what)
    return verification, tuple(entries)


def _look(folder: Path, *, nouns: Collection[str], entries: list[Entry], known: set[str]) -> Verification:
    """Recompute a ledger once, without leaving anything in its folder."""

    def seen(row: Sequence[Any]) -> None:
        known.add(row[5].decode())
        if (noun := row[1].decode()) in nouns:
            entries.append(
                Entry(index=row[0], noun=noun, digest=row[3].decode(), hash=row[5].decode(), record=json.loads(row[2]))
            )

    try:
        disk.check_files(folder)
        with snapshot(folder, connect=disk.connect_untouched) as (connection, heads):
            return examine(folder, connection, heads=heads, deep=True, seen=seen)
    except LedgerError as error:
        return _bad(EMPTY, None, str(error))
    except sqlite3.Error as error:
        return _bad(EMPTY, None, f"the database cannot be read: {error}")
    except OSError as error:
        return _bad(EMPTY, None, f"the ledger cannot be read: {error}")


def describe(verification: Verification) -> str:
    """Say in one line what a verification found.

    Example:
        >>> describe(Verification(ok=False, count=3, first_bad=3, what="it is missing", head="ab" * 32))
        'BAD: record 3: it is missing. The 3 records before it verify.'
    """
    v = verification
    if v.ok:
        return f"OK: {v.count} records verify; head {v.head}"
    if v.first_bad is None:
        return f"BAD: {v.what}"
    return f"BAD: record {v.first_bad}: {v.what}. The {v.count} records before it verify."


@contextlib.contextmanager
def snapshot(
    folder: Path, *, connect: Connecting = disk.connect_readonly
) -> Iterator[tuple[sqlite3.Connection | None, tuple[Head, Head | None]]]:
    """Open the database at one moment, with the head that belongs to that moment."""
    heads = read_head(folder)
    if not (folder / DATABASE).exists():
        yield None, heads
        return
    with connect(folder) as connection:
        for _ in range(_TRIES):
            heads = read_head_beside_writer(folder)
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            if read_head_beside_writer(folder) == heads:
                break
            connection.execute("ROLLBACK")
        else:
            raise BadInput(
                f"The writer of {folder} never paused long enough for one look. A snapshot taken across two commits "
                "would seem damaged. Try again later."
            )
        connection.text_factory = bytes
        yield connection, heads


def read_head_beside_writer(folder: Path) -> tuple[Head, Head | None]:
    """Read the head file, looking again if the first look may have met a writer half-way through its sector."""
    for _ in range(20):
        with contextlib.suppress(LedgerError):
            return read_head(folder)
        os.sched_yield()
    return read_head(folder)


def examine(
    folder: Path,
    connection: sqlite3.Connection | None,
    *,
    heads: tuple[Head, Head | None],
    deep: bool,
    seen: Callable[[Sequence[Any]], None] | None = None,
) -> Verification:
    """Walk the chain of an open database; `deep` also recomputes bodies, blobs and SQLite's own structure.

    `seen` is called with every row that verifies.
    """
    if connection is None:
        fresh = heads == (EMPTY, None)
        return _good(EMPTY) if fresh else _bad(EMPTY, 0, "the database is missing")
    started = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    if not started and heads == (EMPTY, None):
        return _good(EMPTY)
    if not started:
        return _bad(
            EMPTY, None, f"the database is empty, while its head counts {heads[0].count} records{without_log(folder)}"
        )
    fault = _fault_in_schema(connection)
    if fault:
        return _bad(EMPTY, None, fault)
    at = EMPTY
    known: dict[int, str] = {0: ZERO}  # hashes at the places that the head names
    places = {head.count for head in heads if head is not None}
    whole: set[str] = set()
    try:
        for row in connection.execute(ROWS):
            fault = fault_in_row(row, expected=at.count, previous=at.hash)
            if not fault and deep:
                fault, blobs = fault_in_body(row[1], row[2])
                missing = [b for b in blobs if b not in whole and not blob_is_whole(folder, b)]
                whole.update(blobs)
                if not fault and missing:
                    fault = f"the blob {missing[0]} that it refers to is missing or altered"
            if fault:
                return _bad(at, at.count, fault)
            if seen is not None:
                seen(row)
            at = Head(count=at.count + 1, hash=row[5].decode())
            if at.count in places:
                known[at.count] = at.hash
    except sqlite3.Error as error:
        return _bad(at, at.count, f"it cannot be read from the database: {error}")
    head, _ = heads
    if at.count < head.count:
        return _bad(at, at.count, f"it is missing; the head counts {head.count} records{without_log(folder)}")
    return _against_head(connection, at, heads=heads, known=known, deep=deep)


def without_log(folder: Path) -> str:
    """Say why records may be missing, if the log that a writer keeps beside the database is missing too."""
    if not disk.lacks_log(folder):
        return ""
    return (
        f". There is no {disk.LOG} beside it: most likely the ledger was copied without its log, while a writer had it open "
        f"or after one was killed. Copy {disk.LOG} as well, or close the writer first and copy again"
    )


def _against_head(
    connection: sqlite3.Connection, at: Head, *, heads: tuple[Head, Head | None], known: dict[int, str], deep: bool
) -> Verification:
    head, following = heads
    if known.get(head.count) != head.hash:
        return _bad(at, max(head.count - 1, 0), "the chain up to it does not end in the hash that the head holds")
    if at != head and at != following:
        return _bad(at, head.count, f"it was never announced; the head counts {head.count} records")
    if deep:
        try:
            said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            said = str(error).encode()
        if said != b"ok":
            return _bad(
                at, None, f"every record verifies, but the database is damaged: {said.decode(errors='replace')}"
            )
    return _good(at)


def _fault_in_schema(connection: sqlite3.Connection) -> str:
    """Say whether the database holds the ledger's tables and only them: no view or trigger stands in."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        return f"the database has format {version}, not {FORMAT}"
    objects = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    text = tuple(tuple(c.decode(errors="replace") if isinstance(c, bytes) else c for c in row) for row in objects)
    return "" if text == SCHEMA else "the database does not hold the tables of a ledger, and only them"


def _good(at: Head) -> Verification:
    return Verification(ok=True, count=at.count, first_bad=None, what="", head=at.hash)


def _bad(at: Head, index: int | None, what: str) -> Verification:
    return Verification(ok=False, count=at.count, first_bad=index, what=what, head=at.hash)
