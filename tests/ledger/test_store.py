"""Appending, reading, grouping, the one writer, and what is refused."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.errors import BadInput, LedgerError, OrderError
from superalign.ledger import Blob, Head, Ledger, verify
from superalign.ledger.chain import DEPTH_MAX
from superalign.types import Interval, Problem, Rollouts, Unmeasured, digest_of, to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    text: str
    value: Any = 0


def notes(n: int, *, first: int = 0) -> list[Note]:
    return [Note(text="note", value=i) for i in range(first, first + n)]


def test_what_is_read_is_what_was_appended(tmp_path: Path) -> None:
    record = Interval(value=0.1, low=-0.0, high=1e300, n=3)
    with Ledger(tmp_path / "a" / "ledger") as ledger:
        digests = ledger.append(record, Note(text="é\n\ud800", value=Unmeasured("few")))
        assert digests[0] == record.digest
        assert list(ledger.records()) == [
            to_plain(record),
            {"noun": "Note", "text": "é\n\ud800", "value": {"unmeasured": "few"}},
        ]
    with Ledger(tmp_path / "a" / "ledger") as ledger:
        assert len(ledger) == 2
        assert [entry.digest for entry in ledger.entries()] == list(digests)
        assert [record["noun"] for record in ledger.records(noun="Note")] == ["Note"]
        assert ledger.entry(1).digest == digests[1]
        assert ledger.entry(1).hash == ledger.head.hash == verify(ledger.path).head


def test_order_is_kept_over_many_chunks(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        digests = ledger.append(notes(1203))
        assert [record["value"] for record in ledger.records()] == list(range(1203))
        assert [entry.index for entry in ledger.entries(noun="Note")] == list(range(1203))
        assert [ledger.index_of(digest) for digest in (digests[7], digests[1202])] == [7, 1202]


def test_sequences_and_rollouts_are_kept_row_by_row(tmp_path: Path) -> None:
    problems = tuple(Problem(prompt=f"{i}+1", family="arithmetic", difficulty=1, split="train") for i in range(2))
    rollouts = Rollouts.of_texts(problems, ["1", "2"])
    with Ledger(tmp_path) as ledger:
        ledger.append(problems, rollouts, [Note(text="x")])
        assert [r["noun"] for r in ledger.records()] == ["Problem", "Problem", "Rollout", "Rollout", "Note"]
        assert ledger.index_of(rollouts[1].digest) == 3


def test_append_once_does_not_repeat(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        first = ledger.append(notes(3))
        assert ledger.append_once(notes(5))[:3] == first
        assert ledger.append_once(Note(text="a"), Note(text="a"))[0] == digest_of(Note(text="a"))
        assert len(ledger) == 6
        assert ledger.append(notes(1)) == first[:1]
        assert (len(ledger), ledger.index_of(first[0])) == (7, 0)


def test_a_group_is_one_commit(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        before = ledger.fsyncs
        with ledger.group():
            for note in notes(100):
                ledger.append(note)
            with ledger.group():
                ledger.append(Note(text="inner"))
        assert ledger.fsyncs - before == 2
        assert verify(tmp_path).count == 101
        ledger.append()
        with ledger.group():
            pass
        assert ledger.fsyncs - before == 2, "an empty commit was synced"


def test_an_exception_undoes_the_whole_group(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.append(notes(2))
        head = ledger.head

        def good_then_bad() -> None:
            with ledger.group():
                ledger.append(notes(3, first=2))
                assert len(ledger) == 5
                ledger.append(Note(text="bad", value=object()))

        with pytest.raises(BadInput, match="cannot be appended"):
            good_then_bad()
        assert ledger.head == head
        ledger.append(notes(1, first=9))
        assert [record["value"] for record in ledger.records()] == [0, 1, 9]
        assert verify(tmp_path).ok


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**63, -(2**63), np.zeros(2), object(), b"bytes", {1, 2}],
    ids=["nan", "inf", "big", "small", "array", "object", "bytes", "set"],
)
def test_what_cannot_be_read_back_is_refused_whole(tmp_path: Path, value: object) -> None:
    with Ledger(tmp_path) as ledger:
        with pytest.raises(BadInput, match="A Note cannot be appended"):
            ledger.append(Note(text="good"), Note(text="bad", value=value))
        assert len(ledger) == 0
        ledger.append(Note(text="good"))
        assert verify(tmp_path).count == 1


@pytest.mark.parametrize("record", [Unmeasured("why"), 3, {"a": 1}, "text", None])
def test_what_is_no_record_is_refused(tmp_path: Path, record: object) -> None:
    with Ledger(tmp_path) as ledger, pytest.raises(BadInput, match="not an object with a noun"):
        ledger.append(record)


def test_nesting_has_a_limit(tmp_path: Path) -> None:
    def nested(depth: int) -> Note:
        value: Any = 0
        for _ in range(depth):
            value = (value,)
        return Note(text="", value=value)

    with Ledger(tmp_path) as ledger:
        ledger.append(nested(DEPTH_MAX - 1))
        for depth in (DEPTH_MAX, 100_000):
            with pytest.raises(BadInput, match=r"nested|recursion"):
                ledger.append(nested(depth))
        assert verify(tmp_path).ok


def test_blobs(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        digest = ledger.put_blob(b"report")
        assert ledger.put_blob(b"report") == digest == digest_of(b"report")
        assert ledger.blob(digest) == b"report"
        ledger.append(Blob(blob=digest, kind="text/html", size=6))
        with pytest.raises(BadInput, match="not in the ledger"):
            ledger.append(Note(text="x", value=({"blob": "ab" * 32},)))
        ledger.append(Note(text="x", value={"blob": "a word, not a digest"}))
        (tmp_path / "blobs" / digest).write_bytes(b"Report")
        with pytest.raises(LedgerError, match="altered"):
            ledger.blob(digest)
        assert ledger.put_blob(b"report") == digest, "the right bytes repair a damaged blob"
        assert verify(tmp_path).ok
        with pytest.raises(LedgerError, match="missing"):
            ledger.blob("ab" * 32)


def test_what_is_not_there(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert not ledger.have("ab" * 32)
        with pytest.raises(LedgerError, match="has no record abab"):
            ledger.index_of("ab" * 32)
        for index in (0, -1):
            with pytest.raises(LedgerError, match="has no record"):
                ledger.entry(index)
    with pytest.raises(BadInput, match="holds no ledger to read"):
        Ledger(tmp_path / "nowhere", readonly=True)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        Ledger(tmp_path / "file")


def test_one_writer(tmp_path: Path) -> None:
    script = f"from superalign.ledger import Ledger\nLedger({str(tmp_path)!r})"
    with Ledger(tmp_path) as ledger:
        ledger.append(notes(1))
        with pytest.raises(BadInput, match=rf"already has a writer \(process {os.getpid()}\)"):
            Ledger(tmp_path)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert f"already has a writer (process {os.getpid()})" in done.stderr
        ledger.append(notes(1))
    subprocess.run([sys.executable, "-c", script], check=True)


def test_readers_never_block_the_writer(tmp_path: Path) -> None:
    with Ledger(tmp_path) as writer:
        writer.append(notes(600))
        with Ledger(tmp_path, readonly=True) as reader:
            records = reader.records()
            assert next(records)["value"] == 0
            reader._db.execute("BEGIN")
            reader._db.execute("SELECT count(*) FROM records").fetchone()
            writer.append(notes(600, first=600))
            assert verify(tmp_path).count == 1200
            assert len(reader) == 600, "a reader in a transaction sees one moment"
            reader._db.execute("COMMIT")
            assert len(reader) == 1200
            assert reader.head == writer.head
            assert sum(1 for _ in records) == 599, "what came later is not part of an earlier look"
            with pytest.raises(OrderError, match="only reads"):
                reader.append(notes(1))
            with pytest.raises(OrderError, match="only reads"):
                reader.put_blob(b"")


def test_verify_beside_a_busy_writer(tmp_path: Path) -> None:
    script = f"""
from superalign.ledger import Ledger
from superalign.types import Interval
with Ledger({str(tmp_path / "ledger")!r}) as ledger:
    for i in range(10**6):
        ledger.append(Interval(value=0.0, low=0.0, high=0.0, n=i))
        if i == 5:
            print("started", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            counts = []
            for _ in range(25):
                found = verify(tmp_path / "ledger")
                assert found.ok, found
                counts.append(found.count)
        finally:
            process.kill()
    assert counts == sorted(counts)


def test_a_forked_child_neither_writes_nor_keeps_the_lock(tmp_path: Path) -> None:
    script = f"""
import os, signal, sys
from superalign.ledger import Ledger
from superalign.types import Interval
record = Interval(value=0.0, low=0.0, high=0.0, n=1)
ledger = Ledger({str(tmp_path)!r})
ledger.append(record)
child = os.fork()
if child == 0:
    try:
        ledger.append(record)
    except RuntimeError as error:
        print(error, flush=True)
    ledger.close()
    os.kill(os.getppid(), signal.SIGKILL)
    sys.stdin.read()
    os._exit(0)
os.waitpid(child, 0)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert "only reads" in process.stdout.readline()
        process.wait()
        with Ledger(tmp_path) as ledger:  # the child is alive still
            assert len(ledger) == 1
        process.stdin.close()


def test_a_full_disk_is_one_clear_message(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        digests = ledger.append(notes(10))
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(BadInput, match=r"Could not write to .* full.*run the same command again"):
            ledger.append(Note(text="x" * 100_000))
        assert len(ledger) == 10
        with pytest.raises(BadInput, match=r"failed earlier .*Open the ledger anew"):
            ledger.append(notes(1))
    assert verify(tmp_path).count == 10
    with Ledger(tmp_path) as ledger:
        assert [entry.digest for entry in ledger.entries()] == list(digests)
        ledger.append(Note(text="x" * 100_000))


def test_a_failure_that_is_caught_inside_a_group_still_fails_the_group(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(BadInput, match="failed earlier"), ledger.group(), contextlib.suppress(BadInput):
            ledger.append(Note(text="x" * 100_000))
        assert len(ledger) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; run as another user to end this skip")
def test_a_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    with Ledger(folder) as ledger:
        ledger.append(notes(2))
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555)
    assert verify(folder).count == 2
    with Ledger(folder, readonly=True) as reader:
        assert len(reader) == 2
    with pytest.raises(BadInput, match="Could not write"):
        Ledger(folder)
    folder.chmod(0o755)


def test_a_log_that_sqlite_may_not_open_is_read_from_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.append(notes(2))
    real = sqlite3.connect

    def refuse(address: str, **options: Any) -> sqlite3.Connection:
        if address.endswith("mode=ro"):
            raise sqlite3.OperationalError("unable to open database file")
        return real(address, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert verify(tmp_path).count == 2


def test_a_killed_writers_commit_is_taken_over(tmp_path: Path) -> None:
    script = f"""
import os, signal
from superalign.ledger import Ledger
from superalign.types import Interval
ledger = Ledger({str(tmp_path)!r})
ledger.append(Interval(value=0.0, low=0.0, high=0.0, n=1))
real = ledger._write_head
def kill_before_the_last_step(head, *, following, durably):
    if following is None:
        os.kill(os.getpid(), signal.SIGKILL)
    real(head, following=following, durably=durably)
ledger._write_head = kill_before_the_last_step
ledger.append(Interval(value=0.0, low=0.0, high=0.0, n=2))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert verify(tmp_path).count == 2
    with Ledger(tmp_path) as ledger:
        assert len(ledger) == 2
        ledger.append(Interval(value=0.0, low=0.0, high=0.0, n=3))
    assert verify(tmp_path).count == 3


def test_the_same_records_make_the_same_chain(tmp_path: Path) -> None:
    heads: list[Head] = []
    for name, grouped in (("a", True), ("b", False)):
        with Ledger(tmp_path / name) as ledger:
            for batch in [notes(7)] if grouped else [[note] for note in notes(7)]:
                ledger.append(batch)
            heads.append(ledger.head)
    assert heads[0] == heads[1]


def test_an_altered_record_is_not_read(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.append(notes(3))
        ledger._db.execute("UPDATE records SET body=replace(body, 'note', 'nota') WHERE idx=1")
        with pytest.raises(LedgerError, match=r"Record 1 .*was altered"):
            list(ledger.records())
