"""What the name of a policy means: a bundled base, a named model, random weights, an API, a folder, a GGUF file or a hub id.

Told from names and files alone, without torch: a wrong name is refused before seconds go into importing what would open it.
`models.open` opens what these names mean.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Literal, TypeAlias

from superalign.errors import BadInput, ConfigError
from superalign.named_models import NAMED, fetched
from superalign.prompting import parted

SIZES = ("small", "middle", "large")
NO_BASE = "none"  # of an audited model whose base nobody knows
BASES = Path(__file__).parent / "models" / "bases"
API, RANDOM, VLLM = "api:", "random:", "vllm:"
GGUF = ".gguf"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
Kind: TypeAlias = Literal["bundled", "named", "random", "api", "vllm", "adapter", "folder", "gguf", "hub"]
_BUNDLED = re.compile(f"({'|'.join(SIZES)})(-[0-9]+)?")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def kind_of(name: str) -> Kind:
    """Say what a policy's name means, and refuse what cannot be opened as far as names and files tell.

    Args:
        name: small, middle or large (middle-1 for another seed), a named model such as smollm2, `random:SEED`, a folder, a
            GGUF file, a hub id, `api:PROVIDER/MODEL`, or `vllm:` before a folder or a hub id.

    Raises:
        BadInput: If there is no such policy, it was not fetched, or its folder lacks what it needs.

    Example:
        >>> [kind_of(name) for name in ("small", "middle-1", "random:3", "org/model", "small?system=Be+brief.")]
        ['bundled', 'bundled', 'random', 'hub', 'bundled']
    """
    name, prompting = parted(name)
    prompting.source()  # a template's file is there, or the name is refused
    if prompting and name.startswith(API):
        raise ConfigError(
            f"How {name} is prompted cannot be set here: its provider writes the template. What is asked would not reach it. "
            "Leave the question mark and what follows out."
        )
    if name.startswith(API):
        check_api(name)
        return "api"
    if name.startswith(RANDOM):
        seed_in(name)
        return "random"
    if name.startswith(VLLM):
        check_vllm(name)
        return "vllm"
    path = Path(name).expanduser()
    if name in SIZES or (_BUNDLED.fullmatch(name) and not path.exists()):
        bundled(name)
        return "bundled"
    if name in NAMED:
        fetched(name)
        return "named"
    if path.suffix.lower() == GGUF:
        check_gguf(path)
        return "gguf"
    if not is_local(name):
        if not _HUB_ID.fullmatch(name):
            raise BadInput(
                f"{name!r} names no model: there is no such folder, and an id of the hub has letters, digits, '-', '_' and '.' "
                "around one slash. Nothing could be opened. Check the path, or give an id like org/name."
            )
        return "hub"
    if is_adapter(path):
        check_one_model(path)
        check_adapter(path)
        return "adapter"
    check_folder(path)
    return "folder"


def check_weights(name: str) -> Kind:
    """Say what a name means, and refuse a policy that only answers.

    Raises:
        BadInput: As `kind_of`, and for a model behind an API.
    """
    if name.startswith((API, VLLM)):
        raise ConfigError(
            f"{name} gives texts only. What is asked of it here needs its weights. Name a folder, a hub id or an adapter."
        )
    return kind_of(name)


def is_local(name: str | Path) -> bool:
    """Say whether a name is a path: what is there, what begins as a path does, and what cannot be a hub id."""
    return there(Path(name).expanduser()) or str(name).startswith((".", "/", "~")) or str(name).count("/") != 1


def is_adapter(folder: str | Path) -> bool:
    """Say whether a folder holds an adapter; it may hold whole weights beside it, see `check_one_model`."""
    return os.path.isfile(Path(folder) / ADAPTER_CONFIG)


def bundled(name: str) -> Path:
    """Find the folder of a bundled base: small is small-0.

    Raises:
        BadInput: If no such base ships.

    Example:
        >>> bundled("small").name
        'small-0'
    """
    full = name if "-" in name else f"{name}-0"
    path = BASES / full
    if not (path / "config.json").exists():
        have = sorted(p.name for p in BASES.glob("*-*") if (p / "config.json").exists()) if BASES.exists() else []
        raise BadInput(
            f"No bundled base is called {full}. Studies name their base so that others can repeat them. "
            f"Use one of: {', '.join(have) or 'none is installed'}."
        )
    return path


def seed_in(name: str) -> int:
    """Read the seed of random weights.

    Raises:
        ConfigError: If there is none.

    Example:
        >>> seed_in("random:3")
        3
    """
    seed = name.removeprefix(RANDOM)
    if not seed.isdecimal():
        raise ConfigError(
            f"{name!r} names no model: after {RANDOM} comes a seed. Random weights are drawn from it. Write {RANDOM}0."
        )
    return int(seed)


def check_api(name: str) -> None:
    """Refuse a name of another form than `api:PROVIDER/MODEL`, and any where inspect-ai is not installed.

    Raises:
        ConfigError: In either case.

    Example:
        >>> try:
        ...     check_api("gpt-x")
        ... except ConfigError as error:
        ...     print(str(error).partition(".")[0])
        'gpt-x' does not name a model behind an API
    """
    provider, _, model = name.removeprefix(API).partition("/")
    if not name.startswith(API) or not provider or not model:
        raise ConfigError(
            f"{name!r} does not name a model behind an API. Without provider and model nobody can be asked. Write "
            "api:PROVIDER/MODEL, such as api:openai/gpt-x."
        )
    if importlib.util.find_spec("inspect_ai") is None:
        raise ConfigError(
            f"{name} needs inspect-ai, which is not installed. Its providers carry every request to an API. Install it with: "
            "pip install 'superalign[eval]'"
        )


def check_vllm(name: str) -> None:
    """Refuse what vLLM does not run: a folder that is no whole model, and anything where it is not installed.

    Raises:
        BadInput: If there is no such model.
        ConfigError: If vLLM is not installed.
    """
    model = name.removeprefix(VLLM)
    if kind_of(model) not in ("folder", "hub"):
        raise ConfigError(
            f"{name!r} names no model that vLLM runs. It takes a folder with whole weights, or an id of the hub. Merge an "
            f"adapter first, or open it without {VLLM} in front."
        )
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            f"{name} needs vLLM, which is not installed. It samples on an accelerator. Install it (pip install vllm, which "
            "brings a torch of its own, so best into an environment of its own), or open the model without it."
        )


def there(path: Path) -> bool:
    """Say whether something lies at a path.

    Raises:
        BadInput: If that may not be seen.
    """
    try:
        path.stat()
    except PermissionError as error:
        raise _unreadable(path, error) from error
    except OSError:  # also a name that no file can have
        return False
    return True


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{path} cannot be read ({error.strerror}). Its weights, config and tokenizer are needed. Check the permissions."
    )


def check_folder(path: Path) -> None:
    """Refuse a path that is no folder with a whole model.

    Raises:
        BadInput: If it is not there, a file, may not be read, an adapter, or lacks config or weights.
    """
    if not there(path):
        raise BadInput(
            f"There is no model at {path}. Nothing can be measured without it. Check the path, or give a hub id like org/name."
        )
    if not path.is_dir():
        raise BadInput(
            f"{path} is a file, not a model folder. A model needs its config, weights and tokenizer together. Give the folder."
        )
    try:
        names = {p.name for p in path.iterdir()}
        for name in sorted(names):
            if not os.access(path / name, os.R_OK):
                raise PermissionError(13, "Permission denied", str(path / name))
    except OSError as error:
        raise _unreadable(Path(error.filename), error) from error
    check_one_model(path)
    if ADAPTER_CONFIG in names:
        raise BadInput(
            f"{path} holds a LoRA adapter, not a model. An adapter changes a base and is nothing alone. "
            "Load the base and pass adapter=PATH, or save the two merged."
        )
    packed = sorted(n for n in names if n.lower().endswith(GGUF))
    if packed and not any(n.endswith(".safetensors") for n in names):
        raise BadInput(
            f"{path} holds a model as GGUF, of which a folder may hold several. Which one is meant is not said. Give the file: "
            f"{path / packed[0]}"
        )
    if "config.json" not in names:
        raise BadInput(
            f"{path} is not a model: it has no config.json. Without it the architecture is unknown. "
            "Give a folder written by save_pretrained."
        )
    if not any(name.endswith(".safetensors") for name in names):
        raise BadInput(
            f"{path} has no .safetensors weights. Other formats (pickle) can run code when they are read, so they are "
            "refused. Write the model again with save_pretrained, which stores safetensors."
        )


def check_one_model(path: Path) -> None:
    """Refuse a folder that holds whole weights and an adapter: Transformers would load the one with the other on top."""
    names = sorted(p.name for p in path.iterdir())
    whole = [n for n in names if n.startswith(("model", "pytorch_model")) and n.endswith((".safetensors", ".bin"))]
    if ADAPTER_CONFIG in names and whole:
        raise BadInput(
            f"{path} holds two models: whole weights ({whole[0]}) and an adapter (adapter_config.json). Which one is meant is "
            "not said, and one on top of the other is neither. For the whole weights move adapter_config.json away; for the "
            "adapter give a folder with adapter_config.json and adapter_model.safetensors alone, or load its base with "
            "adapter=PATH."
        )


def check_adapter(folder: Path) -> None:
    """Refuse a folder without the two files of an adapter.

    Raises:
        BadInput: If one is missing, or its weights come in parts or as a pickle.
    """
    names = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    if ADAPTER_CONFIG in names and ADAPTER_WEIGHTS in names:
        return
    sharded = sorted(n for n in names if n.startswith("adapter_model") and n != "adapter_model.bin")
    if ADAPTER_CONFIG in names and sharded:
        raise BadInput(
            f"{folder} holds its adapter in several files ({sharded[0]}). PEFT reads only {ADAPTER_WEIGHTS}, and a part of an "
            "adapter is another one. Join the parts into that file."
        )
    if ADAPTER_CONFIG in names and "adapter_model.bin" in names:
        raise BadInput(
            f"{folder} holds its adapter as a pickle (adapter_model.bin), which can run code when it is read. It is refused. "
            f"Write it again as {ADAPTER_WEIGHTS} (save_pretrained with safe_serialization=True)."
        )
    raise BadInput(
        f"{folder} is not a LoRA adapter: {ADAPTER_CONFIG} or {ADAPTER_WEIGHTS} is missing. The base alone would "
        "be measured in its place. Give a folder written by save_adapter."
    )


def base_of(folder: Path) -> str:
    """Read which base an adapter records, as a name that can be opened.

    Raises:
        BadInput: If it records none, or only the name of a folder that lay somewhere else.
    """
    try:
        name = str(json.loads((folder / ADAPTER_CONFIG).read_text()).get("base_model_name_or_path") or "")
    except (OSError, ValueError, AttributeError):
        name = ""  # what is damaged is said when the adapter is read
    if (
        _BUNDLED.fullmatch(name)
        or name in NAMED
        or (name and (_HUB_ID.fullmatch(name) or there(Path(name).expanduser())))
    ):
        return name
    raise BadInput(
        f"{folder} holds a LoRA adapter, and its base is not at hand: it records {repr(name) if name else 'none'}. An adapter "
        "changes a base and is nothing alone. Name the base, or save the two merged."
    )


def check_gguf(path: Path) -> None:
    """Refuse a file that is no GGUF file, by its first bytes.

    Raises:
        BadInput: If it is not there, may not be read, or begins as another kind of file.
    """
    if not there(path):
        raise BadInput(f"There is no file {path}. Nothing can be measured without it. Check the path.")
    try:
        with path.open("rb") as file:
            begins = file.read(4)
    except OSError as error:
        raise _unreadable(path, error) from error
    if begins != b"GGUF":
        raise BadInput(
            f"{path} does not begin as a GGUF file does. What it holds is not known. Copy or download it again, or give a "
            "folder with config.json, a tokenizer and .safetensors weights."
        )
