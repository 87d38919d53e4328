"""Adapters through PEFT: add, merge, save and load them; safetensors only.

What is measured is PEFT's own forward. Plain LoRA is read by our decoder (see `weights`), whatever else PEFT can do goes
through the network's own forward, and what lives outside of the network (virtual tokens, an adapter that looks for its
tokens) is refused when it is loaded: samples, log-probs and taps would be another model's. PEFT takes as long to import as
all else here together, so each function that reads or makes an adapter imports it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from superalign.errors import BadInput
from superalign.models import weights
from superalign.models.engine_check import check_engine
from superalign.models.model import Model, check_whole
from superalign.models.subject import digest_of, weights_digest
from superalign.models.taps import hooked
from superalign.policy_names import ADAPTER_CONFIG as CONFIG
from superalign.policy_names import ADAPTER_WEIGHTS as WEIGHTS
from superalign.policy_names import check_adapter

BASE = "base.json"
NEAR = 1e-3  # nats by which two forwards of the same model may differ in 32 bits
NEAR_16 = 0.5  # the same in 16 bits, where a merged matrix is rounded
FUSED = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")  # types of which PEFT adapts no out_proj
GROWN = "If its vocabulary was grown, put it on its base with as many tokens, merge it and save that whole."
# What other tools leave in names, and what to do about it.
WRAPPERS = {
    "_orig_mod.": "It was saved from a compiled model: save the model that went into torch.compile, or take `_orig_mod.` "
    "out of the names.",
    "module.": "It was saved from a data-parallel wrapper: save its `.module`, or take `module.` out of the names.",
    "_fsdp_wrapped_module.": "It was saved from an FSDP wrapper: gather and save the model inside it.",
    **{f"{end}.{how}": GROWN for end in ("embed_tokens", "lm_head") for how in ("weight", "modules_to_save")},
}


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings of PEFT: those that a user can act on are errors here, found by comparing and not by their text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def lora(
    model: Model, *, rank: int, seed: int, upper: float = 1.0, only: nn.Module | None = None, kept: bool = True
) -> Model:
    """Put a fresh LoRA adapter on the linear layers of a copy of the network; it changes nothing until trained.

    Args:
        model: A model without an adapter. Its network is not touched; the copy shares its weights, which are frozen there.
        rank: Rank of each update; 2 * rank is its alpha.
        seed: Of the random half of each update.
        upper: Share of the blocks that get one, the last ones; gradients stop where they begin, which saves their time.
        only: The one layer of the model's network that gets one.
        kept: Whether the adapter may be saved. One that is only measured may lie in 32 bits on what `in_half` rounded.

    Returns:
        A model whose only trainable parameters are the adapter's.
    """
    from peft import LoraConfig, get_peft_model

    if kept or not model.rounded:
        check_whole(model, "training an adapter on it")
    if rank < 1:
        raise BadInput(f"A LoRA rank of {rank} leaves nothing to train. Choose 1 or more.")
    network = weights.beside(model.network, model.network.parameters())
    names = _targets(network) if only is None else [n for n, m in model.network.named_modules() if m is only]
    if upper < 1:
        blocks = {n: int(found[1]) for n in names if (found := re.search(r"\.(\d+)\.", n))}
        least = (1 - upper) * (1 + max(blocks.values(), default=0))
        names = [n for n in names if blocks.get(n, least) >= least]
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=names, task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(m, Conv1D) for m in network.modules()),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(seed)
        adapted = get_peft_model(network, config)
    adapted.eval()
    return _changed(model, adapted, how=f"LoRA of rank {rank} on {model.subject.how}", seed=seed)


def _targets(network: Any) -> list[str]:
    """Linear layers that an update would reach; state-space layers multiply by the weights of some and never call them."""
    head = network.get_output_embeddings()
    found = {n: m for n, m in network.named_modules() if isinstance(m, nn.Linear | Conv1D) and m is not head}
    if weights.supported(network):
        return list(found)
    called: set[str] = set()
    last = {name: name.rpartition(".")[2] for name in found}
    with hooked(m.register_forward_hook(lambda *_, n=n: called.add(last[n])) for n, m in found.items()):
        _logprobs(network)
    refused = {"out_proj"} if network.config.model_type in FUSED else set()
    return [name for name in found if last[name] in called - refused]


def _changed(model: Model, network: Any, *, how: str, seed: int = 0) -> Model:
    subject = dataclasses.replace(
        model.subject, weights=weights_digest(network), base=model.subject.digest, how=how, seed=seed
    )
    return dataclasses.replace(model, network=network, subject=subject)


def merge(model: Model) -> Model:
    """Return the model with its adapter added into a copy of the base weights; without an adapter, the model itself.

    Layers that share a matrix with another, and have an update of their own, get a copy of it first.

    Raises:
        BadInput: If the adapter cannot be merged, or the merged model gives other numbers.
    """
    check_whole(model, "merging, saving, rounding or disturbing it")
    if not weights.has_adapter(model.network):
        return model
    with _quiet():
        adapted = copy.deepcopy(model.network).eval()
        before = _logprobs(adapted)
        _untie(adapted.get_base_model())
        try:
            network: Any = adapted.merge_and_unload()
        except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            raise BadInput(
                f"This adapter cannot be merged into its base ({_first_line(error)}). What needs whole weights (saving, "
                "rounding, disturbing them) has none. Use a LoRA without biases of its own."
            ) from error
        network.eval()
        off = _apart(before, _logprobs(network))
    if not off <= (NEAR if before.dtype == torch.float32 else NEAR_16):
        raise BadInput(
            f"Merged into its base, this adapter gives other numbers: {off:.2g} nats off on a few tokens. What is measured "
            "on the merged weights would be about another model. Use a LoRA of separate layers, or a model saved whole."
        )
    return _changed(model, network, how=f"merged: {model.subject.how}", seed=model.subject.seed)


def _untie(network: Any) -> None:
    """Give each layer with an update its own matrix; else merging would add every update to all that share one."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    wrapped = {id(m.get_base_layer()) for m in network.modules() if isinstance(m, BaseTunerLayer)}
    ends = [network.get_input_embeddings(), network.get_output_embeddings()]
    kept = {id(getattr(m, "base_layer", m)) for m in ends} - wrapped
    shared: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            shared.setdefault(id(parameter), []).append((module, name))
    for places in shared.values():
        if len(places) > 1 and not all(id(module) in kept for module, _ in places):
            for module, name in places[1:]:
                old = getattr(module, name)
                setattr(module, name, nn.Parameter(old.detach().clone(), requires_grad=old.requires_grad))


def _states(network: Any, *, alone: bool = False) -> tuple[Tensor, Tensor]:
    """Log-probs of a few tokens, and the states that the decoder inside gave: under the wrapper, or run alone as taps run it."""
    backbone, seen = weights.plain(network).base_model, []
    with backbone.register_forward_hook(lambda _, __, out: seen.append(out[0])), torch.no_grad():
        if alone:
            backbone(input_ids=_few(network), use_cache=False)
        logprobs = torch.zeros(0) if alone else _logprobs(network)
    return logprobs, seen[-1]


def _few(network: Any, *, rows: int = 1) -> Tensor:
    """A few token ids, as a batch of sequences that differ."""
    size = network.get_input_embeddings().weight.shape[0]
    row_B1 = torch.arange(rows, device=network.device)[:, None]
    return (torch.arange(1, 9, device=network.device) * (size - 1) // 8 + 7 * row_B1) % size


def _logprobs(network: Any, *, rows: int = 1) -> Tensor:
    """Log-probs of a few tokens by the network's own forward, (T, V), with so many rows in the batch."""
    with torch.no_grad():
        logits: Tensor = network(input_ids=_few(network, rows=rows), use_cache=False).logits[0]
    return torch.log_softmax(logits, dim=-1)


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _first_line(error: Exception) -> str:
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return " ".join(map(str.strip, lines[:2])) if lines[0].endswith(":") else lines[0]


def save_adapter(model: Model, path: str | Path) -> Path:
    """Write only the adapter: adapter_config.json, adapter_model.safetensors, and base.json with the digest of its base."""
    if not weights.has_adapter(model.network):
        raise BadInput(
            "This model has no adapter to save. Saving nothing would look like success. Use save for a whole model."
        )
    check_whole(model, "saving its adapter")
    from peft.utils.save_and_load import get_base_model_state_dict

    target = Path(path)
    with _quiet():
        model.network.save_pretrained(str(target), safe_serialization=True, save_embedding_layers=False)
    (target / "README.md").unlink(missing_ok=True)
    name = _forget_where(target / CONFIG)
    if not _moves_its_base(model.network.active_peft_config):
        digest = digest_of(get_base_model_state_dict(model.network))
        (target / BASE).write_text(json.dumps({"name": name, "weights": digest}, indent=1) + "\n")
    return target


def _moves_its_base(config: Any) -> bool:
    """Whether the weights below this adapter are no longer those of its base: trained biases, or a start that takes parts out."""
    start = getattr(config, "init_lora_weights", True)
    return getattr(config, "bias", "none") != "none" or start not in (True, False, "gaussian", "orthogonal", "eva")


def _forget_where(config: Path) -> str:
    """Keep the base's name and not its folder: a path says where on somebody's machine it lay, and is wrong on any other."""
    settings = json.loads(config.read_text())
    name = settings.get("base_model_name_or_path") or ""
    if Path(name).is_absolute() or Path(name).exists():
        name = settings["base_model_name_or_path"] = Path(name).name
        config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    return str(name)


def load_adapter(model: Model, path: str | Path) -> Model:
    """Put a saved adapter on a copy of its base.

    Every tensor of the file must find its place and every place its tensor. The base is held against the digest that
    `save_adapter` leaves in base.json; an adapter without one is taken on any base that it fits, with a warning where the
    base's name is not the one that it records (a folder may have been renamed).

    Args:
        model: The base.
        path: A folder written by `save_adapter`, or by PEFT.

    Returns:
        The adapted model, frozen in evaluation mode.

    Raises:
        BadInput: If there is no adapter, its names or numbers are not whole, it belongs to another base, or it is of a kind
            that is not read as PEFT reads it (docs/models.md lists them).
    """
    folder = Path(path)
    check_whole(model, "putting an adapter on it")
    if weights.has_adapter(model.network):
        raise BadInput(
            f"The model that {folder.name} is to be put on has an adapter already. Which of the two acts would be unclear. "
            "Give the base, or merge the first adapter."
        )
    check_adapter(folder)
    config, written = _config(folder)
    _check_kind(folder, config)
    _check_base(model, folder, written)
    network = _put_on(model, folder, config)  # in evaluation mode, as PEFT leaves it
    # Plain LoRA acts in its layers, and all of it is in its file, by construction: it is not asked.
    if _moves_its_base(config) or not weights.supported(network):
        _check_within(network, _put_on(model, folder, _config(folder)[0]), folder, config)
    _warn_of_name(model, folder, written)
    adapted = _changed(model, network, how=f"adapter {folder.name} on {model.subject.how}", seed=model.subject.seed)
    check_engine(adapted)
    return adapted


def _config(folder: Path) -> tuple[Any, Mapping[str, Any]]:
    """The adapter's settings as PEFT reads them, and as they are written."""
    from peft import PeftConfig

    try:
        written = json.loads((folder / CONFIG).read_text())
        with _quiet():
            config: Any = PeftConfig.from_pretrained(str(folder))
        known = {f.name for f in dataclasses.fields(config)}
    except Exception as error:
        raise BadInput(
            f"{CONFIG} in {folder} cannot be read ({_first_line(error)}). Without it nobody knows what the adapter's numbers "
            "do. If a newer PEFT wrote it, install that one."
        ) from error
    ignored = sorted(key for key in written.keys() - known if written[key])
    if ignored:
        warnings.warn(
            f"The installed PEFT does not know {', '.join(ignored)} in {folder / CONFIG} and leaves it out.",
            stacklevel=3,
        )
    return config, written


def _unreadable(folder: Path, config: Any, why: str) -> BadInput:
    kind = getattr(config.peft_type, "value", config.peft_type)
    return BadInput(
        f"The adapter in {folder} ({kind}) {why}. Samples, log-probs and taps here would be another model's. "
        "docs/models.md says which kinds can be read."
    )


def _check_kind(folder: Path, config: Any) -> None:
    """Refuse what acts outside of the network, or differently each time; `_check_within` measures what is not known here."""
    from peft import TaskType

    if config.task_type not in (None, TaskType.CAUSAL_LM):
        raise _unreadable(folder, config, f"was made for the task {config.task_type}, not for a causal language model")
    if config.is_prompt_learning:
        raise _unreadable(folder, config, "puts virtual tokens before every prompt, outside of the network")
    if getattr(config, "alora_invocation_tokens", None):
        raise _unreadable(
            folder, config, "is activated by tokens of the prompt (aLoRA), which one step of a sampler does not show"
        )


def _names(model: Model, written: Mapping[str, Any]) -> tuple[str, str]:
    """Last parts of the names of the base that an adapter records and of the one that it is put on."""
    recorded, here = written.get("base_model_name_or_path"), getattr(model.network.config, "_name_or_path", "")
    return Path(str(recorded or "")).name, Path(str(here or "")).name


def _check_base(model: Model, folder: Path, written: Mapping[str, Any]) -> None:
    """Hold the base against the one that the adapter was trained on, by its digest, where there is one."""
    name, here = _names(model, written)
    if (folder / BASE).exists():
        try:
            was = str(json.loads((folder / BASE).read_text())["weights"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{folder / BASE} is damaged ({_first_line(error)}). It says which base the adapter belongs to. Copy the "
                "adapter again, or delete that file if you know its base."
            ) from error
        if was != model.subject.weights:
            raise BadInput(
                f"The adapter in {folder} was trained on another base ({name or 'unnamed'}, weights {was[:12]}) than "
                f"{here or 'this one'} (weights {model.subject.weights[:12]}). On other weights it means nothing. Load the base "
                f"that it was trained on; if this is that base in another precision, delete {BASE}."
            )


def _warn_of_name(model: Model, folder: Path, written: Mapping[str, Any]) -> None:
    """Say that an adapter which fits names another base, where no digest settles it."""
    name, here = _names(model, written)
    if not (folder / BASE).exists() and name and here and name.casefold() != here.casefold():
        warnings.warn(
            f"The adapter in {folder} names its base {name}, and is put on {here}. Its shapes fit, and nothing else says "
            "whether it belongs there.",
            stacklevel=3,
        )


def _put_on(model: Model, folder: Path, config: Any) -> Any:
    """Build the adapter around a copy of the network, fill it, and see that nothing is left over or empty."""
    from peft import PeftModel, PeftModelForCausalLM, PeftType
    from peft.utils.save_and_load import get_peft_model_state_dict

    config.inference_mode = True
    kind = PeftModel if config.task_type is None else PeftModelForCausalLM
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            given = set(file.keys())
        # An adapter that changes its base's own weights would do so in place.
        alone = config.peft_type != PeftType.LORA or _moves_its_base(config)
        with _quiet():
            network = kind(
                weights.beside(model.network, () if alone else model.network.parameters()), config, "default"
            )
            wanted = get_peft_model_state_dict(network, save_embedding_layers=False)
    except Exception as error:
        raise _no_fit(folder, error) from error
    # What PEFT starts with must not pass for what the file holds: a place that is not filled stays no number, and is seen.
    for tensor in wanted.values():
        if tensor.is_floating_point():
            tensor.detach().fill_(torch.nan)
    try:
        with _quiet():
            load = network.load_adapter(
                str(folder), "default", torch_device=str(model.network.device),
                key_mapping=getattr(model.network, "_checkpoint_conversion_mapping", {}),
            )  # fmt: skip
    except Exception as error:
        if given != wanted.keys():
            raise _misnamed(folder, given - wanted.keys(), wanted.keys() - given, given, wanted.keys()) from error
        raise _no_fit(folder, error) from error
    unplaced = {key.replace(".default", "") for key in load.unexpected_keys}  # PEFT puts the adapter's name into names
    lost = {key for key in given - wanted.keys() if key.replace(".default", "") in unplaced}
    # If PEFT itself renamed tensors (those of an older layout), names say nothing and the numbers do.
    empty = set() if given - wanted.keys() else wanted.keys() - given
    if lost or empty or not all(map(_finite, wanted.values())):
        _refuse_broken(folder)
        # Some are computed from what was filled.
        filled = get_peft_model_state_dict(network, save_embedding_layers=False)
        empty |= {key for key, tensor in filled.items() if not _finite(tensor)}
        if lost or empty:
            raise _misnamed(folder, lost, empty, given, wanted.keys())
    return network


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _refuse_broken(folder: Path) -> None:
    broken = sorted(key for key, tensor in load_file(folder / WEIGHTS).items() if not _finite(tensor))
    if broken:
        raise BadInput(
            f"The adapter in {folder} holds weights that are no numbers (in {broken[0]}). Whatever passes through them "
            "means nothing. Save or copy it again."
        )


def _no_fit(folder: Path, error: Exception) -> BadInput:
    return BadInput(
        f"The adapter in {folder} does not fit this base ({_first_line(error)}). On another base it means nothing. "
        f"Load the base that it was trained on. {GROWN}"
    )


def _misnamed(folder: Path, lost: set[str], empty: set[str], given: set[str], wanted: Any) -> BadInput:
    """What is left over in the file, what is left empty in the network, and which wrapper's names these are."""
    parts = []
    if not given:
        parts.append("its file holds no tensors")
    if lost:
        parts.append(f"{len(lost)} of its {len(given)} tensors find no place (such as {min(lost)})")
    if empty:
        parts.append(f"{len(empty)} of {len(wanted)} places get no tensor (such as {min(empty)})")
    prefix = _common(list(wanted))
    advice = next(
        (
            text
            for word, text in WRAPPERS.items()
            if any(f".{word}" in f".{key}" and word not in prefix for key in lost)
        ),
        "Save it whole, from the base that it is to be put on.",
    )
    return BadInput(
        f"The adapter in {folder} does not fit this base: {', and '.join(parts)}. Names are expected to begin with "
        f"{prefix or min(wanted)}. The base, or a part of the adapter, would be measured in its place. {advice}"
    )


def _common(names: list[str]) -> str:
    """What all names begin with, up to the last dot."""
    first, last = min(names, default=""), max(names, default="")
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind(".", 0, same) + 1]


def _check_within(network: Any, again: Any, folder: Path, config: Any) -> None:
    """Refuse an adapter that is not whole in its file, or whose forward is not that of the network inside the wrapper.

    Samplers and taps read what is inside.

    Args:
        network: The adapted network.
        again: The same, built and loaded a second time: what was not kept in the file is drawn anew.
        folder: Where it was loaded from.
        config: Its settings.
    """
    try:
        with _quiet():
            second, (whole, states) = _logprobs(again), _states(network)
            beside = _logprobs(network, rows=2)  # what a wrapper remembers of its last forward is now of other tokens
            alone = _states(network, alone=True)[1]
    except Exception as error:
        raise _unreadable(folder, config, f"does not run as a causal language model ({_first_line(error)})") from error
    near = NEAR if whole.dtype == torch.float32 else NEAR_16
    if not _apart(whole, second) <= near:
        raise _unreadable(
            folder, config, "is other numbers each time: some of them are drawn, and not kept in its file"
        )
    if not _apart(whole, beside) <= near:
        raise _unreadable(folder, config, "gives numbers that depend on what else is in the batch")
    if states.shape != alone.shape or not _apart(states, alone) <= near:
        raise _unreadable(folder, config, "acts outside of the network's layers")
