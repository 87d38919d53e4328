"""Load and save models: local folders, hub ids, LoRA adapters, bundled bases. Safetensors only, no code from files."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate.hooks import remove_hook_from_submodules
from accelerate.utils import get_max_memory
from huggingface_hub.utils import logging
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from superalign.errors import BadInput
from superalign.files import whole_folder
from superalign.models.adapters import load_adapter, merge
from superalign.models.engine_check import check_engine
from superalign.models.model import Model, check_template, render
from superalign.models.model import source as template_source
from superalign.models.subject import read_subject, weights_digest, write_subject
from superalign.models.tokenizer import build_tokenizer
from superalign.models.weights import named_weights, scattered
from superalign.policy_names import bundled, check_folder, is_local
from superalign.prompting import AS_IT_IS, Prompting
from superalign.types import Subject

AUTO = "auto"  # the device of what is spread over several
MARKS = ("<|channel|>", "<|channel>", "[THINK]")  # of thinking, that texts leave out and we do not read
LARGE = 1 << 28  # bytes of weights from which it is asked first whether they fit
DECODERS_TOO = ("bert", "roberta", "electra", "xlm-roberta", "camembert", "data2vec-text", "ernie", "mobilebert", "xlm",
                "roberta-prelayernorm", "roc_bert", "rembert", "megatron-bert", "xmod", "flaubert")  # fmt: skip


def load(
    path_or_id: str | Path,
    *,
    adapter: str | Path | None = None,
    device: str = "cpu",
    memory: int = 0,
    prompting: Prompting = AS_IT_IS,
) -> Model:
    """Load a causal LM with its tokenizer.

    Args:
        path_or_id: A folder with config.json and model.safetensors, or a hub id such as `org/name`.
        adapter: A folder with a LoRA adapter to put on it.
        device: Where it runs; "auto" spreads weights that are too many for one place over the GPUs, the main memory, and the
            disk, from which they are read again at every forward. Such a model is sampled and scored, not trained.
        memory: Bytes of main memory that "auto" may fill; 0 for what is free.
        prompting: A system text, switches of the chat template, or another template.

    Returns:
        The model, in evaluation mode. Weights stored in 16 bits are widened to float32 on a CPU.

    Raises:
        BadInput: If there is no such model, it cannot be read, it is not a causal LM, it has no chat template, or what it
            samples is not what the library's own forward says.
    """
    local = Path(path_or_id).expanduser()
    at_hand = is_local(path_or_id)
    source = str(local) if at_hand else str(path_or_id)
    if at_hand:
        check_folder(local)
    with _quiet_hub():
        config = _config(source)
        _check_causal(source, config)
        own = _tokenizer(source)
        tokenizer = prompted(own, prompting)
        check_template(tokenizer)
        _try_template(source, prompted(own, dataclasses.replace(prompting, system="")))
        if prompting.system:
            _try_template(source, tokenizer, system=prompting.system)
        if not at_hand or sum(p.stat().st_size for p in local.glob("*.safetensors")) > LARGE:
            _check_memory(source, config, device)
        network = _network(source, config, device, memory)
    _check_vocabulary(source, tokenizer, network)
    network.eval()
    subject = read_subject(weights_digest(network), source=local.name if at_hand else source, folder=local)
    subject = dataclasses.replace(subject, config=(*subject.config, *prompting.config))
    model = Model(network=network, tokenizer=tokenizer, subject=subject)
    check_engine(model)
    return model if adapter is None else load_adapter(model, adapter)


def check_device(device: str) -> None:
    """Refuse a device that this machine, or this build of torch, does not have.

    Raises:
        BadInput: In that case.
    """
    kind, _, number = device.partition(":")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}.get(kind, True)
    if not there or (number and kind == "cuda" and int(number) >= torch.cuda.device_count()):
        raise BadInput(
            f"There is no device {device} here, or this build of torch cannot use it. Nothing could be computed there. Leave the "
            "device out, or install torch for it."
        )


def _hub_error(source: str, error: Exception) -> BadInput:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if Path(source).is_dir():
        return BadInput(
            f"{source} could not be loaded ({first}). It is damaged, incomplete, or of an architecture that the installed "
            "transformers does not know; what was not read measures nothing. Copy or save it again."
        )
    cause: BaseException | None = error
    # What Transformers says last is about folders; what went wrong with the network came first.
    while cause is not None:
        first = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        cause = cause.__cause__ or cause.__context__
    return BadInput(
        f"{source} could not be loaded ({first}). Either the name is wrong, the network is off, or a download was "
        "interrupted; an incomplete model measures nothing. Check the name, download it again, or give a local folder."
    )


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """The hub's client writes each of its retries to the screen; its last error is in our message."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _config(source: str) -> Any:
    try:
        raw = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise _hub_error(source, error) from error
    if getattr(raw, "quantization_config", None):
        raise BadInput(
            f"{source} has quantised weights. Training, merging and log-prob checks need plain ones. "
            "Use the 16- or 32-bit version of the model."
        )
    if raw.model_type == "rwkv":
        # Its first forward would halve weights in place, against overflow in float16: a digest or a copy saved after it would
        # be of another model. Without that it computes the same.
        raw.rescale_every = 0
    return raw


def _check_causal(source: str, config: Any) -> None:
    kind = config.model_type
    encoder = kind in DECODERS_TOO and not getattr(config, "is_decoder", False)
    named = [name for name in (config.architectures or []) if name.endswith(("CausalLM", "LMHeadModel"))]
    if (
        kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        or encoder
        or getattr(config, "is_encoder_decoder", False)
        or (config.architectures and not named and kind in ("bert", "roberta", "electra"))
    ):
        raise BadInput(
            f"{source} is a {kind} model, which is not a causal language model. It does not write text from left to right, "
            "so it cannot be sampled or scored here. Give a causal LM (Llama, Qwen, Gemma, Mistral, GPT-2, ...)."
        )


def _tokenizer(source: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"{source} has no tokenizer that can be read ({first}). Text cannot reach the model without one. "
            "Save the tokenizer into the same folder."
        ) from error
    return tokenizer


def prompted(tokenizer: PreTrainedTokenizerBase, prompting: Prompting) -> PreTrainedTokenizerBase:
    """Return a tokenizer whose chat template does what is asked of it; the same where nothing is."""
    own = template_source(tokenizer)
    if not prompting or not (own or prompting.template):
        return tokenizer
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = prompting.put_into(own)
    return changed


def _try_template(source: str, tokenizer: PreTrainedTokenizerBase, *, system: str = "") -> None:
    """Refuse a chat template that fails on a plain question, drops it or the system text, or hides where an answer begins."""
    try:
        one, other = (render(tokenizer, [text])[0] for text in ("1+1", "2+2"))
        if one == other:
            raise ValueError("it leaves the question out")
        mark = next((m for m in MARKS if m in template_source(tokenizer)), "")
        if mark and not one.rstrip().endswith("<channel|>"):
            raise ValueError(f"it parts thinking from answers by {mark}, and only <think> is read here")
        if system.strip() not in one:
            raise ValueError("it leaves the system text out")
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        what, mend = "cannot be used", "Mend `chat_template` in its tokenizer_config.json, switch its thinking off"
        if system:  # without it, it was tried before
            what, mend = "takes no system text", "Leave the system text out"
        raise BadInput(
            f"The chat template of {source} {what} ({first}). What is asked or answered would not be what was meant. {mend}, or "
            "give another: --template FILE."
        ) from error


def _check_memory(source: str, config: Any, device: str) -> None:
    """Refuse weights that do not fit, before they are downloaded or read."""
    if device == AUTO:
        return
    with torch.device("meta"):
        count = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    on_cpu = device == "cpu"
    need = count * (4 if on_cpu else (getattr(config, "dtype", None) or torch.float32).itemsize)
    free = psutil.virtual_memory().available if on_cpu else torch.cuda.mem_get_info(device)[0]
    if need > free:
        raise BadInput(
            f"{source} has {count / 1e9:.1f} billion weights, which take {need / 2**30:.1f} GiB on {device}, and "
            f"{free / 2**30:.1f} GiB are free. Loading it would end this process, or others. Use a machine with more memory, "
            "another device, --device auto (which reads from the disk what does not fit), or a smaller model."
        )


def _network(source: str, config: Any, device: str, memory: int) -> Any:
    dtype = torch.float32 if device == "cpu" or (device == AUTO and not torch.cuda.is_available()) else "auto"
    how: dict[str, Any] = {"config": config, "dtype": dtype, "trust_remote_code": False, "use_safetensors": True}
    if device == AUTO:  # Accelerate fills GPUs first, then the main memory
        how |= {"device_map": AUTO, "max_memory": {**get_max_memory(), **({"cpu": memory} if memory else {})}}
    read: Any = AutoModelForCausalLM.from_pretrained
    try:
        network, info = read(source, **how, output_loading_info=True)
    except Exception as error:
        raise _hub_error(source, error) from error
    if getattr(network, "_hf_peft_config_loaded", False):
        raise BadInput(
            f"{source} holds whole weights and an adapter (adapter_config.json). Transformers puts one on top of the other, "
            "which is neither. Download it, and move adapter_config.json away or load the adapter on its base with adapter=PATH."
        )
    wrong = [*info.get("missing_keys", ()), *(str(k) for k in info.get("mismatched_keys", ()))]
    if wrong:
        raise BadInput(
            f"{source} lacks {len(wrong)} of its weights (such as {sorted(wrong)[0]}). They would be random numbers, and so "
            "would every measurement. Download or save it again."
        )
    broken = [name for name, weight in named_weights(network) if not bool(torch.isfinite(weight).all())]
    if broken:
        raise BadInput(
            f"{source} holds weights that are no numbers (in {broken[0]}). Whatever passes through them means nothing. "
            "Download or save it again."
        )
    if device != AUTO:
        return network.to(device)
    if not scattered(network):  # it fits into one place, where it is as any other
        remove_hook_from_submodules(network)
    if far := _bytes(p for p in network.parameters() if p.device.type == "meta"):
        warnings.warn(
            f"{far / 2**30:.2g} of {_bytes(network.parameters()) / 2**30:.2g} GiB of {source} find no place in memory and are "
            "read from the disk at every forward, which is slow.",
            stacklevel=4,
        )
    return network


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _check_vocabulary(source: str, tokenizer: PreTrainedTokenizerBase, network: Any) -> None:
    highest, rows = max(tokenizer.get_vocab().values(), default=-1), network.get_input_embeddings().weight.shape[0]
    if highest >= rows:
        raise BadInput(
            f"The tokenizer of {source} knows token {highest}, but the model has {rows} embeddings. Some texts could not be "
            "read at all and others would be misread. Use the tokenizer that the model was trained with."
        )
    if tokenizer.eos_token_id is None and network.generation_config.eos_token_id is None:
        raise BadInput(
            f"{source} names no end token. No response would ever end by itself. Set eos_token in its tokenizer_config.json."
        )


def base(size: str, *, seed: int = 0, device: str = "cpu", prompting: Prompting = AS_IT_IS) -> Model:
    """Load a bundled base.

    Args:
        size: "small", "middle" or "large", also with the seed behind it: "middle-1".
        seed: Which of the seeds that ship.
        device: Where it runs.
        prompting: See `load`.

    Returns:
        The model.

    Raises:
        BadInput: If no such base ships.
    """
    return load(bundled(size if "-" in size else f"{size}-{seed}"), device=device, prompting=prompting)


def random_model(seed: int, *, prompting: Prompting = AS_IT_IS) -> Model:
    """Make a causal LM whose weights nobody trained: what a seat is worth when nobody sits in it.

    Example:
        >>> random_model(0).subject.how
        'random weights, seed 0'
    """
    tokenizer = prompted(build_tokenizer(), prompting)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            max_position_embeddings=8192, initializer_range=0.3, tie_word_embeddings=False, bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        network = LlamaForCausalLM(config).eval()
    subject = Subject(
        weights=weights_digest(network), base="", how=f"random weights, seed {seed}", config=prompting.config, seed=seed
    )
    return Model(network=network, tokenizer=tokenizer, subject=subject)


def save(model: Model, path: str | Path, *, half: bool = False) -> Path:
    """Write a model as config, safetensors, tokenizer and subject record.

    Args:
        model: What to write. An adapter is merged into a copy of its base; see `save_adapter` for the adapter alone.
        path: A folder that is empty or does not exist.
        half: Store float16. Values that float16 cannot hold exactly are rounded; loading widens them to float32.

    Returns:
        The folder.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(
            f"{target} is not an empty folder. Two models in one folder would be mixed up. Choose another path."
        )
    plain = merge(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(target) as folder:
        plain.network.save_pretrained(folder)
        if half:
            file = folder / "model.safetensors"
            save_file({k: v.half() for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
        plain.tokenizer.save_pretrained(folder)
        write_subject(plain.subject, folder)
    return target
