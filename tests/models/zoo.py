"""A tiny random network of every causal LM that Transformers maps, from its own default config made small."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

KINDS = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
LARGEST = 3_000_000  # weights of a network that may be called tiny

# What each field of a config becomes. Fields that a type does not have are left out.
SIZES: dict[str, Any] = {
    name: value
    for value, names in (
        (128, "vocab_size decoder_vocab_size vocab_size_per_layer_input"),
        (32, "hidden_size d_model n_embd dim emb_dim n_embed word_embed_proj_dim embedding_size lru_width attention_hidden_size "
             "embed_dim mamba_d_ssm"),
        (4, "num_hidden_layers n_layer n_layers num_layers decoder_layers num_decoder_layers num_attention_heads n_head n_heads "
            "num_heads decoder_attention_heads encoder_attention_heads num_decoder_attention_heads num_encoder_attention_heads "
            "mamba_n_heads n_mamba_heads mamba_num_heads linear_num_value_heads linear_num_heads num_experts n_routed_experts "
            "num_local_experts moe_num_experts n_experts original_num_experts"),
        (2, "num_key_value_heads linear_num_key_heads num_kv_heads decoder_key_value_heads num_experts_per_tok moe_k moe_topk "
            "top_k_experts"),
        (1, "encoder_layers num_encoder_layers num_mem_blocks n_group topk_group mamba_n_groups mamba_ngroups n_groups "
            "moe_num_shared_experts n_shared_experts first_k_dense_replace bos_token_id"),
        (48, "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim n_inner d_inner d_ff dff feed_forward_size "
             "ffn_hidden_size intermediate_size_mlp shared_intermediate_size dense_intermediate_size"),
        (16, "moe_intermediate_size shared_expert_intermediate_size moe_shared_expert_intermediate_size mamba_headdim "
             "expert_ffn_hidden_size mamba_d_head q_lora_rank shared_experts_intermediate_size"),
        (160, "max_position_embeddings n_positions n_ctx max_seq_len max_target_positions context_length seq_length "
              "max_sequence_length max_encoder_position_embeddings"),
        (8, "head_dim kv_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim linear_key_head_dim linear_value_head_dim "
            "mamba_head_dim ssm_state_size mamba_d_state state_size chunk_size mamba_chunk_size sliding_window block_size d_kv "
            "index_head_dim attention_window_size linear_head_dim global_head_dim mamba_dt_rank hidden_size_per_layer_input"),
    )
    for name in names.split()
} | {"eos_token_id": 2, "pad_token_id": 0, "is_decoder": True, "is_encoder_decoder": False}  # fmt: skip
LISTS = ("layer_types", "mlp_layer_types", "layers_block_type", "block_types")  # one entry for each layer

_HEADS = {"num_key_value_heads": 4}  # latent attention has one key for each query
_TWICE = ["sliding_attention", "full_attention"] * 2
# Types whose fields depend on one another, or whose default has too few kinds of layers.
EXCEPTIONS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        "axk1 axk2 bailing_hybrid deepseek_v2 deepseek_v3 deepseek_v32 glm4_moe_lite glm_moe_dsa kimi_linear minicpm3 youtu "
        "longcat_flash".split(), _HEADS,
    ),
    "bamba": {"attn_layer_indices": [1, 3]},
    "codegen": {"n_embd": 64, "rotary_dim": 8},
    "falcon_h1": {"mamba_n_heads": 4, "mamba_d_head": 8},
    "gemma3n_text": {"num_kv_shared_layers": 0, "layer_types": _TWICE, "intermediate_size": [48] * 4,
                     "activation_sparsity_pattern": [0.0] * 4, "laurel_rank": 4},
    "gemma4_text": {"num_kv_shared_layers": 0},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 8},
    "gptj": {"rotary_dim": 8},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8},
    "minimax": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "nemotron_h": {"hybrid_override_pattern": "M*M-"},
    "reformer": {"axial_pos_embds_dim": (8, 24), "axial_pos_shape": (8, 20), "attn_layers": ["local", "lsh"] * 2,
                 "local_attn_chunk_length": 8, "lsh_attn_chunk_length": 8, "num_buckets": 4, "attention_head_size": 8},
    "roc_bert": {"pronunciation_vocab_size": 8, "shape_vocab_size": 8, "pronunciation_embed_dim": 8, "shape_embed_dim": 8},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "zamba": {"n_mamba_heads": 2, "attention_hidden_size": 64, "attention_head_dim": 16, "attn_layer_period": 2,
              "attn_layer_offset": 1},
    "zamba2": {"attention_hidden_size": 64, "layers_block_type": ["mamba", "hybrid", "mamba", "mamba"], "hybrid_layer_ids": [1]},
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip


def config_of(kind: str) -> Any:
    """The type's default config with every size made small, and four layers of all its sorts."""
    make, given = CONFIG_MAPPING[kind], EXCEPTIONS.get(kind, {})
    usual = make()
    fields = {*usual.to_dict(), *getattr(usual, "attribute_map", {})} - set(given)
    small = {name: value for name, value in SIZES.items() if name in fields}
    lists = {} if set(LISTS) & set(given) else {n: v for n in LISTS if (v := getattr(usual, n, None)) is not None}
    short = {name: (list(dict.fromkeys(v)) * 4)[:4] for name, v in lists.items()}
    try:
        return make(**small, **short, **given)
    except Exception:  # its list of layers follows from other fields
        return make(**small, **given)


def network_of(kind: str, *, noise: float = 0.1) -> Any:
    """A network whose every parameter is random, so that no weight can be left out unnoticed.

    Raises:
        ValueError: If the type has no tiny network.
    """
    config = config_of(kind)
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if size > LARGEST:
        raise ValueError(f"its smallest network has {size / 1e6:.0f} million weights")
    torch.manual_seed(0)
    network: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(noise * torch.randn(parameter.shape, generator=generator))
        network.eval()(input_ids=torch.arange(5, 12)[None], use_cache=False)
    return network
