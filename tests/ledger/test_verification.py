"""Every kind of damage is found and located, and two verifiers that share no code agree.

Long because each kind of damage is a small function of its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from superalign.errors import DataError, LedgerError
from superalign.ledger import Blob, Ledger, describe, verify
from superalign.ledger.chain import Head, render_head, row_hash
from superalign.types import Claim, Interval, Unmeasured

TOOL = Path(__file__).parents[2] / "tools" / "verify_ledger.py"
SEEDS = 4
ZERO = "0" * 64
Rng = np.random.Generator
# What an operator expects: the first bad record; None for bad without one; "good"; "bad" or "agree" where it depends.
Expected = int | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    text: str
    value: float


def stdlib() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_ledger", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OTHER = stdlib()


def build(folder: Path, *, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with Ledger(folder) as ledger:
        for i in range(int(rng.integers(8, 24))):
            kind = i % 4
            if kind == 0:
                ledger.append(
                    Note(text="tëxt \n\x7f\U0001f600 " + "x" * int(rng.integers(0, 60)), value=float(rng.normal()))
                )
            elif kind == 1:
                data = rng.bytes(int(rng.integers(1, 300)))
                ledger.append(Blob(blob=ledger.put_blob(data), kind="noise", size=len(data)))
            elif kind == 2:
                ledger.append(Interval(value=0.5, low=-0.0, high=1e-12, n=i), unmeasured_claim(i))
            else:
                ledger.append(Note(text="", value=1e16))


def unmeasured_claim(i: int) -> Claim:
    why = Unmeasured("too few")
    return Claim(name=f"c{i}", value=why, low=why, high=why, n=i, unit="fraction", null=why, holds=why, why="few")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = [tmp_path_factory.mktemp("originals") / str(seed) for seed in range(SEEDS)]
    for seed, folder in enumerate(folders):
        build(folder, seed=seed)
        for suffix in ("-wal", "-shm"):
            assert not (folder / f"ledger.sqlite{suffix}").exists()
    return folders


def sql(folder: Path, statement: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def rows(folder: Path) -> list[list[Any]]:
    return [list(row) for row in sql(folder, "SELECT * FROM records ORDER BY idx")]


def rewrite(folder: Path, new: list[list[Any]]) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM records")
        connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", new)
        connection.execute("COMMIT")


def chained(new: list[list[Any]], *, first: int = 0) -> list[list[Any]]:
    """Give rows digests and hashes that fit, as a forger who knows the format would."""
    previous = new[first - 1][5] if first else ZERO
    for i in range(first, len(new)):
        body = new[i][2]
        digest = hashlib.sha256(body.encode()).hexdigest()
        link = row_hash(i, digest=digest, previous=previous)
        new[i] = [i, new[i][1], body, digest, previous, link]
        previous = link
    return new


def forge(folder: Path, new: list[list[Any]]) -> None:
    """Re-hash the whole chain and the head: only what a body may hold can betray it."""
    new = chained(new)
    rewrite(folder, new)
    head(folder, len(new), new[-1][5] if new else ZERO)


def head(folder: Path, count: int, link: str, *, following: Head | None = None) -> None:
    (folder / "head.json").write_bytes(render_head(Head(count=count, hash=link), following=following))


def flip(text: bytes, rng: Rng) -> bytes:
    data = bytearray(text)
    at = int(rng.integers(len(data)))
    data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def pick(folder: Path, rng: Rng) -> int:
    return int(rng.integers(len(rows(folder))))


def flip_column(name: str) -> Callable[[Path, Rng], Expected]:
    def operator(folder: Path, rng: Rng) -> Expected:
        i = pick(folder, rng)
        with closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as connection:
            connection.text_factory = bytes
            (old,) = connection.execute(f"SELECT {name} FROM records WHERE idx=?", (i,)).fetchone()
            connection.execute(f"UPDATE records SET {name}=CAST(? AS TEXT) WHERE idx=?", (flip(old, rng), i))
        return i

    operator.__name__ = f"flip_{name}"
    return operator


def column_becomes_blob(folder: Path, rng: Rng) -> Expected:
    i = pick(folder, rng)
    sql(folder, "UPDATE records SET body=CAST(body AS BLOB) WHERE idx=?", i)
    return i


def delete(folder: Path, rng: Rng) -> Expected:
    i = pick(folder, rng)
    sql(folder, "DELETE FROM records WHERE idx=?", i)
    return i


def delete_and_close_the_gap(folder: Path, rng: Rng) -> Expected:
    i, new = pick(folder, rng), rows(folder)
    del new[i]
    rewrite(folder, [[k, *row[1:]] for k, row in enumerate(new)])
    return i


def delete_all(folder: Path, rng: Rng) -> Expected:
    sql(folder, "DELETE FROM records")
    return 0


def truncate(folder: Path, rng: Rng) -> Expected:
    i = pick(folder, rng)
    sql(folder, "DELETE FROM records WHERE idx>=?", i)
    return i


def insert_a_copy(folder: Path, rng: Rng) -> Expected:
    i, new = pick(folder, rng), rows(folder)
    new.insert(i, list(new[(i + 1) % len(new)]))
    rewrite(folder, [[k, *row[1:]] for k, row in enumerate(new)])
    return i


def insert_with_a_right_hash(folder: Path, rng: Rng) -> Expected:
    i, new = pick(folder, rng), rows(folder)
    new.insert(i, [i, "Note", '{"noun":"Note","text":"forged","value":0.0}', "", "", ""])
    new = [*chained(new[: i + 1], first=i), *([k, *row[1:]] for k, row in enumerate(new[i + 1 :], i + 1))]
    rewrite(folder, new)
    return i + 1  # the forged link is sound; what follows it no longer fits


def add_at_the_end(folder: Path, rng: Rng) -> Expected:
    new = rows(folder)
    n = len(new)
    rewrite(folder, chained([*new, [n, "Note", '{"noun":"Note","text":"more","value":0.0}', "", "", ""]], first=n))
    return n


def swap(folder: Path, rng: Rng) -> Expected:
    new = rows(folder)
    i, j = (int(k) for k in sorted(rng.choice(len(new), 2, replace=False)))
    new[i], new[j] = new[j], new[i]
    rewrite(folder, [[k, *row[1:]] for k, row in enumerate(new)])
    return i


def swap_bodies(folder: Path, rng: Rng) -> Expected:
    new = rows(folder)
    i = int(rng.integers(len(new) - 1))
    new[i][1:4], new[i + 1][1:4] = new[i + 1][1:4], new[i][1:4]
    rewrite(folder, new)
    return i


def reorder(folder: Path, rng: Rng) -> Expected:
    new = rows(folder)
    i = int(rng.integers(len(new) - 1))
    new[i:] = [*new[i + 1 :], new[i]]
    rewrite(folder, [[k, *row[1:]] for k, row in enumerate(new)])
    return i


def rehash_the_tail_without_the_head(folder: Path, rng: Rng) -> Expected:
    new = rows(folder)
    i = int(rng.integers(len(new)))
    new[i][1:3] = ["Note", '{"noun":"Note","text":"forged","value":0.0}']
    rewrite(folder, chained(new, first=i))
    return len(new) - 1  # the chain is whole; only its end betrays it


def forged_body(name: str, make: Callable[[str], str]) -> Callable[[Path, Rng], Expected]:
    def operator(folder: Path, rng: Rng) -> Expected:
        i, new = pick(folder, rng), rows(folder)
        new[i][2] = make(new[i][2])
        forge(folder, new)
        return i

    operator.__name__ = f"body_with_{name}"
    return operator


def nest(depth: int) -> Callable[[str], str]:
    return lambda body: f'{{"a":{"[" * depth}{"]" * depth},{body[1:]}'


def other_noun(folder: Path, rng: Rng) -> Expected:
    i, new = pick(folder, rng), rows(folder)
    new[i][1] = "Decision"
    forge(folder, new)
    return i


def blob_row(folder: Path, rng: Rng) -> tuple[int, Path]:
    found = [(row[0], json.loads(row[2])["blob"]) for row in rows(folder) if row[1] == "Blob"]
    i, digest = found[int(rng.integers(len(found)))]
    return i, folder / "blobs" / digest


def blob_missing(folder: Path, rng: Rng) -> Expected:
    i, path = blob_row(folder, rng)
    path.unlink()
    return i


def blob_flipped(folder: Path, rng: Rng) -> Expected:
    i, path = blob_row(folder, rng)
    path.write_bytes(flip(path.read_bytes(), rng))
    return i


def blob_truncated(folder: Path, rng: Rng) -> Expected:
    i, path = blob_row(folder, rng)
    path.write_bytes(path.read_bytes()[:-1])
    return i


def head_flipped(folder: Path, rng: Rng) -> Expected:
    path = folder / "head.json"
    path.write_bytes(flip(path.read_bytes(), rng))
    return "bad"


def head_shorter(folder: Path, rng: Rng) -> Expected:
    path = folder / "head.json"
    path.write_bytes(path.read_bytes()[: int(rng.integers(512))])
    return None


def head_missing(folder: Path, rng: Rng) -> Expected:
    (folder / "head.json").unlink()
    return None


def head_of_an_earlier_moment(folder: Path, rng: Rng) -> Expected:
    i, all_rows = pick(folder, rng), rows(folder)
    head(folder, i, all_rows[i - 1][5] if i else ZERO)
    return i


def head_announces_something_else(folder: Path, rng: Rng) -> Expected:
    i, all_rows = pick(folder, rng), rows(folder)
    head(folder, i, all_rows[i - 1][5] if i else ZERO, following=Head(count=len(all_rows), hash="ab" * 32))
    return i


def database_missing(folder: Path, rng: Rng) -> Expected:
    (folder / "ledger.sqlite").unlink()
    return 0


def schema(statement: str) -> Callable[[Path, Rng], Expected]:
    def operator(folder: Path, rng: Rng) -> Expected:
        sql(folder, statement)
        return None

    operator.__name__ = statement.replace(" ", "_")[:40]
    return operator


def table_becomes_a_view(folder: Path, rng: Rng) -> Expected:
    sql(folder, "ALTER TABLE records RENAME TO hidden")
    sql(folder, "CREATE VIEW records AS SELECT * FROM hidden")
    return None


def index_lies(folder: Path, rng: Rng) -> Expected:
    # Forge an index that lacks one record: `have` would deny that it was ever appended.
    i = pick(folder, rng)
    sql(folder, "DROP INDEX records_digest")
    sql(folder, f"CREATE INDEX records_digest ON records (digest) WHERE idx<>{i}")
    with closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        text = "CREATE INDEX records_digest ON records (digest)"
        connection.execute("UPDATE sqlite_master SET sql=? WHERE name='records_digest'", (text,))
    return None


def byte_of_the_database(folder: Path, rng: Rng) -> Expected:
    path = folder / "ledger.sqlite"
    path.write_bytes(flip(path.read_bytes(), rng))
    return "agree"  # free space in a page is nobody's evidence


def database_cut(folder: Path, rng: Rng) -> Expected:
    path = folder / "ledger.sqlite"
    data = path.read_bytes()
    path.write_bytes(data[: int(rng.integers(len(data) - 1))])
    return "bad"


def database_is_text(folder: Path, rng: Rng) -> Expected:
    (folder / "ledger.sqlite").write_text("not a database, but long enough to be looked at twice " * 40)
    return None


def in_its_place(name: str, make: Callable[[Path], None]) -> Callable[[Path, Rng], Expected]:
    def operator(folder: Path, rng: Rng) -> Expected:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)
        return None

    operator.__name__ = f"{name}_is_{make.__name__}"
    return operator


def a_zero_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_circle_of_links(path: Path) -> None:
    path.symlink_to(path.name)


def blob_is_a_pipe(folder: Path, rng: Rng) -> Expected:
    i, path = blob_row(folder, rng)
    path.unlink()
    os.mkfifo(path)
    return i


def untouched(folder: Path, rng: Rng) -> Expected:
    return "good"


def killed_before_the_commit(folder: Path, rng: Rng) -> Expected:
    all_rows = rows(folder)
    head(folder, len(all_rows), all_rows[-1][5], following=Head(count=len(all_rows) + 3, hash="ab" * 32))
    return "good"


def killed_after_the_commit(folder: Path, rng: Rng) -> Expected:
    i, all_rows = pick(folder, rng), rows(folder)
    following = Head(count=len(all_rows), hash=all_rows[-1][5])
    head(folder, i, all_rows[i - 1][5] if i else ZERO, following=following)
    return "good"


def killed_at_the_start(folder: Path, rng: Rng) -> Expected:
    (folder / "ledger.sqlite").unlink()
    head(folder, 0, ZERO)
    return "good"


def left_overs(folder: Path, rng: Rng) -> Expected:
    (folder / "blobs" / ".part-x").write_bytes(b"half")
    (folder / "blobs" / ("ab" * 32)).write_bytes(b"nobody refers to this")
    (folder / "notes.txt").write_text("mine")
    return "good"


def whole_chain_and_head_rehashed(folder: Path, rng: Rng) -> Expected:
    new = rows(folder)
    new[0][1:3] = ["Note", '{"noun":"Note","text":"history, rewritten","value":0.0}']
    forge(folder, new)
    return "good"  # docs/ledger-format.md says so: only a witness outside can tell


OPERATORS: list[Callable[[Path, Rng], Expected]] = [
    *(flip_column(name) for name in ("noun", "body", "digest", "previous", "hash")),
    column_becomes_blob,
    delete,
    delete_and_close_the_gap,
    delete_all,
    truncate,
    insert_a_copy,
    insert_with_a_right_hash,
    add_at_the_end,
    swap,
    swap_bodies,
    reorder,
    rehash_the_tail_without_the_head,
    forged_body("a_key_twice", lambda body: '{"noun":"Note",' + body[1:]),
    forged_body("nan", lambda body: '{"a":NaN,' + body[1:]),
    forged_body("infinity", lambda body: '{"a":1e999,' + body[1:]),
    forged_body("a_huge_integer", lambda body: f'{{"a":{2**63},' + body[1:]),
    forged_body("5000_digits", lambda body: f'{{"a":{"9" * 5000},' + body[1:]),
    forged_body("65_levels", nest(64)),
    forged_body("5000_levels", nest(5000)),
    forged_body("a_space", lambda body: "{ " + body[1:]),
    forged_body("keys_unsorted", lambda body: '{"zz":1,' + body[1:]),
    forged_body("another_float", lambda body: '{"a":1.00,' + body[1:]),
    forged_body("raw_unicode", lambda body: '{"a":"é",' + body[1:]),
    forged_body("upper_case_escape", lambda body: '{"a":"\\u00E9",' + body[1:]),
    forged_body("no_noun", lambda body: '{"a":1}'),
    forged_body("a_list", lambda body: "[1]"),
    forged_body("nothing", lambda body: ""),
    forged_body("a_blob_that_is_not_there", lambda body: f'{{"a":[{{"blob":"{"ab" * 32}"}}],' + body[1:]),
    other_noun,
    blob_missing,
    blob_flipped,
    blob_truncated,
    head_flipped,
    head_shorter,
    head_missing,
    head_of_an_earlier_moment,
    head_announces_something_else,
    database_missing,
    schema("DROP INDEX records_digest"),
    schema("CREATE TABLE more (a)"),
    schema("PRAGMA user_version=2"),
    schema("CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END"),
    schema("DROP TABLE records"),
    table_becomes_a_view,
    index_lies,
    byte_of_the_database,
    database_cut,
    database_is_text,
    *(
        in_its_place(name, make)
        for name in ("ledger.sqlite", "head.json", "ledger.sqlite-wal")
        for make in (Path.mkdir, os.mkfifo, a_zero_device)
    ),
    in_its_place("head.json", a_circle_of_links),
    blob_is_a_pipe,
    untouched,
    killed_before_the_commit,
    killed_after_the_commit,
    killed_at_the_start,
    left_overs,
    whole_chain_and_head_rehashed,
]


def other_verdict(folder: Path) -> tuple[bool, int | None]:
    try:
        OTHER.verify(str(folder))
    except OTHER.Bad as bad:
        return False, bad.record
    return True, None


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
def test_damage_is_found_and_located_by_both(
    operator: Callable[[Path, Rng], Expected], originals: list[Path], tmp_path: Path
) -> None:
    for seed, original in enumerate(originals):
        folder = tmp_path / str(seed)
        shutil.copytree(original, folder)
        expected = operator(folder, np.random.default_rng(1000 + seed))
        found = verify(folder)
        assert other_verdict(folder) == (found.ok, found.first_bad), (seed, found)
        if expected == "good":
            assert found.ok, found
        elif expected == "bad":
            assert not found.ok
        elif expected != "agree":
            assert not found.ok
            assert found.first_bad == expected, found
        assert describe(found).startswith("OK: " if found.ok else "BAD: ")
        if found.first_bad is not None:
            assert found.count == found.first_bad or operator.__name__.startswith(("rehash", "add", "head"))


def test_at_least_100_ledgers_are_compared() -> None:
    assert len(OPERATORS) * SEEDS >= 100
    assert len({operator.__name__ for operator in OPERATORS}) == len(OPERATORS)


def test_bits_of_every_column_count(originals: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(originals[0], folder)
    i = 2
    with closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as connection:
        connection.text_factory = bytes
        old = connection.execute("SELECT noun, body, digest, previous, hash FROM records WHERE idx=?", (i,)).fetchone()
        for name, text in zip(("noun", "body", "digest", "previous", "hash"), old, strict=True):
            for bit in range(0, len(text) * 8, 11):
                data = bytearray(text)
                data[bit // 8] ^= 1 << bit % 8
                connection.execute(f"UPDATE records SET {name}=CAST(? AS TEXT) WHERE idx=?", (bytes(data), i))
                found = verify(folder)
                assert (found.ok, found.first_bad) == (False, i), (name, bit)
            connection.execute(f"UPDATE records SET {name}=CAST(? AS TEXT) WHERE idx=?", (text, i))
    assert verify(folder).ok


def test_the_damage_test_can_fail(originals: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that trusts the digest column misses an altered body; the test above would see that."""
    folder = tmp_path / "ledger"
    shutil.copytree(originals[0], folder)
    expected = flip_column("body")(folder, np.random.default_rng(0))
    assert verify(folder).first_bad == expected
    monkeypatch.setattr("superalign.ledger.verification.fault_in_row", lambda *_, **__: "")
    monkeypatch.setattr("superalign.ledger.verification.fault_in_body", lambda *_: ("", []))
    assert verify(folder).ok


def test_a_witness_outside_sees_what_the_folder_cannot_show(originals: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(originals[0], folder)
    kept = verify(folder).head
    whole_chain_and_head_rehashed(folder, np.random.default_rng(0))
    assert verify(folder).ok
    assert verify(folder).head != kept


def test_a_damaged_ledger_is_not_appended_to(originals: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(originals[0], folder)
    truncate(folder, np.random.default_rng(0))
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "lock"}
    for readonly in (False, True):
        with pytest.raises(LedgerError, match="does not verify"):
            Ledger(folder, readonly=readonly)
    for path in before:
        if not path.name.endswith(("-shm", "-wal")):
            assert path.read_bytes() == before[path], "opening a damaged ledger changed it"


def test_the_tool_runs_alone(originals: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "a folder?#%"
    shutil.copytree(originals[0], folder)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(TOOL), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    good = run(str(folder))
    assert (good.returncode, good.stdout.strip()) == (0, describe(verify(folder)))
    i = delete(folder, np.random.default_rng(0))
    bad = run(str(folder))
    assert bad.returncode == 1
    assert bad.stdout.startswith(f"BAD: record {i}: ")
    assert run(str(tmp_path / "nowhere")).returncode == 2
    assert run().returncode == 2


def test_the_tool_is_small_and_shares_nothing() -> None:
    text = TOOL.read_text()
    assert len(text.splitlines()) <= 450
    modules = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert modules <= set(sys.stdlib_module_names)


def tool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_head_that_was_kept_elsewhere_must_be_in_the_chain(originals: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(originals[0], folder)
    older = verify(folder).head
    shutil.copytree(folder, tmp_path / "older")
    with Ledger(folder) as ledger:
        ledger.append(Note(text="more", value=1.0))
    newer = verify(folder).head
    for place, head, ok in (
        (folder, older, True),
        (folder, newer, True),
        (folder, ZERO, True),
        (tmp_path / "older", newer, False),
    ):
        found = verify(place, head=head)
        assert found.ok is ok
        assert tool(place, "--head", head).returncode == (0 if ok else 1)
    assert verify(tmp_path / "older").ok, "an older copy agrees with itself"
    assert "kept elsewhere, is not in this chain" in found.what
    whole_chain_and_head_rehashed(folder, np.random.default_rng(0))
    assert not verify(folder, head=older).ok
    with pytest.raises(DataError, match="is no head"):
        verify(folder, head="abc")
    assert tool(folder, "--head", "abc").returncode == 2


def lying_in(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


# A writer that is killed leaves its log: everything since the last checkpoint stands there and nowhere else.
KILLED = """
import os, signal, sys
from superalign.ledger import Ledger
from superalign.types import Interval

ledger = Ledger(sys.argv[1])
for i in range(5):
    ledger.append(Interval(value=float(i), low=0.0, high=9.0, n=i + 1))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "ledger"
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False, timeout=60)
    assert (folder / "ledger.sqlite-wal").stat().st_size > 0
    return folder


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_verifying_changes_nothing_in_the_folder(how: str, originals: list[Path], killed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(killed if how == "killed" else originals[0], folder)
    before = lying_in(folder)
    assert verify(folder).ok
    assert lying_in(folder) == before
    assert tool(folder).stdout.strip() == describe(verify(folder))
    assert lying_in(folder) == before


def test_verifying_beside_a_writer_sees_what_it_has_committed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for i in range(3):
            ledger.append(Note(text="", value=float(i)))
            assert verify(tmp_path / "ledger").count == i + 1
            assert tool(tmp_path / "ledger").stdout.startswith(f"OK: {i + 1} records")


@pytest.mark.parametrize("empty", [True, False])
def test_a_ledger_copied_without_its_log_is_bad_and_says_why(empty: bool, killed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(killed, folder)
    if not empty:  # some of it was folded into the database, and more came after
        with Ledger(folder) as ledger:
            ledger.append(Note(text="", value=0.0))
        subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False, timeout=60)
    assert verify(folder).ok
    for suffix in ("-wal", "-shm"):
        (folder / f"ledger.sqlite{suffix}").unlink()
    found = verify(folder)
    assert not found.ok
    assert found.count == (0 if empty else 6)
    for said in (describe(found), tool(folder).stdout):
        assert said.startswith("BAD: ")
        assert "Copy ledger.sqlite-wal as well, or close the writer first" in said
        assert "format" not in said
    assert tool(folder).returncode == 1


def test_a_truncated_ledger_with_its_log_is_not_called_a_bad_copy(killed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(killed, folder)
    sql(folder, "DELETE FROM records WHERE idx = 4")
    (folder / "ledger.sqlite-wal").write_bytes(b"x")
    assert "-wal" not in verify(folder).what


def test_a_file_in_place_of_the_folder(originals: list[Path]) -> None:
    path = originals[0] / "ledger.sqlite"
    with pytest.raises(DataError, match=r"is a file.*Name the folder"):
        verify(path)
    assert tool(path).returncode == 2
    assert "is a file" in tool(path).stderr


def test_a_ledger_with_a_folder_for_a_database_is_not_opened(originals: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(originals[0], folder)
    (folder / "ledger.sqlite").unlink()
    (folder / "ledger.sqlite").mkdir()
    for readonly in (True, False):
        with pytest.raises(LedgerError, match="is a folder, not a file"):
            Ledger(folder, readonly=readonly)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user who may not read a file")
@pytest.mark.parametrize(("name", "ok"), [("ledger.sqlite", False), ("head.json", False), ("lock", True)])
def test_what_may_not_be_read_is_said(name: str, ok: bool, originals: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(originals[0], folder)
    for parent in (folder, tmp_path, *(p for p in tmp_path.parents if "pytest-of-" in str(p))):
        parent.chmod(0o755)
    (folder / name).chmod(0o600)
    child = os.fork()
    if child == 0:  # as nobody; an exception must not go on as a second run of the tests
        code = 3
        try:
            os.setuid(65534)
            code = 0 if (verify(folder).ok, OTHER.main([str(folder)])) == (ok, 0 if ok else 1) else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_ledger_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no ledger"):
        verify(tmp_path)
