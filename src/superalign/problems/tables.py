"""Read the rows of data files by path: JSON Lines, JSON, CSV and lists of texts, gzip'd or not, alone or in a folder.

A source is written `PATH` or `PATH?field=column&...`. Every row keeps the place where it stands, so that one that cannot be
used is refused by its number.
"""

from __future__ import annotations

import csv
import fnmatch
import gzip
import io
import json
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from superalign.errors import BadInput, DataError
from superalign.problems.lines import read_line, refuse_surrogates, strict_json
from superalign.types import Record

ENDINGS = (".jsonl", ".json", ".csv", ".txt")  # each also with .gz behind it
FILES = "files"  # the key of a query that names files of a folder
NO_DATA = ("LICENSE", "README")  # how names of what holds no data begin
EXAMPLE = '{"question": "...", "answer": "..."}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns(Record):
    """Where the fields of a file stand: field -> column. "=x" is no column but the value x, the same in every row."""

    of: Mapping[str, str]
    files: str = ""  # pattern of the names of files that this is for

    def missing(self, found: Collection[str]) -> list[str]:
        """List the columns that are not among those found."""
        return [c for c in self.of.values() if not c.startswith("=") and c not in found]

    def fit(self, file: Path, found: Collection[str]) -> bool:
        """Say whether a file of this name has all the columns."""
        return fnmatch.fnmatch(file.name, self.files or "*") and not self.missing(found)

    def take(self, row: Mapping[str, Any], also: Collection[str]) -> dict[str, Any]:
        """Return the fields of a row, and those of `also` that stand in a column of their own name.

        Raises:
            ValueError: If the row lacks a column.
        """
        if missing := self.missing(row):
            raise ValueError(f"has no {', '.join(missing)}")
        named = {f: c[1:] if c.startswith("=") else row[c] for f, c in self.of.items()}
        return {f: row[f] for f in also if f in row} | named


def columns_of(query: str, fields: Sequence[str]) -> Columns:
    """Read `field=column&files=*.csv`, as it stands behind the question mark of a path.

    Raises:
        BadInput: If a key is no field, or a part is no pair.

    Example:
        >>> columns_of("text=claim&truth==true", ["text", "truth"]).of
        {'text': 'claim', 'truth': '=true'}
    """
    try:
        pairs = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError as error:
        raise BadInput(
            f"{query!r} names no columns. It stands behind the question mark of a path. Write field=column, with & between two."
        ) from error
    if unknown := [key for key in pairs if key not in (*fields, FILES)]:
        raise BadInput(
            f"{unknown[0]!r} is no field of these problems. A column that nothing reads would change nothing. "
            f"Name columns for {', '.join(fields)}; and {FILES} for a pattern of file names."
        )
    return Columns(files=pairs.pop(FILES, ""), of=pairs)


def files_in(path: Path, pattern: str) -> tuple[Path, ...]:
    """List the data files of a folder, by name; a path that is no folder is a file.

    Args:
        path: Of a folder or file.
        pattern: Of file names, such as `*_de.csv`; empty for all but licences and readmes.

    Raises:
        DataError: If the folder has no such file.
    """
    if not path.is_dir():
        return (path,)
    try:
        files = [p for p in sorted(path.glob(pattern or "*")) if p.is_file() and _ending(p) in ENDINGS]
    except (ValueError, NotImplementedError) as error:
        raise DataError(
            f"{pattern!r} is no pattern of file names ({error}). It chooses files of {path}. Write one such as *.csv."
        ) from error
    files = [p for p in files if not p.name.startswith("." if pattern else (".", *NO_DATA))]
    if not files:
        raise DataError(
            f"{path} has no data file" + (f" that is called {pattern}" if pattern else "") + ". Problems are read "
            f"from such files. Give a folder with {', '.join(ENDINGS)} files (or these with .gz)."
        )
    return tuple(files)


def read_rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Read the rows of one file.

    A JSON file is a list, or one object with a single list in it, or holds one object a line. A text alone is a row with the
    column `text`.

    Args:
        file: Its ending says what it holds.

    Returns:
        Of each row its place ("line 3", "entry 3") and its columns.

    Raises:
        DataError: If the file cannot be read, is damaged or empty, or a row is no object or has another shape.
    """
    ending = _ending(file)
    if ending not in ENDINGS:
        raise DataError(
            f"{file} does not say what it holds. Its ending does. Call it {', '.join(ENDINGS)}, or these with .gz."
        )
    text = _text(file)
    if ending == ".csv":
        rows = list(_csv(file, text))
    elif ending == ".txt":
        rows = [(f"line {at}", {"text": t}) for at, t in enumerate(text.splitlines(), 1) if t.strip()]
    elif ending == ".json" and (whole := _json(file, text)) is not None:
        rows = whole
    else:
        lines = enumerate(text.rstrip().split("\n"), 1) if text.strip() else ()
        rows = [(f"line {at}", read_line(line, file=file, at=at, example=EXAMPLE)) for at, line in lines]
    if not rows:
        raise DataError(f"{file} is empty. There is nothing to ask. Give a file with rows.")
    return rows


def unusable(file: Path, place: str, why: str) -> DataError:
    """Return the error for a row that cannot be used."""
    return DataError(f"{file}, {place}, {why}. Passing over it would change what is counted. Mend or remove it.")


def _ending(file: Path) -> str:
    return Path(file.name.removesuffix(".gz")).suffix


def _text(file: Path) -> str:
    """The text of a file, unpacked."""
    try:
        data = file.read_bytes()
        return (gzip.decompress(data) if file.name.endswith(".gz") else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.object.count(b"\n", 0, error.start) + 1
        raise unusable(file, f"line {at}", "is not text in UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{file} is damaged and cannot be unpacked ({error}). The problems are in it. Fetch it again, or unpack it yourself."
        ) from error
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}). The problems are in it. Check the path and its permissions."
        ) from error


def _csv(file: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if twice := [name for i, name in enumerate(header) if name in header[:i]]:
            raise unusable(file, "line 1", f"names the column {twice[0]!r} twice")
        for row in reader:
            if row and len(row) != len(header):
                raise unusable(file, f"line {reader.line_num}", f"has {len(row)} columns, not {len(header)}")
            if row:
                yield f"line {reader.line_num}", dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise unusable(file, f"line {reader.line_num}", f"is not CSV ({error})") from error


def _json(file: Path, text: str) -> list[tuple[str, dict[str, Any]]] | None:
    """The rows of a JSON file; None if it holds one object a line."""
    try:
        value = strict_json(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" or not text.strip():
            return None
        raise unusable(file, f"line {error.lineno}", "is not JSON") from error
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else "has too many brackets inside one another"
        raise unusable(file, "somewhere", why) from error
    lists = [v for v in value.values() if isinstance(v, list)] if isinstance(value, dict) else [value]
    if len(lists) != 1 or not isinstance(lists[0], list):
        raise DataError(
            f"{file} is no list of rows, nor one object with a single list in it. Which part holds the problems is not said. "
            "Give a JSON list of objects, or one object a line."
        )
    rows = []
    for at, entry in enumerate(lists[0], 1):
        row = {"text": entry} if isinstance(entry, str) else entry
        if not isinstance(row, dict):
            raise unusable(file, f"entry {at}", "is neither an object nor a text")
        try:
            refuse_surrogates(row)
        except ValueError as error:
            raise unusable(file, f"entry {at}", str(error)) from error
        rows.append((f"entry {at}", row))
    return rows
