"""Settings of a study: from `--set` words and from a file to a frozen config, checked against the bounds on its fields.

A config is a frozen dataclass. A bound stands on the field that it bounds: `seeds: Annotated[int, Ge(2)] = 5`.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import pydantic
import yaml

from superalign.errors import ConfigError
from superalign.types import to_plain

# A number is finite.
_RULES = pydantic.ConfigDict(allow_inf_nan=False)
_SAID = {
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "int_type": "is not a whole number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "string_type": "is not a text",
    "tuple_type": "is not a list",
}
_NUMBERS = {int: _SAID["int_type"], float: _SAID["float_type"]}
_BOUNDS = {
    annotated_types.Ge: ("ge", "at least {}"),
    annotated_types.Gt: ("gt", "above {}"),
    annotated_types.Le: ("le", "at most {}"),
    annotated_types.Lt: ("lt", "below {}"),
    annotated_types.MinLen: ("min_length", "{} or more of them"),
    annotated_types.MaxLen: ("max_length", "{} of them at most"),
}


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
        ConfigError: For a field that does not exist, a value out of its bounds, or a field given twice.
    """
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigError(
                f"--set {word} has no '='. It does not say which field gets which value. Write --set field=value."
            )
        if name in changes:
            raise ConfigError(
                f"--set gives the field {name!r} twice. Only one value can count. Leave out one of the two."
            )
        kind = _kind(config, name, study=study)
        changes[name] = _bounded(config, name, study=study, said=f"--set {name}={text}", value=typed(text, kind=kind))
    return dataclasses.replace(config, **changes)


def read(path: Path, *, config: Any, study: str) -> Any:
    """Return the config with the fields that a YAML file names replaced.

    Args:
        path: A file of `field: value` lines, as a run writes one.
        config: A frozen dataclass.
        study: Its name, for messages.

    Raises:
        ConfigError: If the file cannot be read, or names what cannot be used.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(
            f"--config {path} cannot be read ({why}). No setting could be taken from it. Give a YAML file of "
            "`field: value` lines, such as the config.yaml of a finished run."
        ) from error
    if not isinstance(found, dict):
        raise ConfigError(
            f"--config {path} holds no `field: value` lines. No setting could be taken from it. Write one line a field."
        )
    changes = {}
    for name, value in found.items():
        _kind(config, str(name), study=study)
        changes[str(name)] = _bounded(config, str(name), study=study, said=f"{path}: {name}: {value}", value=value)
    return dataclasses.replace(config, **changes)


def written(config: Any) -> str:
    """Write a config as the YAML that `read` takes.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Config:
        ...     seeds: int = 5
        >>> written(Config())
        'seeds: 5\\n'
    """
    return yaml.safe_dump(to_plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True)


def validated(config: Any, *, study: str) -> Any:
    """Return a config that was made in Python, each of its fields held against its bounds.

    Raises:
        ConfigError: For a value out of its bounds.
    """
    plain = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    changes = {n: _bounded(config, n, study=study, said=f"{n}={show(v)}", value=v) for n, v in plain.items()}
    return dataclasses.replace(config, **changes)


def _kind(config: Any, name: str, *, study: str) -> Any:
    kinds = typing.get_type_hints(type(config), include_extras=True)
    if name not in kinds:
        raise ConfigError(
            f"The study {study} has no field {name!r}.{did_you_mean(name, choices=kinds)} A setting that is "
            f"ignored would make the study another one than you asked for. Its fields: {', '.join(kinds)}."
        )
    return kinds[name]


def _bounded(config: Any, name: str, *, study: str, said: str, value: Any) -> Any:
    kind = _kind(config, name, study=study)
    try:
        return of_kind(value, kind=kind)
    except ValueError as error:
        raise ConfigError(
            f"{said}: {error}. The field {name!r} of the study {study} takes {in_words(kind)}. Its default is "
            f"{show(getattr(type(config)(), name))}."
        ) from error


def of_kind(value: Any, *, kind: Any) -> Any:
    """Return a value as its type, within its bounds.

    Raises:
        ValueError: If it is not such a value; the message says why in words.

    Example:
        >>> of_kind(["1", 2], kind=tuple[int, ...]), of_kind("no", kind=bool), of_kind("a", kind=Literal["a", "b"])
        ((1, 2), False, 'a')
        >>> of_kind("1", kind=Annotated[int, annotated_types.Ge(2)])
        Traceback (most recent call last):
        ValueError: '1' is not at least 2
    """
    if dataclasses.is_dataclass(bare(kind)) and isinstance(value, bare(kind)):
        return value  # settings of a part, made in Python
    _refuse_truths(value, kind=kind)
    try:
        return pydantic.TypeAdapter(
            kind, config=None if dataclasses.is_dataclass(bare(kind)) else _RULES
        ).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise ValueError(_in_words(first, kind=kind, value=value)) from None


def _refuse_truths(value: Any, *, kind: Any) -> None:
    """Refuse a true or false where a number belongs: the library would count it as 1 or 0."""
    if bare(kind) in _NUMBERS and isinstance(value, bool):
        raise ValueError(f"{value!r} {_NUMBERS[bare(kind)]}")
    if get_origin(bare(kind)) is tuple and isinstance(value, list | tuple):
        kinds = [k for k in get_args(bare(kind)) if k is not Ellipsis]
        for i, part in enumerate(value):
            _refuse_truths(part, kind=kinds[min(i, len(kinds) - 1)])


def _in_words(error: Mapping[str, Any], *, kind: Any, value: Any) -> str:
    given, what = error["input"], str(error["type"])
    if what in _SAID:
        return f"{given!r} {_SAID[what]}"
    if what == "literal_error":
        near = did_you_mean(str(given), choices=map(str, _choices(kind))).strip()
        return f"{given!r} is not one of the choices{': ' + near if near else ''}".rstrip("?")
    if what in ("missing", "too_long") and Ellipsis not in get_args(bare(kind)):
        return f"it holds {len(value) if isinstance(value, Sequence) else 1} values"
    context = error.get("ctx", {})
    for key, words in _BOUNDS.values():
        if key in context:
            return f"{given!r} is not {words.format(f'{context[key]:g}')}"
    return f"{given!r} cannot be used: {error['msg']}"


def _choices(kind: Any) -> Iterator[Any]:
    for part in get_args(bare(kind)):
        if get_origin(bare(kind)) is Literal:
            yield part
        elif part is not Ellipsis:
            yield from _choices(part)


def bare(kind: Any) -> Any:
    """Take the bounds off a type.

    Example:
        >>> bare(Annotated[int, annotated_types.Ge(2)])
        <class 'int'>
    """
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def typed(text: str, *, kind: Any) -> Any:
    """Take what was typed after an equals sign apart, as far as its type has parts; bounds are not looked at.

    Example:
        >>> typed("1, 2,3", kind=tuple[int, ...]), typed("none", kind=int | None), typed("x", kind=str)
        (['1', '2', '3'], None, 'x')
    """
    kind = bare(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in arguments and text.strip().lower() == "none":
            return None
        return typed(text, kind=next(part for part in arguments if part is not type(None)))
    if origin is Literal:
        return next((choice for choice in arguments if text.strip() == str(choice)), text)
    if origin is tuple:
        parts = [part.strip() for part in text.strip().strip("()").split(",") if part.strip()]
        kinds = [k for k in arguments if k is not Ellipsis]
        return [typed(part, kind=kinds[min(i, len(kinds) - 1)]) for i, part in enumerate(parts)]
    return text if kind is str else text.strip()


def in_words(kind: Any) -> str:
    """Name a type as a user would, with its bounds.

    Example:
        >>> in_words(tuple[int, ...]), in_words(Literal["a", "b"]), in_words(Annotated[float, annotated_types.Gt(0)])
        ('whole numbers (int) with commas between them', 'one of a, b', 'a number (float), above 0')
        >>> in_words(tuple[Literal["a", "b"], ...]), in_words(tuple[Annotated[int, annotated_types.Ge(1)], ...])
        ('some of a, b with commas between them', 'whole numbers (int) with commas between them, each at least 1')
    """
    if get_origin(kind) is Annotated:
        bounds = [_BOUNDS[type(b)] for b in _bounds(kind)]
        said = [words.format(getattr(b, key)) for b, (key, words) in zip(_bounds(kind), bounds, strict=True)]
        return ", ".join([in_words(bare(kind)), " and ".join(said)] if said else [in_words(bare(kind))])
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if part is type(None) else in_words(part) for part in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(show, arguments))}" if len(arguments) > 1 else show(arguments[0])
    if origin is tuple:
        many = {int: "whole numbers (int)", float: "numbers (float)", str: "words", bool: "true or false"}
        if arguments[-1] is Ellipsis:
            each = in_words(bare(arguments[0]))
            bounds_said = in_words(arguments[0]).removeprefix(each)
            named = many.get(bare(arguments[0]), each.replace("one of", "some of", 1))
            return f"{named} with commas between them{bounds_said.replace(', ', ', each ', 1)}"
        return f"{len(arguments)} values with commas between them: {', '.join(map(in_words, arguments))}"
    plain = {int: "a whole number (int)", float: "a number (float)", bool: "true or false (bool)", str: "a text (str)"}
    return plain.get(kind, str(kind))


def _bounds(kind: Any) -> list[Any]:
    """Return the bounds of an annotated type, those that stand in groups too."""
    out: list[Any] = []
    for part in get_args(kind)[1:]:
        out += list(part) if isinstance(part, annotated_types.GroupedMetadata) else [part]
    return [part for part in out if type(part) in _BOUNDS]


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
    kinds, lines = typing.get_type_hints(type(config), include_extras=True), field_lines(type(config))
    out = []
    for field in dataclasses.fields(config):
        default = show(getattr(config, field.name))
        out.append(f"  {field.name} = {default}  [{in_words(kinds[field.name])}]")
        if field.name in lines:
            out.append(f"      {lines[field.name]}")
    return out


def schema(config: Any) -> str:
    """Write the JSON schema of a config: types, bounds, defaults and what each field is for."""
    found = pydantic.TypeAdapter(type(config)).json_schema()
    for name, line in field_lines(type(config)).items():
        found["properties"][name]["description"] = line
    return json.dumps(found, indent=2, ensure_ascii=False)
