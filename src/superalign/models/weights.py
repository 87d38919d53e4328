"""Read the weights of a Hugging Face network into the layout of `decoder`, live (with gradients) or as a snapshot.

The weights of a small network are copied into the fastest layout; those of a large one, and 16-bit ones, which a gain
that is multiplied in would round again, are read where they lie. LoRA adapters are merged on the way, or (in a large
network that is trained) left beside their matrices, so that one forward serves full and adapted networks. What this
file does not know (another architecture, float16, a rope that changes with length, an adapter with dropout) has no
decoder: the caller then runs the network's own forward.

Shape suffixes: D width, V vocabulary, T positions, K width of one head.
"""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from superalign.models.decoder import Activation, Decoder, Layer, Linear, Norm

FAMILIES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "llama",
    "Qwen3ForCausalLM": "llama",
    "Gemma3ForCausalLM": "llama",
    "GPT2LMHeadModel": "gpt2",
    "GPTNeoXForCausalLM": "neox",
}
STATIC_ROPE = ("default", "linear", "llama3", "yarn")
LARGE = 10_000_000  # parameters from which copying weights takes longer than it saves
COPIED_UP_TO = 200_000_000  # parameters; above, a second copy of the weights costs more than it saves


def plain(network: nn.Module) -> Any:
    """Return the causal LM inside a PEFT wrapper, or the network itself. Its linear layers may still hold adapters."""
    inner = getattr(network, "get_base_model", None)
    return network if inner is None else inner()


def beside(network: Any, shared: Iterable[nn.Parameter]) -> Any:
    """Copy a network that goes on sharing the memory of some weights with the copy: neither may change these in place."""
    memo: dict[int, Any] = {id(p): nn.Parameter(p.detach(), requires_grad=p.requires_grad) for p in shared}
    return copy.deepcopy(network, memo)


def has_adapter(network: Any) -> bool:
    """Say whether PEFT is around a network. Where PEFT was never imported, it is not: importing it to ask takes seconds."""
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(network, peft.PeftModel)


def scattered(network: nn.Module) -> bool:
    """Say whether weights lie in more than one place, or on the disk ("meta"), as the device "auto" spreads them."""
    return len({p.device for p in network.parameters()}) > 1


def named_weights(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Read every weight and buffer that is saved, one after the other in order of name, also what lies on the disk."""
    for name, tensor in sorted(network.state_dict(keep_vars=True).items()):
        if tensor.device.type == "meta":
            from accelerate.utils import align_module_device  # most networks have nothing on the disk

            module = network.get_submodule(name.rpartition(".")[0])
            with align_module_device(module, execution_device=torch.device("cpu")):
                yield name, getattr(module, name.rpartition(".")[2]).detach()
        else:
            yield name, tensor.detach()


def supported(network: nn.Module) -> bool:
    """Say whether `read` knows this network."""
    inner = plain(network)
    if FAMILIES.get(type(inner).__name__) is None:
        return False
    wrapper: Any = network
    if has_adapter(network) and wrapper.active_peft_config.is_prompt_learning:  # it acts outside of `inner`
        return False
    config = inner.config
    # An adapter in 32 bits may lie beside matrices in 16 of which none is cut up after it is read.
    apart = FAMILIES[type(inner).__name__] == "llama" and _halved(inner)
    parameters = [p for n, p in inner.named_parameters() if not (apart and ".lora_" in n)]
    if any(p.dtype != parameters[0].dtype or p.device != parameters[0].device for p in parameters):
        return False
    if parameters[0].dtype != torch.float32 and not _halved(inner):
        return False
    if sum(p.numel() for p in parameters) > COPIED_UP_TO or getattr(config, "add_cross_attention", False):
        return False
    ropes = _rope_settings(config)
    if any(rope.get("rope_type", "default") not in STATIC_ROPE for rope in ropes):
        return False
    soft_caps = [getattr(config, name, None) for name in ("attn_logit_softcapping", "final_logit_softcapping")]
    if any(cap is not None for cap in soft_caps) or getattr(config, "use_bidirectional_attention", False):
        return False
    return all(_simple(module) for module in inner.modules())


def _halved(inner: Any) -> bool:
    """Whether these are 16-bit weights on a CPU; elsewhere the network's own kernels are the faster ones."""
    first = next(iter(inner.parameters()))
    return first.dtype == torch.bfloat16 and first.device.type == "cpu"


def large(network: nn.Module) -> bool:
    """Say whether a token costs so much that sparing tokens and memory matters more than sparing calls."""
    return sum(p.numel() for p in plain(network).parameters()) >= LARGE


def _rope_settings(config: Any) -> list[dict[str, Any]]:
    settings = getattr(config, "rope_parameters", None)
    if not settings:
        return []
    nested = [value for value in settings.values() if isinstance(value, dict)]
    return nested or [settings]


def _simple(module: Any) -> bool:
    """Whether this is no part of PEFT, or a linear layer whose update is one plain low-rank product."""
    if not type(module).__module__.startswith("peft."):
        return True
    from peft.tuners.lora.layer import Linear as LoraLinear

    # Whatever else PEFT puts into a network (another class, a variant of the layer, a bias of its own) computes differently.
    if type(module) is not LoraLinear or type(module.base_layer) not in (nn.Linear, Conv1D):
        return False
    if module.lora_variant or any(module.lora_bias.values()):
        return False
    drops = (module.lora_dropout[name] for name in module.active_adapters if name in module.lora_dropout)
    return not any(isinstance(drop, nn.Dropout) and drop.p > 0 for drop in drops)


def matrix(module: Any, *, apart: bool = False, copied: bool = True) -> Linear:
    """Return a linear layer's effective matrix as (in, out), and its bias.

    Args:
        module: The layer, with or without LoRA.
        apart: Leave updates beside the matrix as the two factors that they are, and do not merge them.
        copied: Merge into the layout (in, out), not into that of the layer.
    """
    base = module.base_layer if hasattr(module, "base_layer") else module
    weight = base.weight if isinstance(base, Conv1D) else base.weight.t()
    if base is module or module.disable_adapters or module.merged:
        return Linear(weight=weight, bias=base.bias)
    names = [name for name in module.active_adapters if name in module.lora_A]
    factors = [(module.lora_A[n].weight.t(), module.lora_B[n].weight.t(), module.scaling[n]) for n in names]
    if factors and (apart or factors[0][0].dtype != weight.dtype):  # in 16 bits most of an update would be lost
        down, up = torch.cat([a for a, _, _ in factors], dim=1), torch.cat([b * scale for _, b, scale in factors])
        return Linear(weight=weight, bias=base.bias, low=(down, up))
    for down, up, scale in factors:  # (in, rank) @ (rank, out)
        weight = weight + (down @ up) * scale if copied else torch.addmm(weight.t(), up.t(), down.t(), alpha=scale).t()
    return Linear(weight=weight, bias=base.bias)


def read(network: nn.Module, *, length: int, live: bool = False) -> Decoder:
    """Read a supported network.

    Args:
        network: A causal LM for which `supported` holds.
        length: Positions that will be needed.
        live: Keep the graph back to the parameters; else take a detached reading, for a small network a copy.

    Returns:
        The decoder.
    """
    inner = plain(network)
    family = FAMILIES[type(inner).__name__]
    copied = not large(inner) and not _halved(inner)
    with torch.set_grad_enabled(live and torch.is_grad_enabled()):
        decoder = {"llama": _llama, "gpt2": _gpt2, "neox": _neox}[family](inner, length, copied)
    return decoder


def _reader(copied: bool) -> Callable[[Any], Linear]:
    """How the layers of a network are read: in a large one that is trained, adapters are left apart."""
    return functools.partial(matrix, apart=not copied and torch.is_grad_enabled(), copied=copied)


def _fold(part: Linear, copied: bool, gain: Tensor | None = None) -> Linear:
    """Put the gain of the norm before a matrix into its rows, where the matrix is copied."""
    weight, bias = part.weight, part.bias
    if gain is not None and copied:
        weight = weight * gain.unsqueeze(1)
    if copied and not torch.is_grad_enabled():
        weight = weight.contiguous()
    return Linear(weight=weight, bias=None if bias is None else bias.float(), low=part.low)


def _fuse(parts: Sequence[Linear], copied: bool, gain: Tensor | None, order: Tensor | None, scale: float) -> Linear:
    """Join query, key and value matrices; queries and keys reordered into rotary pairs, queries scaled."""
    scales = (scale, 1.0, 1.0)
    queries, keys, values = parts
    joined = [queries.weight * scale, keys.weight, values.weight]
    # Where matrices are read as they lie, these keep the layout of the others.
    weight = torch.cat(joined, dim=1) if copied else torch.cat([part.t() for part in joined]).t()
    bias = None
    if queries.bias is not None:
        bias = torch.cat([p.bias * s for p, s in zip(parts, scales, strict=True) if p.bias is not None])
    low = _join_low(parts, scales)
    if order is not None:
        whole = torch.arange(weight.shape[1], device=weight.device)
        whole[: len(order)] = order
        assert len(order) == queries.weight.shape[1] + keys.weight.shape[1]
        weight, bias = weight[:, whole] if copied else weight.t()[whole].t(), None if bias is None else bias[whole]
        low = None if low is None else (low[0], low[1][:, whole])
    return _fold(Linear(weight=weight, bias=bias, low=low), copied, gain)


def _join_low(parts: Sequence[Linear], scales: Sequence[float]) -> tuple[Tensor, Tensor] | None:
    """The updates of matrices that are joined, each beside its own outputs only."""
    size = [part.weight.shape[1] for part in parts]
    updates = [(i, part.low) for i, part in enumerate(parts) if part.low is not None]
    if not updates:
        return None
    wide = [torch.nn.functional.pad(up * scales[i], (sum(size[:i]), sum(size[i + 1 :]))) for i, (_, up) in updates]
    return torch.cat([down for _, (down, _) in updates], dim=1), torch.cat(wide)


def _pair_order(heads: int, width: int, turned: int, device: torch.device) -> Tensor:
    """Order of outputs that puts the two halves of each rotary pair side by side, head by head."""
    half = turned // 2
    pairs = torch.stack([torch.arange(half), torch.arange(half) + half], dim=1).flatten()
    one = torch.cat([pairs, torch.arange(turned, width)])
    return (torch.arange(heads)[:, None] * width + one).flatten().to(device)


def _table(rotary: nn.Module, prefix: str, length: int, width: int) -> Tensor:
    """Rotations (T, K / 2) as unit complex numbers; dimensions without rotation stay at 1."""
    frequency = getattr(rotary, f"{prefix}inv_freq").float()
    scaling = float(getattr(rotary, f"{prefix}attention_scaling"))
    angle = torch.arange(length, device=frequency.device, dtype=torch.float32)[:, None] * frequency
    turn = torch.polar(torch.full_like(angle, scaling), angle)
    rest = torch.ones(length, width // 2 - turn.shape[1], dtype=turn.dtype, device=turn.device)
    return torch.cat([turn, rest], dim=1)


def _silu(x: Tensor) -> Tensor:
    """In place where no gradient needs what went in: it is a product of ours, which nobody else reads."""
    return torch.nn.functional.silu(x, inplace=not torch.is_grad_enabled())


def _activation(module: nn.Module) -> Activation:
    """The layer's own activation, as the fast kernel where there is one."""
    name = type(module).__name__
    if name in ("SiLU", "SiLUActivation"):
        return _silu
    if name in ("NewGELUActivation", "PytorchGELUTanh", "GELUTanh", "FastGELUActivation"):
        return lambda x: torch.nn.functional.gelu(x, approximate="tanh")
    return module


def _llama(network: Any, length: int, copied: bool) -> Decoder:
    """Llama, Mistral, Qwen and Gemma 3: RMS norms, rotary positions, gated MLP."""
    config, model = network.config, network.model
    first = model.layers[0].self_attn
    width, root = first.head_dim, config.hidden_size**0.5
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    plus_one = 1.0 if type(network).__name__.startswith("Gemma") else 0.0
    scale = first.scaling
    device = model.embed_tokens.weight.device
    order = _pair_order(heads + kv_heads, width, width, device)
    kinds: Sequence[str] = sorted(set(config.layer_types)) if hasattr(model.rotary_emb, "layer_types") else [""]
    tables = tuple(_table(model.rotary_emb, f"{kind}_" if kind else "", length, width) for kind in kinds)

    def gain(norm: Any, size: float) -> Tensor:
        return (norm.weight.float() + plus_one) * size

    floor = torch.tensor(config.rms_norm_eps * config.hidden_size, device=device)

    def before(weight: Tensor) -> Norm:
        return Norm(floor=floor, eps=config.rms_norm_eps, gain=None if copied else weight)

    part = _reader(copied)
    layers = []
    for index, block in enumerate(model.layers):
        attention, mlp = block.self_attn, block.mlp
        attention_gain = gain(block.input_layernorm, root)
        sandwich = hasattr(block, "pre_feedforward_layernorm")
        mlp_norm = block.pre_feedforward_layernorm if sandwich else block.post_attention_layernorm
        mlp_gain = gain(mlp_norm, root)
        headed = hasattr(attention, "q_norm")
        types = getattr(config, "layer_types", None)
        sliding = types is None or types[index] == "sliding_attention"
        window = (getattr(config, "sliding_window", None) or 0) if sliding else 0
        head_gain = None
        if headed:
            q_gain, k_gain = gain(attention.q_norm, scale * width**0.5), gain(attention.k_norm, width**0.5)
            pairs = order[:width]
            head_gain = torch.cat([q_gain[pairs].expand(heads, -1), k_gain[pairs].expand(kv_heads, -1)])
        qkv = [part(module) for module in (attention.q_proj, attention.k_proj, attention.v_proj)]
        layers.append(
            Layer(
                norm=before(attention_gain),
                qkv=_fuse(qkv, copied, attention_gain, order, 1.0 if headed else scale),
                head_gain=head_gain,
                head_floor=torch.tensor(config.rms_norm_eps * width, device=device),
                out=_fold(part(attention.o_proj), copied),
                out_gain=gain(block.post_attention_layernorm, root) if sandwich else None,
                mlp_norm=before(mlp_gain),
                gate=_fold(part(mlp.gate_proj), copied, mlp_gain),
                up=_fold(part(mlp.up_proj), copied, mlp_gain),
                down=_fold(part(mlp.down_proj), copied),
                down_gain=gain(block.post_feedforward_layernorm, root) if sandwich else None,
                act=_activation(mlp.act_fn),
                parallel=False,
                rope=kinds.index(types[index]) if types is not None and len(kinds[0]) else 0,
                window=window,
            )
        )
    embed_VD = model.embed_tokens.weight
    if hasattr(model.embed_tokens, "embed_scale"):
        embed_VD = embed_VD * model.embed_tokens.embed_scale
    return Decoder(
        embed_VD=embed_VD,
        positions_TD=None,
        tables=tables,
        layers=tuple(layers),
        norm=before(gain(model.norm, root)),
        head=_fold(part(network.lm_head), copied, gain(model.norm, root)),
        heads=heads,
        kv_heads=kv_heads,
        head_width=width,
    )


def _layer_norm(module: Any) -> Norm:
    floor = torch.zeros((), device=module.weight.device)
    bias = None if module.bias is None else module.bias.float()
    return Norm(floor=floor, eps=module.eps, weight=module.weight.float(), bias=bias)


def _gpt2(network: Any, length: int, copied: bool) -> Decoder:
    """GPT-2: layer norms, learned positions, plain MLP."""
    config, model = network.config, network.transformer
    heads, D = config.num_attention_heads, config.hidden_size
    part = _reader(copied)
    layers = []
    for block in model.h:
        joined = matrix(block.attn.c_attn, copied=copied)
        biases = (None,) * 3 if joined.bias is None else joined.bias.split(D)
        qkv = [Linear(weight=w, bias=b) for w, b in zip(joined.weight.split(D, dim=1), biases, strict=True)]
        layers.append(
            Layer(
                norm=_layer_norm(block.ln_1),
                qkv=_fuse(qkv, copied, None, None, block.attn.scaling),
                head_gain=None,
                head_floor=torch.zeros(()),
                out=_fold(part(block.attn.c_proj), copied),
                out_gain=None,
                mlp_norm=_layer_norm(block.ln_2),
                gate=None,
                up=_fold(part(block.mlp.c_fc), copied),
                down=_fold(part(block.mlp.c_proj), copied),
                down_gain=None,
                act=_activation(block.mlp.act),
                parallel=False,
                rope=-1,
                window=0,
            )
        )
    return Decoder(
        embed_VD=model.wte.weight,
        positions_TD=model.wpe.weight[:length],
        tables=(),
        layers=tuple(layers),
        norm=_layer_norm(model.ln_f),
        head=_fold(part(network.lm_head), copied),
        heads=heads,
        kv_heads=heads,
        head_width=D // heads,
    )


def _neox(network: Any, length: int, copied: bool) -> Decoder:
    """GPT-NeoX: layer norms, partly rotary positions, attention and MLP side by side."""
    config, model = network.config, network.gpt_neox
    heads, D = config.num_attention_heads, config.hidden_size
    width = D // heads
    device = model.embed_in.weight.device
    order = _pair_order(2 * heads, width, model.layers[0].attention.rotary_ndims, device)
    table = _table(model.rotary_emb, "", length, width)
    part = _reader(copied)
    layers = []
    for block in model.layers:
        attention = block.attention
        joined = matrix(attention.query_key_value, copied=copied)
        # The fused matrix holds query, key and value of one head after the other.
        three = [w.reshape(D, D) for w in joined.weight.reshape(D, heads, 3, width).unbind(2)]
        biases = (
            (None,) * 3
            if joined.bias is None
            else [b.reshape(D) for b in joined.bias.reshape(heads, 3, width).unbind(1)]
        )
        qkv = [Linear(weight=w, bias=b) for w, b in zip(three, biases, strict=True)]
        layers.append(
            Layer(
                norm=_layer_norm(block.input_layernorm),
                qkv=_fuse(qkv, copied, None, order, attention.scaling),
                head_gain=None,
                head_floor=torch.zeros(()),
                out=_fold(part(attention.dense), copied),
                out_gain=None,
                mlp_norm=_layer_norm(block.post_attention_layernorm),
                gate=None,
                up=_fold(part(block.mlp.dense_h_to_4h), copied),
                down=_fold(part(block.mlp.dense_4h_to_h), copied),
                down_gain=None,
                act=_activation(block.mlp.act),
                parallel=config.use_parallel_residual,
                rope=0,
                window=0,
            )
        )
    return Decoder(
        embed_VD=model.embed_in.weight,
        positions_TD=None,
        tables=(table,),
        layers=tuple(layers),
        norm=_layer_norm(model.final_layer_norm),
        head=_fold(part(network.get_output_embeddings()), copied),
        heads=heads,
        kv_heads=heads,
        head_width=width,
    )
