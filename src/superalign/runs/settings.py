"""Settings from the command line: `field=value` words to a study's frozen config, with clear refusals."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import math
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from superalign.errors import ConfigError

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


def did_you_mean(word: str, *, choices: Iterable[str]) -> str:
    """Suggest the nearest choice, as a sentence with a space before it, or nothing.

    Example:
        >>> did_you_mean("lop", choices=["loop", "critique"])
        ' Did you mean loop?'
    """
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""


def apply(config: Any, *, words: Sequence[str], study: str) -> Any:
    """Return the config with the fields that the words name replaced.

    Args:
        config: A frozen dataclass.
        words: `field=value`, as typed.
        study: Its name, for messages.

    Returns:
        A new config of the same type.

    Raises:
        ConfigError: For a field that does not exist, a value of the wrong type, or a field given twice.
    """
    kinds = typing.get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigError(
                f"--set {word} has no '='. It does not say which field gets which value. Write --set field=value."
            )
        if name not in kinds:
            raise ConfigError(
                f"The study {study} has no field {name!r}.{did_you_mean(name, choices=kinds)} A setting that is "
                f"ignored would make the study another one than you asked for. Its fields: {', '.join(kinds)}."
            )
        if name in changes:
            raise ConfigError(
                f"--set gives the field {name!r} twice. Only one value can count. Leave out one of the two."
            )
        try:
            changes[name] = parse(text, kind=kinds[name])
        except ValueError as error:
            raise ConfigError(
                f"--set {name}={text}: {error}. The field {name!r} of the study {study} takes "
                f"{in_words(kinds[name])}. Its default is {show(getattr(config, name))}."
            ) from error
    return dataclasses.replace(config, **changes)


def parse(text: str, *, kind: Any) -> Any:
    """Read one value of a type: int, float, bool, str, tuple of these, Literal, or one of them or None.

    Raises:
        ValueError: If the text is not such a value; the message says why in words.

    Example:
        >>> parse("1, 2,3", kind=tuple[int, ...]), parse("no", kind=bool), parse("a", kind=Literal["a", "b"])
        ((1, 2, 3), False, 'a')
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in arguments and text.strip().lower() == "none":
            return None
        return parse(text, kind=next(part for part in arguments if part is not type(None)))
    if origin is Literal:
        for choice in arguments:
            if text.strip() == str(choice):
                return choice
        near = did_you_mean(text, choices=map(str, arguments)).strip()
        raise ValueError(f"{text!r} is not one of the choices{': ' + near if near else ''}".rstrip("?"))
    if origin is tuple:
        return _parse_tuple(text, arguments)
    if kind is str:
        return text
    if kind is bool:
        if text.strip().lower() not in _TRUE | _FALSE:
            raise ValueError(f"{text!r} is neither true nor false")
        return text.strip().lower() in _TRUE
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
    if kind is float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None
        if not math.isfinite(value):
            raise ValueError(f"{text!r} is not a finite number")
        return value
    raise TypeError(f"a config field of type {kind!r} cannot be set from the command line")


def _parse_tuple(text: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.strip().strip("()").split(",") if part.strip()]
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(parse(part, kind=arguments[0]) for part in parts)
    if len(parts) != len(arguments):
        raise ValueError(f"it holds {len(parts)} values")
    return tuple(parse(part, kind=kind) for part, kind in zip(parts, arguments, strict=True))


def in_words(kind: Any) -> str:
    """Name a type as a user would.

    Example:
        >>> in_words(tuple[int, ...]), in_words(Literal["a", "b"]), in_words(float)
        ('whole numbers (int) with commas between them', 'one of a, b', 'a number (float)')
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if part is type(None) else in_words(part) for part in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        many = {int: "whole numbers (int)", float: "numbers (float)", str: "words", bool: "true or false"}
        if arguments[-1] is Ellipsis:
            return f"{many.get(arguments[0], in_words(arguments[0]))} with commas between them"
        return f"{len(arguments)} values with commas between them: {', '.join(map(in_words, arguments))}"
    plain = {int: "a whole number (int)", float: "a number (float)", bool: "true or false (bool)", str: "a text (str)"}
    return plain.get(kind, str(kind))


def show(value: Any) -> str:
    """Write a value as it would be typed after the equals sign."""
    if isinstance(value, tuple):
        return ",".join(map(show, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value) if value != "" else "empty"


def field_lines(config_type: type[Any]) -> dict[str, str]:
    """Read the line that stands under each field of a config class.

    Example:
        >>> field_lines(int)
        {}
    """
    try:
        tree = ast.parse(inspect.cleandoc(inspect.getsource(config_type)))
    except (OSError, TypeError, SyntaxError):
        return {}
    out: dict[str, str] = {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            line = below.value
            if isinstance(line, ast.Constant) and isinstance(line.value, str):
                out[field.target.id] = " ".join(line.value.split())
    return out


def describe(config: Any) -> list[str]:
    """List the fields of a config: name, default, what it takes, what it is for."""
    kinds, lines = typing.get_type_hints(type(config)), field_lines(type(config))
    out = []
    for field in dataclasses.fields(config):
        default = show(getattr(config, field.name))
        out.append(f"  {field.name} = {default}  [{in_words(kinds[field.name])}]")
        if field.name in lines:
            out.append(f"      {lines[field.name]}")
    return out
