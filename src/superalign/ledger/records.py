"""What goes into a ledger and comes out of it: records, checked and written as canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superalign.errors import BadInput
from superalign.ledger.chain import encode, inspect
from superalign.ledger.disk import blob_path
from superalign.types import Record, Rollouts, to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob(Record):
    """A file kept by its digest, as a record: append it so that the chain covers the bytes."""

    blob: str  # sha256
    kind: str  # what the bytes are, in words or as a media type
    size: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record as it stands in the ledger."""

    index: int
    noun: str
    digest: str
    hash: str
    record: dict[str, Any]


def flat(records: Iterable[Any]) -> Iterator[Any]:
    """Yield single records out of nested lists and tuples; rollouts row by row."""
    for record in records:
        if isinstance(record, list | tuple | Rollouts):
            yield from flat(record)
        else:
            yield record


def prepare(record: Any, *, folder: Path) -> tuple[str, str, str]:
    """Check that a record can be kept in the ledger at `folder`; return its noun, body and digest.

    Raises:
        BadInput: If it holds what JSON cannot, or refers to a blob that is not there.
    """
    blobs: list[str] = []
    try:
        plain = to_plain(record)
        fault, blobs = inspect(plain)
        body = "" if fault else encode(plain)
        if not fault and r"\ud" in body and encode(json.loads(body)) != body:
            fault = "a key holds a pair of surrogates that is not joined, and would be read back elsewhere in the order of keys"
    except (TypeError, ValueError, RecursionError) as error:
        fault = str(error)
    if fault:
        raise BadInput(
            f"A {type(record).__name__} cannot be appended: {fault}. The ledger keeps only what anyone can read "
            "back and re-hash. Append frozen records of scalars, strings, tuples and records."
        )
    for digest in blobs:
        if not blob_path(folder, digest).is_file():
            raise BadInput(
                f"A {type(record).__name__} refers to the blob {digest}, which is not in the ledger. The record "
                "would rest on bytes that nobody can check. Call put_blob with them first."
            )
    return plain["noun"], body, hashlib.sha256(body.encode()).hexdigest()
