#!/usr/bin/env python3
"""Verify a ledger with nothing but Python: python verify_ledger.py DIR [--head HASH]

DIR is a ledger, or a run that holds one in DIR/ledger: then the run's files that the ledger binds are checked too. HASH is a head
that was kept elsewhere; it must be in the chain. Nothing in DIR is changed.

Written from docs/ledger-format.md alone, and kept apart from the package on purpose: two programs that share code also
share mistakes. Prints one line. Exit code 0: it verifies. 1: it does not. 2: there is nothing to verify.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import sqlite3
import sys
import tempfile

try:
    import fcntl
except ImportError:  # not every system has it
    fcntl = None

ZERO = "0" * 64
TABLE = (
    "CREATE TABLE records (idx INTEGER PRIMARY KEY, noun TEXT NOT NULL, body TEXT NOT NULL, digest TEXT NOT NULL, "
    "previous TEXT NOT NULL, hash TEXT NOT NULL)"
)
COLUMNS = ["idx", "noun", "body", "digest", "previous", "hash"]
TYPES = [f"typeof({column})" for column in COLUMNS]  # text and blobs both come as bytes
BOUND = ("run.json", "config.yaml", "result.json", "log.jsonl", "report.html")
OBJECTS = {("table", "records", TABLE), ("index", "records_digest", "CREATE INDEX records_digest ON records (digest)")}


class NoLedger(Exception):
    """There is nothing to verify."""


class Bad(Exception):
    """The ledger does not verify; `record` is the first bad one, or None if no single record is to blame."""

    def __init__(self, record, what):
        super().__init__(what)
        self.record = record
        self.what = what


def sha256(data):
    """Hash bytes."""
    return hashlib.sha256(data).hexdigest()


def is_sha256(value):
    """Say whether a value is 64 lower-case hexadecimal digits."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def no_key_twice(pairs):
    """Build an object, refusing a key that stands twice."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)


def no_constant(name):
    """Refuse NaN and infinity."""
    raise ValueError(f"{name} is not a number")


def parse(data):
    """Read canonical JSON from bytes; anything else raises ValueError."""
    try:
        text = data.decode("ascii")
        value = json.loads(text, object_pairs_hook=no_key_twice, parse_constant=no_constant)
        again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if again != text:
        raise ValueError("not written canonically")
    return value


def look_into(value, level, blobs):
    """Refuse deep nesting and large integers; collect the blobs referred to."""
    if isinstance(value, (dict, list)):
        if level > 64:
            raise ValueError("nested deeper than 64 levels")
        if isinstance(value, dict):
            if is_sha256(value.get("blob")):
                blobs.add(value["blob"])
            value = value.values()
        for part in value:
            look_into(part, level + 1, blobs)
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        raise ValueError("an integer beyond 63 bits")


def parse_head(data):
    """Return (count, hash) and the announced (count, hash) or None; raises Bad."""
    try:
        if len(data) != 512 or not data.endswith(b"\n"):
            raise ValueError("not 512 bytes with a newline at the end")
        head = parse(data[:-1].rstrip(b" "))
        if not isinstance(head, dict) or set(head) != {"count", "format", "hash", "next"}:
            raise ValueError("not the keys of a head")
        if type(head["format"]) is not int or head["format"] != 1:
            raise ValueError("not format 1")
        here = place(head)
        if head["next"] is None:
            return here, None
        if not isinstance(head["next"], dict) or set(head["next"]) != {"count", "hash"}:
            raise ValueError("not the keys of an announced head")
        announced = place(head["next"])
        if announced[0] <= here[0]:
            raise ValueError("it announces a commit that adds nothing")
        return here, announced
    except ValueError as error:
        raise Bad(None, f"head.json is damaged: {error}") from None


def place(value):
    """Read a count and a hash."""
    count, last = value["count"], value["hash"]
    if type(count) is not int or count < 0 or not is_sha256(last):
        raise ValueError("not a count and a hash")
    return count, last


def read_head(folder):
    """Read the head, looking again if a writer may have been in the middle of replacing it."""
    for attempt in range(20):
        try:
            with open(regular(os.path.join(folder, "head.json")), "rb") as file:
                return parse_head(file.read())
        except OSError as error:
            raise Bad(None, f"head.json cannot be read: {error.strerror}") from None
        except Bad:
            if attempt == 19:
                raise
    return None


def regular(path):
    """Return the path of a file; raises Bad for a folder, a pipe or a device, which could not be read to an end."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise Bad(None, f"{path} is {'a folder' if os.path.isdir(path) else 'a pipe or a device'}, not a file")
    return path


def connect(path, mode):
    """Open a database; text comes as bytes."""
    connection = sqlite3.connect(
        f"{pathlib.Path(path).as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=30
    )
    connection.text_factory = bytes
    return connection


def has_writer(folder):
    """Say whether a writer holds the ledger's lock; where nobody can tell, whether one may."""
    if fcntl is None:
        return has_log(os.path.join(folder, "ledger.sqlite"))
    try:
        handle = os.open(os.path.join(folder, "lock"), os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def has_log(path):
    """Say whether a log of commits lies beside the database."""
    return os.path.exists(path + "-wal") and os.path.getsize(path + "-wal") > 0


@contextlib.contextmanager
def database(folder):
    """Open the database for reading so that nothing changes in its folder.

    SQLite leaves two files beside a database with a log. Where a writer is at work they are there; where none is, there is no log
    to read, or it is read from a copy.
    """
    path = os.path.abspath(regular(os.path.join(folder, "ledger.sqlite")))
    regular(path + "-wal")
    with contextlib.ExitStack() as stack:
        if has_writer(folder):
            connection = stack.enter_context(contextlib.closing(connect(path, "ro")))
        elif not has_log(path):
            connection = stack.enter_context(contextlib.closing(connect(path, "ro&immutable=1")))
        else:
            copy = stack.enter_context(tempfile.TemporaryDirectory())
            for suffix in ("", "-wal"):
                shutil.copyfile(path + suffix, os.path.join(copy, "ledger.sqlite" + suffix))
            connection = stack.enter_context(contextlib.closing(connect(os.path.join(copy, "ledger.sqlite"), "rw")))
        yield connection


def without_log(folder):
    """Say why records may be missing."""
    if has_log(os.path.join(folder, "ledger.sqlite")):
        return ""
    return (
        ". There is no ledger.sqlite-wal beside it: most likely the ledger was copied without its log. Copy ledger.sqlite-wal as "
        "well, or close the writer first and copy again"
    )


def at_one_moment(folder, connection):
    """Begin a read transaction and return the head that belongs to it."""
    for _ in range(2000):
        before = read_head(folder)
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if read_head(folder) == before:
            return before
        connection.execute("ROLLBACK")
    raise NoLedger(f"{folder}: the writer never paused; try again later")


def check_schema(connection):
    """Return False for a database with nothing in it yet; raises Bad for another schema."""
    objects = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    if not objects:
        return False
    if connection.execute("PRAGMA user_version").fetchone()[0] != 1:
        raise Bad(None, "the database does not have format 1")
    found = {tuple(c.decode("utf-8", "replace") if isinstance(c, bytes) else c for c in row) for row in objects}
    if len(objects) != 2 or found != OBJECTS:
        raise Bad(None, "the database does not hold a ledger's two objects, and only them")
    return True


def check_row(folder, row, i, previous, whole):
    """Check one row against its place and the hash before it; return its hash."""
    idx, noun, body, digest, before, link, *types = row
    if types != [b"integer"] + 5 * [b"text"]:
        raise Bad(i, "a column has the wrong type")
    if idx != i:
        raise Bad(i, f"missing; index {idx} stands in its place")
    if digest != sha256(body).encode():
        raise Bad(i, "its digest is not the sha256 of its body")
    if before != previous.encode():
        raise Bad(i, "it does not hold the hash of the record before it")
    if link != sha256(f"superalign-ledger-1\n{i}\n{sha256(body)}\n{previous}\n".encode()).encode():
        raise Bad(i, "its hash is wrong")
    blobs = set()
    try:
        value = parse(body)
        look_into(value, 1, blobs)
        if not isinstance(value, dict) or not isinstance(value.get("noun"), str):
            raise ValueError("not an object with a noun")
    except ValueError as error:
        raise Bad(i, f"its body: {error}") from None
    if value["noun"].encode("utf-8", "surrogatepass") != noun:
        raise Bad(i, "its noun column differs from its body")
    for blob in sorted(blobs - whole):
        check_blob(folder, i, blob)
        whole.add(blob)
    return link.decode()


def check_blob(folder, i, blob):
    """Check that a blob is there and whole."""
    seen = hashlib.sha256()
    try:
        if not os.path.isfile(os.path.join(folder, "blobs", blob)):
            raise OSError
        with open(os.path.join(folder, "blobs", blob), "rb") as file:
            while chunk := file.read(1 << 20):
                seen.update(chunk)
    except OSError:
        raise Bad(i, f"the blob {blob} is missing") from None
    if seen.hexdigest() != blob:
        raise Bad(i, f"the blob {blob} was altered")


def check_rows(folder, connection, head, announced, seen):
    """Walk all rows, compare the end with the head; return (count, hash). `seen` is called with each row that verifies."""
    n, last, at_head, whole = 0, ZERO, ZERO if head[0] == 0 else None, set()
    try:
        for row in connection.execute(f"SELECT {', '.join(COLUMNS + TYPES)} FROM records ORDER BY idx"):
            last = check_row(folder, row, n, last, whole)
            seen(row)
            n += 1
            if n == head[0]:
                at_head = last
    except sqlite3.Error as error:
        raise Bad(n, f"it cannot be read: {error}") from None
    if n < head[0]:
        raise Bad(n, f"missing; the head counts {head[0]} records{without_log(folder)}")
    if at_head != head[1]:
        raise Bad(max(0, head[0] - 1), "the chain up to it does not end in the head's hash")
    if (n, last) not in (head, announced):
        raise Bad(head[0], f"never announced; the head counts {head[0]} records")
    return n, last


def verify(folder, seen=lambda row: None):
    """Return (count, hash) of a ledger that verifies; raises Bad or NoLedger."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise NoLedger(f"{folder} is a file; name the folder that holds it")
    has_database = os.path.exists(os.path.join(folder, "ledger.sqlite"))
    if not has_database and not os.path.exists(os.path.join(folder, "head.json")):
        raise NoLedger(f"{folder}: neither ledger.sqlite nor head.json is there")
    fresh = ((0, ZERO), None)
    head = read_head(folder)
    if not has_database:
        if head == fresh:
            return 0, ZERO
        raise Bad(0, "the database is missing")
    try:
        with database(folder) as connection:
            head, announced = at_one_moment(folder, connection)
            if not check_schema(connection):
                if (head, announced) == fresh:
                    return 0, ZERO
                raise Bad(None, f"the database is empty, the head counts {head[0]} records{without_log(folder)}")
            end = check_rows(folder, connection, head, announced, seen)
            said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if said != b"ok":
                raise Bad(
                    None, f"every record verifies, but the database is damaged: {said.decode('utf-8', 'replace')}"
                )
            return end
    except (OSError, sqlite3.Error) as error:
        raise Bad(None, f"the database cannot be read: {error}") from None


def state(folder):
    """Return sizes and times of a ledger's files."""
    paths = [os.path.join(folder, name) for name in ("ledger.sqlite", "ledger.sqlite-wal", "head.json")]
    found = [os.stat(path) if os.path.exists(path) else None for path in paths]
    return [about and (about.st_ino, about.st_size, about.st_mtime_ns) for about in found]


def bound_by(shown):
    """Return name -> (sha256, record) for the files that records of the noun Shown bind; the last one counts."""
    bound = {}
    for i, record in shown:
        try:
            bound.update({str(name): (str(digest), i) for name, digest in record["files"]})
        except (KeyError, TypeError, ValueError):
            raise Bad(i, "it does not bind files as a record Shown does") from None
    return bound


def check_files(run, bound, count):
    """Compare the files of a run with the digests that its ledger binds; raises Bad with the first that differs."""
    for name in BOUND:
        path = os.path.join(run, name)
        if name not in bound:
            needed = name in ("config.yaml", "result.json", "report.html") or (name == "run.json" and count > 0)
            if needed and os.path.exists(path):
                raise Bad(None, f"{name} is there and no record of the ledger binds it")
            continue
        if not os.path.exists(path):
            raise Bad(None, f"{name} is missing; record {bound[name][1]} of the ledger binds it")
        try:
            with open(regular(path), "rb") as file:
                found = sha256(file.read())
        except OSError as error:
            raise Bad(None, f"{name} cannot be read: {error.strerror}") from None
        if found != bound[name][0]:
            raise Bad(
                None, f"{name} was changed, or comes from another run than the ledger (see record {bound[name][1]})"
            )


def verify_all(folder, kept):
    """Verify a run or a ledger, with a head that was kept elsewhere; return what to print."""
    run = folder if os.path.exists(os.path.join(folder, "ledger")) else None
    inside = os.path.join(folder, "ledger") if run else folder
    links, shown = set(), []

    def seen(row):
        links.add(row[5].decode())
        if row[1] == b"Shown":
            shown.append((row[0], parse(row[2])))

    for attempt in range(5):  # a writer that begins in the middle of a look makes it worthless
        before = state(inside)
        links, shown[:] = {ZERO}, []
        try:
            count, last = verify(inside, seen)
            break
        except Bad:
            if attempt == 4 or state(inside) == before:
                raise
    if kept and kept not in links:
        raise Bad(None, f"the head {kept}, kept elsewhere, is not in this chain")
    bound = bound_by(shown) if run else {}
    if run:
        check_files(run, bound, count)
    text = f"OK: {count} records verify; head {last}"
    there = [name for name in BOUND if name in bound]
    return f"{text}; {', '.join(there) or 'no other files'} as recorded" if run else text


def main(arguments):
    """Verify one folder and say so."""
    kept = arguments[2] if len(arguments) == 3 and arguments[1] == "--head" else ""
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and not is_sha256(kept)):
        print(__doc__.strip().splitlines()[0], file=sys.stderr)
        return 2
    try:
        text = verify_all(arguments[0], kept)
    except NoLedger as error:
        print(error, file=sys.stderr)
        return 2
    except Bad as bad:
        print(f"BAD: {'' if bad.record is None else f'record {bad.record}: '}{bad.what}")
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
