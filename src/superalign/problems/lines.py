"""The one reader of JSONL files: every line is an object that can be used, or the file is refused by the line's number."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from superalign.errors import DataError

PREFIX = "jsonl:"
LONGEST = 309  # digits of a whole number; the largest double has as many


def file_of(path: str | Path) -> Path:
    """Return the file that a path names, with or without `jsonl:` in front.

    Example:
        >>> file_of("jsonl:mine/sums.jsonl") == file_of("mine/sums.jsonl") == Path("mine/sums.jsonl")
        True
    """
    return Path(str(path).removeprefix(PREFIX)).expanduser()


def read_jsonl(path: str | Path, *, example: str, field: str = "prompt") -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a file, one a line.

    A byte-order mark and blank lines at the end are passed over. Numbers with a decimal point or exponent come as `Decimal`,
    as they are written.

    Args:
        path: The file; `jsonl:PATH` is taken too.
        example: A line as it should be, for messages.
        field: The field that makes a line a problem; two lines with the same one are refused.

    Yields:
        Line number, from 1, and object.

    Raises:
        DataError: If the file cannot be read or is empty, or a line cannot be used: no object, not JSON (NaN is none), not
            UTF-8, half of a surrogate pair, too many brackets, a number beyond a double, a key given twice, or a repeated field.
    """
    file = file_of(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}). The problems are in it. Check the path and its permissions."
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise refused(file, at, "is not text in UTF-8", example) from error
    if not text.strip():
        raise DataError(f"{file} is empty. There is nothing to ask. Write one JSON object per line.")
    first: dict[str, int] = {}
    # Not splitlines: JSON texts may hold separators that it would cut at.
    for at, line in enumerate(text.rstrip().split("\n"), 1):
        fields = read_line(line, file=file, at=at, example=example)
        asked = fields.get(field)
        if isinstance(asked, str) and first.setdefault(asked, at) != at:
            raise refused(file, at, f"repeats the {field} of line {first[asked]}", example)
        yield at, fields


def read_line(line: str, *, file: Path, at: int, example: str) -> dict[str, Any]:
    """Read one line of a file.

    Raises:
        DataError: If it cannot be used; the message has its number.
    """
    try:
        fields = strict_json(line)
        if not isinstance(fields, dict):
            raise ValueError("is not an object")
        refuse_surrogates(fields)
    except RecursionError as error:
        raise refused(file, at, "has too many brackets inside one another", example) from error
    except json.JSONDecodeError as error:
        why = "is not JSON" if line.strip() else "is blank, which is not JSON"
        raise refused(file, at, why, example) from error
    except ValueError as error:
        raise refused(file, at, str(error), example) from error
    return fields


def strict_json(text: str) -> Any:
    """Read JSON with numbers as they are written, and nothing that two readers could take differently.

    Raises:
        ValueError: If it cannot be used; its text says why.
    """
    return json.loads(
        text, parse_constant=_constant, parse_float=_decimal, parse_int=_whole, object_pairs_hook=_each_once
    )


def refused(file: Path, at: int, why: str, example: str) -> DataError:
    """Return the error for a line that cannot be used."""
    return DataError(
        f"{file}, line {at}, {why}. Passing over it would change what is counted. Mend or remove the line; each is an object "
        f"such as {example}."
    )


def _constant(name: str) -> Any:
    raise ValueError(f"has {name}, which is no number and not JSON; leave the field out, or write null")


def _decimal(text: str) -> Decimal:
    if math.isinf(float(text)):
        raise ValueError(f"has the number {text[:40]}, which is beyond what a double can hold; write it as a text")
    return Decimal(text)


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > LONGEST or math.isinf(float(text)):
        raise ValueError(
            f"has a number of {len(text)} digits, which is beyond what a double can hold; write it as a text"
        )
    return int(text)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the key {twice[:40]!r} twice, and which of the two counts is not said")
    return fields


def refuse_surrogates(found: dict[str, Any]) -> None:
    """Refuse half of a surrogate pair, which JSON can write and no text can hold: a truncated emoji, mostly."""
    for name, value in found.items():
        waiting: list[Any] = [name, value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str) and not one.isascii():
                half = next((c for c in one if "\ud800" <= c <= "\udfff"), "")
                if half:
                    shown = name.encode("ascii", "backslashreplace").decode()
                    raise ValueError(f"has a {shown} that holds half of a character (\\u{ord(half):04x})")
            elif isinstance(one, dict):
                waiting += [*one, *one.values()]
            elif isinstance(one, list):
                waiting += one
