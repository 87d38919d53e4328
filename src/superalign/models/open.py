"""From a name to a policy: the one place, for every command and study. What a name means stands in `policy_names`."""

from __future__ import annotations

from pathlib import Path

from superalign.models.adapters import load_adapter
from superalign.models.api import api_policy
from superalign.models.loading import base, check_device, load, random_model
from superalign.models.model import Model
from superalign.models.sampler import Sampling
from superalign.models.vllm import Served, vllm_policy
from superalign.named_models import fetched
from superalign.policy_names import base_of, check_weights, kind_of, seed_in
from superalign.prompting import Prompting, parted, prompted_name


def open(name: str | Path, *, on: str = "", device: str = "cpu", over_api: Sampling | None = None) -> Model | Served:
    """Open a policy by its name.

    Args:
        name: small, middle or large (middle-1: the same with another seed); smollm2, once it was fetched; random:SEED, weights
            that nobody trained; a folder with a model or with a LoRA adapter; a GGUF file; a hub id such as org/name;
            api:PROVIDER/MODEL for one that only answers; vllm: before a folder or a hub id, for an engine that only samples.
            Behind it may stand how it is prompted, see `prompting`.
        on: Name of the base that an adapter is put on; empty for the one that it records.
        device: Where weights lie.
        over_api: How a model behind an API or an engine samples; what has weights samples as usual, see `with_sampling`.

    Returns:
        The policy.

    Raises:
        BadInput: If there is no such policy, or it cannot be opened; what needs no weights to be told is told first.

    Example:
        >>> open("small").subject.digest == base("small").subject.digest
        True
    """
    name = str(name)
    kind = kind_of(name)
    if kind == "api":
        return api_policy(name, sampling=over_api)
    if kind == "vllm":
        bare, prompting = parted(name)
        return vllm_policy(bare, sampling=over_api, prompting=prompting)
    return open_weights(name, on=on, device=device)


def open_weights(name: str | Path, *, on: str = "", device: str = "cpu") -> Model:
    """Open a policy whose weights are needed; see `open`.

    Raises:
        BadInput: As `open`, and for a model behind an API.
    """
    return _opened(*parted(str(name)), on=on, device=device)


def _opened(name: str, prompting: Prompting, *, on: str, device: str) -> Model:
    device = prompting.device or device
    check_device(device)
    match check_weights(name):
        case "bundled":
            return base(name, device=device, prompting=prompting)
        case "named":
            return load(fetched(name), device=device, prompting=prompting)
        case "gguf":
            from superalign.models.gguf import unpacked  # most runs unpack nothing

            return load(unpacked(name), device=device, prompting=prompting)
        case "random":
            return random_model(seed_in(name), prompting=prompting)
        case "adapter":
            folder = Path(name).expanduser()
            beneath = prompted_name(on or base_of(folder), prompting)
            return load_adapter(open_weights(beneath, device=device), folder)
        case _:
            return load(name, device=device, prompting=prompting)
