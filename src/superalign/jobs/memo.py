"""Values that are kept: named by all that they were made from, and written as soon as they are there."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from superalign import inputs
from superalign.errors import BadInput
from superalign.files import write_whole
from superalign.types import digest_of, to_plain

Out = TypeVar("Out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memo(Generic[Out]):
    """Where finished values are kept, and how they become bytes.

    A value is named by what it was made from: the function, its arguments and the item, the content of every file and folder
    that these name, and the code. A path that a job writes to is given as `Into`.
    """

    folder: Path
    version: str  # change it where the content of the code does not tell: values of another version are not used
    encode: Callable[[Out], bytes]
    decode: Callable[[bytes], Out]

    @property
    def own(self) -> Path:
        """The folder of the run that values are kept for; what lies in it, the run itself makes."""
        return self.folder.parent.resolve()


def name_of(function: Callable[[Any], Any]) -> list[Any]:
    """Name a function and the arguments that it has already.

    Raises:
        BadInput: If neither a memo nor another process could find it.
    """
    arguments: list[Any] = []
    while isinstance(function, functools.partial):
        arguments += [function.args, function.keywords]
        function = function.func
    name = f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', '<none>')}"
    if "<" in name:
        raise BadInput(
            f"{name} has no name of its own. Neither a memo nor another process could find it again. "
            "Define it at the top of a module, or call with workers=1 and no memo."
        )
    return [name, *arguments]


def place_of(name: list[Any], item: Any, memo: Memo[Any]) -> tuple[Path, dict[str, str]]:
    """Say where a value is kept, by all that it is made from; and which files and folders are among that."""
    module = name[0].rpartition(".")[0]
    while module and module not in sys.modules:  # a method's name holds its class
        module = module.rpartition(".")[0]
    try:
        plain = to_plain({"function": name, "version": memo.version, "item": item})
        named = inputs.digests([plain["function"][1:], plain["item"]], run=memo.folder)
        code = {"code": inputs.code(), "around": inputs.code_around(module)}
        return memo.folder / digest_of({**plain, **code, "inputs": named}), named
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"An item or argument has no digest ({error}). A memo could not tell it from another. "
            "Pass records, strings and numbers, or call without a memo."
        ) from error


def recall(path: Path) -> bytes | None:
    """Read a kept value; one that was damaged counts as missing and is computed again."""
    try:
        digest, _, data = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest().encode() == digest else None


def keep(path: Path, data: bytes) -> None:
    """Keep a value for `recall`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # What a power cut damages is seen by its digest and computed again: not worth a wait for the disk.
    write_whole(path, hashlib.sha256(data).hexdigest().encode() + b"\n" + data, durable=False)
