"""What a record is: its one JSON text, the digest that names it, and the value that holds no number."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from superalign.errors import DataError


def to_plain(value: Any) -> Any:
    """Turn a record into JSON-ready values.

    Args:
        value: A record, or nested tuples, lists, mappings and scalars.

    Returns:
        Dictionaries, lists and scalars. A record gains the key `noun`; `Unmeasured` becomes `{"unmeasured": why}`.

    Raises:
        TypeError: For a value that JSON cannot hold.

    Example:
        >>> to_plain(Unmeasured("no steps to check"))
        {'unmeasured': 'no steps to check'}
    """
    if isinstance(value, Unmeasured):
        return {"unmeasured": value.why}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"noun": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a record; use scalars, strings, tuples and records")


def canonical_json(value: Any) -> str:
    """Write a record or plain value as the one JSON text that its digest is taken over.

    Args:
        value: Anything that `to_plain` accepts.

    Returns:
        JSON with sorted keys, no spaces and ASCII only.

    Raises:
        ValueError: For NaN or infinity, which are not numbers that a record may hold.

    Example:
        >>> canonical_json({"b": 1, "a": [True, None]})
        '{"a":[true,null],"b":1}'
    """
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_of(value: Any) -> str:
    """Name a record, or bytes, by its sha256.

    Example:
        >>> digest_of({"a": 1})[:12]
        '015abd7f5cc5'
    """
    data = value if isinstance(value, bytes) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()


class Record:
    """What every noun can do: name itself."""

    __slots__ = ()

    @property
    def digest(self) -> str:
        """The sha256 of the record's canonical JSON."""
        return digest_of(self)


@dataclass(frozen=True, slots=True)
class Unmeasured(Record):
    """Why there is no number. Never 0, never a pass.

    Example:
        >>> float(Unmeasured("tap did not fire"))
        Traceback (most recent call last):
        ...
        TypeError: unmeasured (tap did not fire) holds no number
    """

    why: str

    def __float__(self) -> float:
        raise TypeError(f"unmeasured ({self.why}) holds no number")

    def __bool__(self) -> bool:
        raise TypeError(f"unmeasured ({self.why}) is neither yes nor no")


def rebuild(plain: Any, nouns: Mapping[str, type[Any]]) -> Any:
    """Turn what `to_plain` made back into records.

    Args:
        plain: Plain values; a mapping with a `noun` becomes a record, a list a tuple.
        nouns: Noun -> record type.

    Returns:
        The same records; lists become tuples.

    Raises:
        DataError: For a noun that is not among them, or fields that are not those of its type.

    Example:
        >>> rebuild([{"unmeasured": "no steps"}, 1.5], {})
        (Unmeasured(why='no steps'), 1.5)
    """
    if isinstance(plain, list | tuple):
        return tuple(rebuild(value, nouns) for value in plain)
    if not isinstance(plain, Mapping):
        return plain
    if set(plain) == {"unmeasured"}:
        return Unmeasured(str(plain["unmeasured"]))
    fields = {str(key): rebuild(value, nouns) for key, value in plain.items() if key != "noun"}
    if "noun" not in plain:
        return fields
    noun = nouns.get(str(plain["noun"]))
    if noun is None or not set(fields) <= {field.name for field in dataclasses.fields(noun)}:
        raise DataError(
            f"A record of the noun {plain['noun']!r} is not one that this version knows here. What is made of it would "
            "leave something out silently. Use the version of superalign that wrote it."
        )
    try:
        return noun(**fields)
    except TypeError as error:
        raise DataError(
            f"A stored {plain['noun']} lacks fields ({error}). What is made of it would be incomplete. Use the version of "
            "superalign that wrote it."
        ) from error
