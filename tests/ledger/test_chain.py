"""The rules of the format that need no disk."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.ledger.chain import Head, encode, inspect, parse_head, render_head
from superalign.types import canonical_json, to_plain

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(json_values)
def test_bodies_are_canonical_json(value: Any) -> None:
    assert encode(to_plain(value)) == canonical_json(value)
    assert inspect({"noun": "Note", "value": to_plain(value)})[0] == ""


def test_head_accepts_one_writing_only() -> None:
    data = render_head(Head(count=3, hash="ab" * 32), following=Head(count=4, hash="cd" * 32))
    assert len(data) == 512
    assert parse_head(data)[1] == Head(count=4, hash="cd" * 32)
    for bit in range(len(data) * 8):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        try:
            heads = parse_head(bytes(altered))
        except ValueError:
            continue
        assert heads != parse_head(data)


def test_blobs_are_found_at_any_depth() -> None:
    digest = "ab" * 32
    assert inspect({"noun": "Note", "a": [{"b": {"blob": digest}}], "blob": "cd" * 32})[1] == ["cd" * 32, digest]
    assert inspect({"noun": "Note", "blob": digest.upper(), "other": digest})[1] == []
