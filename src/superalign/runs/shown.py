"""What a run shows, bound to its ledger: its settings, result.json, log.jsonl and report.html by their digests.

A file is bound before it is written, so that one that is there is always one that the ledger knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from superalign import inputs
from superalign.errors import BadInput, LedgerError
from superalign.ledger import Entry, Ledger, Verification, describe, read_verified
from superalign.ledger.signing import VaultKey, is_signed
from superalign.runs.folder import CONFIG, LEDGER, LOG, MANIFEST, REPORT, RESULT
from superalign.types import Finding, Interval, Record, rebuild

NOUNS = {noun.__name__: noun for noun in (Finding, Interval)}
NAMES = (MANIFEST, CONFIG, RESULT, LOG, REPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(Record):
    """Files of a run's folder as they were written; of several records that name a file the last one counts."""

    files: tuple[tuple[str, str], ...]  # name -> sha256
    code: str  # digest of the code that wrote them


def shown(files: dict[str, bytes]) -> Shown:
    """Make the record of files that are about to be written, or are there."""
    return Shown(
        files=tuple((name, hashlib.sha256(data).hexdigest()) for name, data in files.items()), code=inputs.code()
    )


def last_bound(entries: Sequence[Entry]) -> dict[str, tuple[str, Entry]]:
    """Return the digest that counts for each file, and the entry that says so.

    Raises:
        LedgerError: If a record is of this noun and not of this form.
    """
    out: dict[str, tuple[str, Entry]] = {}
    for entry in entries:
        try:
            out.update({str(name): (str(digest), entry) for name, digest in entry.record["files"]})
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(
                f"Record {entry.index} of the ledger does not bind files as a record {Shown.__name__} does. Nothing says what "
                "the run's files were. Restore the folder from a copy."
            ) from error
    return out


def bound_in(ledger: Ledger) -> dict[str, tuple[str, Entry]]:
    """Return the same, from an open ledger."""
    return last_bound(list(ledger.entries(noun=Shown.__name__)))


def fault_of(folder: Path, entries: Sequence[Entry], *, count: int, names: Sequence[str] = NAMES) -> str:
    """Say which file of a run is not what its ledger says, or nothing.

    Until its result a run has a log that nothing binds; before its first record run.json is not bound either.
    """
    bound = last_bound(entries)
    for name in names:
        path = folder / name
        if name not in bound:
            if path.exists() and (name in (CONFIG, RESULT, REPORT) or (name == MANIFEST and count)):
                return f"{name} is in no record of the ledger: it, or the ledger, comes from another run or an older version"
            continue
        wanted, entry = bound[name]
        if not path.exists():
            return (
                f"{name} is missing, and record {entry.index} of the ledger says what it was: the run was stopped before it was "
                "written, or it was removed; the run's own command writes it again"
            )
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror or error}"
        if digest != wanted:
            return (
                f"{name} is not as it was written (its sha256 is {digest[:12]}, in record {entry.index} of the ledger it is "
                f"{wanted[:12]}): it was changed, or it or the ledger comes from another run"
            )
    return ""


def unsigned(entries: Sequence[Entry]) -> str:
    """Say which finding is not as the vault signed it whose key the run holds, or nothing."""
    keys = [str(e.record["public"]) for e in entries if e.noun == VaultKey.__name__]
    found = {e.index: rebuild(e.record, NOUNS) for e in entries if e.noun == Finding.__name__}
    wrong = [i for i, finding in found.items() if keys and not any(is_signed(finding, key) for key in keys)]
    return f"record {wrong[0]} of the ledger is a finding, and not as the vault signed it" if wrong else ""


def verify_run(folder: Path, *, head: str = "", names: Sequence[str] = NAMES) -> Verification:
    """Verify a run's ledger, and every file of the run that it speaks of. Nothing is changed.

    Raises:
        DataError: If there is no ledger, or the head is no sha256.
    """
    return _verified(folder, head=head, names=names)[0]


def _verified(folder: Path, *, head: str, names: Sequence[str]) -> tuple[Verification, tuple[Entry, ...]]:
    verification, every = read_verified(
        folder / LEDGER, *(noun.__name__ for noun in (Shown, Finding, VaultKey)), head=head
    )
    entries = tuple(e for e in every if e.noun == Shown.__name__)
    fault = (
        fault_of(folder, entries, count=verification.count, names=names) or unsigned(every) if verification.ok else ""
    )
    if not fault:
        return verification, entries
    return Verification(ok=False, count=verification.count, first_bad=None, what=fault, head=verification.head), entries


def check_run(folder: Path, *, names: Sequence[str] = NAMES) -> Verification:
    """As `verify_run`, but refuse.

    Raises:
        LedgerError: If something does not verify.
    """
    return refuse_bad(verify_run(folder, names=names), place=f"The run in {folder}")


def refuse_bad(found: Verification, *, place: str) -> Verification:
    """Turn a verification that is bad into an error."""
    if not found.ok:
        raise LedgerError(
            f"{place} does not verify. {describe(found)} What rests on it would rest on damaged evidence. "
            "Restore the folder from a copy, or run again into a new one with --out."
        )
    return found


def said_of(folder: Path, *, head: str = "") -> str:
    """Verify a run, or a ledger alone, and say so in one line.

    Args:
        folder: Of a run, or of a ledger.
        head: The hash of a head that was kept elsewhere; empty for none.

    Raises:
        LedgerError: If it does not verify.
        BadInput: If there is nothing to verify.
    """
    if (folder / LEDGER).is_dir():
        verification, entries = _verified(folder, head=head, names=NAMES)
        refuse_bad(verification, place=f"The run in {folder}")
        bound = last_bound(entries)
        there = [name for name in NAMES if name in bound]
        return f"{describe(verification)}; {', '.join(there) or 'no other files'} as recorded"
    if (folder / LEDGER).exists():
        raise BadInput(
            f"{folder / LEDGER} is a file. The ledger of a run is a folder of this name. Restore it from a copy."
        )
    verification = refuse_bad(read_verified(folder, head=head)[0], place=f"The ledger at {folder}")
    return describe(verification)
