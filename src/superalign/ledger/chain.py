"""The rules of the ledger format that need no disk: hashes, the head, and what a record's body may hold."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FORMAT = 1
ZERO = "0" * 64
# One disk sector, so that the head is replaced as a whole even when the power fails.
HEAD_BYTES = 512
DEPTH_MAX = 64
INTEGER_MAX = 2**63 - 1

TABLE = (
    "CREATE TABLE records (idx INTEGER PRIMARY KEY, noun TEXT NOT NULL, body TEXT NOT NULL, "
    "digest TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL)"
)
INDEX = "CREATE INDEX records_digest ON records (digest)"
# Text and blob columns both come as bytes, so SQLite has to say which is which.
ROWS = (
    "SELECT idx, noun, body, digest, previous, hash, typeof(idx) || typeof(noun) || typeof(body) || typeof(digest) || "
    "typeof(previous) || typeof(hash) FROM records ORDER BY idx"
)
SCHEMA = (("index", "records_digest", INDEX), ("table", "records", TABLE))

_DIGEST = re.compile(r"[0-9a-f]{64}")
# What `canonical_json` writes, for values that are plain already; a test holds the two together.
encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a chain ends: how many records, and the hash of the last one."""

    count: int
    hash: str


EMPTY = Head(count=0, hash=ZERO)


def is_digest(value: object) -> bool:
    """Say whether a value is a sha256 in lower-case hexadecimal."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def row_hash(index: int, *, digest: str, previous: str) -> str:
    """Chain one record to all that came before it.

    Example:
        >>> row_hash(0, digest=ZERO, previous=ZERO)[:12]
        '31ceeccb61f4'
    """
    return hashlib.sha256(f"superalign-ledger-{FORMAT}\n{index}\n{digest}\n{previous}\n".encode()).hexdigest()


def render_head(head: Head, *, following: Head | None) -> bytes:
    """Write the head file: where the chain ends, and where a commit under way will end it."""
    text = encode(
        {
            "count": head.count,
            "format": FORMAT,
            "hash": head.hash,
            "next": None if following is None else {"count": following.count, "hash": following.hash},
        }
    )
    return text.encode().ljust(HEAD_BYTES - 1) + b"\n"


def parse_head(data: bytes) -> tuple[Head, Head | None]:
    """Read the head file, accepting only the very bytes that `render_head` writes.

    Raises:
        ValueError: If the bytes are anything else.

    Example:
        >>> parse_head(render_head(EMPTY, following=None))[0] == EMPTY
        True
    """
    try:
        plain = json.loads(data)
        head = Head(count=plain["count"], hash=plain["hash"])
        coming = plain["next"]
        following = None if coming is None else Head(count=coming["count"], hash=coming["hash"])
        rendered = render_head(head, following=following)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("the head file is not a head") from error
    for place in (head, following):
        if place is not None and not (type(place.count) is int and place.count >= 0 and is_digest(place.hash)):
            raise ValueError("the head file does not hold a count and a hash")
    if rendered != data:
        raise ValueError("the head file is not written canonically")
    if following is not None and following.count <= head.count:
        raise ValueError("the head file announces a commit that adds nothing")
    return head, following


def inspect(plain: Any) -> tuple[str, list[str]]:
    """Say what a body may not hold, or nothing; and list the blobs it refers to.

    A blob is referred to by any key `blob` whose value is a sha256.

    Example:
        >>> inspect({"noun": "Claim", "n": 2**70})
        ('it holds an integer beyond 63 bits', [])
    """
    if not isinstance(plain, dict) or not isinstance(plain.get("noun"), str):
        return "it is not an object with a noun", []
    blobs: list[str] = []
    level: list[Any] = [plain]
    for _ in range(DEPTH_MAX):  # not recursive: a hostile body may be nested deeper than Python's stack
        below: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                if is_digest(container.get("blob")):
                    blobs.append(container["blob"])
                container = container.values()
            for value in container:
                if isinstance(value, dict | list):
                    below.append(value)
                elif type(value) is int and not -INTEGER_MAX <= value <= INTEGER_MAX:
                    return "it holds an integer beyond 63 bits", []
        level = below
        if not level:
            return "", blobs
    return f"it is nested deeper than {DEPTH_MAX} levels", []


def fault_in_row(row: Sequence[Any], *, expected: int, previous: str) -> str:
    """Say what is wrong with one row of `ROWS` as a link of the chain, or nothing. Text columns are bytes."""
    index, _, body, digest, before, link, types = row
    if types != b"integertexttexttexttexttext":
        return "a column has the wrong type"
    if index != expected:
        return f"it is missing; index {index} stands in its place"
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return "its body does not have its digest"
    if before != previous.encode():
        return "it does not follow the record before it"
    if row_hash(index, digest=digest.decode(), previous=previous).encode() != link:
        return "its hash is not the hash of its index, digest and previous hash"
    return ""


def fault_in_body(noun: bytes, body: bytes) -> tuple[str, list[str]]:
    """Say what is wrong with a stored body, or nothing; and list the blobs it refers to."""
    try:
        plain = json.loads(body.decode("ascii"))
        canonical = encode(plain)
    except (ValueError, RecursionError):
        return "its body is not JSON that a record may hold", []
    fault, blobs = inspect(plain)
    if fault:
        return f"its body may not be kept: {fault}", []
    if canonical.encode() != body:
        return "its body is not canonical JSON", []
    if plain["noun"].encode("utf-8", "surrogatepass") != noun:
        return "its noun column differs from its body", []
    return "", blobs
