"""The config.json dialects of decoders with routed experts."""

from collections.abc import Callable

from flopcount.closed_form.dialects_common import (
    Reading,
    experts,
    few_layers,
    fine_experts,
    leading_dense,
    llama,
    qwen_windows,
)
from flopcount.closed_form.dialects_decoder import qwen2
from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.fields import Fields


def _sparse_steps(f: Fields, layers: int) -> int:
    """Qwen's dense layers: those listed, and those off the sparse step."""
    listed = {i for i in f.items("mlp_only_layers") or [] if isinstance(i, int)}
    step = f.maybe_integer("decoder_sparse_step") or 1
    return layers - sum((i + 1) % step == 0 and i not in listed for i in range(few_layers(layers)))


def _mixtral(f: Fields) -> Reading:
    return experts(f, llama(f), "num_local_experts", "num_experts")


def _qwen2_moe(f: Fields) -> Reading:
    reading = fine_experts(f, qwen2(f), "num_experts", "num_local_experts")
    return reading | {
        "qkv_bias": f.flag("qkv_bias", default=True),
        "shared_expert_ffn": f.integer("shared_expert_intermediate_size", least=0),
        "shared_expert_gate": True,
        "dense_layers": _sparse_steps(f, reading["layers"]),
    }


def _qwen3_moe(f: Fields) -> Reading:
    # Unlike the dense Qwen3, this family's heads are hidden / heads wide unless stated.
    reading = fine_experts(f, llama(f), "num_experts", "num_local_experts")
    return qwen_windows(
        f, reading | {"qk_norm": "head", "dense_layers": _sparse_steps(f, reading["layers"])}
    )


def deepseek(f: Fields) -> Reading:
    """DeepSeek-V2 and V3: latent attention, leading dense layers, shared experts."""
    reading = llama(f)
    reading |= {
        "q_lora_rank": f.maybe_integer("q_lora_rank"),
        "kv_lora_rank": f.integer("kv_lora_rank"),
        "qk_nope_head_dim": f.integer("qk_nope_head_dim"),
        "qk_rope_head_dim": f.integer("qk_rope_head_dim"),
        "v_head_dim": f.integer("v_head_dim"),
        "ffn_bias": f.text("model_type") == "deepseek_v2" and f.flag("mlp_bias"),
    }
    if "n_routed_experts" not in f:
        return reading
    reading = fine_experts(f, reading, "n_routed_experts")
    return reading | {
        "shared_experts": f.maybe_integer("n_shared_experts", least=0) or 0,
        "dense_layers": leading_dense(f, reading),
    }


def _glm4_moe(f: Fields) -> Reading:
    reading = fine_experts(f, llama(f), "n_routed_experts")
    return reading | {
        "shared_experts": f.maybe_integer("n_shared_experts", least=0) or 0,
        "dense_layers": leading_dense(f, reading),
        "output_bias": False,
        "qk_norm": "head" if f.flag("use_qk_norm") else "none",
    }


def _olmoe(f: Fields) -> Reading:
    return experts(f, llama(f), "num_experts") | {"qk_norm": "width"}


def _phimoe(f: Fields) -> Reading:
    reading = experts(f, llama(f), "num_local_experts")
    if reading["experts_per_token"] != 2:  # its router chooses twice, whatever the file states
        msg = f"config.json: num_experts_per_tok = {reading['experts_per_token']}"
        raise DimensionsError(f"{msg}: the router of 'phimoe' chooses two\n  use the traced count")
    return reading | {"norm_width": 2, "head_bias": f.flag("lm_head_bias")}


def _granitemoe(f: Fields) -> Reading:
    return experts(f, llama(f), "num_local_experts")


def _dots1(f: Fields) -> Reading:
    reading = fine_experts(f, llama(f), "n_routed_experts")
    if "layer_types" not in f and "sliding_window" in reading:
        full = f.integer("max_window_layers", least=0)
        reading["full_attention_layers"] = min(full, reading["layers"])
    return reading | {
        "shared_experts": f.integer("n_shared_experts", least=0),
        "dense_layers": leading_dense(f, reading),
        "qk_norm": "head",
    }


def _minimax_m2(f: Fields) -> Reading:
    return experts(f, llama(f), "num_local_experts") | {"qk_norm": "width"}


def _dbrx(f: Fields) -> Reading:
    """DBRX nests what attention and its experts need; its norms have no biases."""
    attention, mixture = f.nested("attn_config"), f.nested("ffn_config")
    heads, width = f.integer("n_heads"), mixture.integer("ffn_hidden_size")
    return {
        "kind": "decoder",
        "layers": f.integer("n_layers"),
        "hidden": f.integer("d_model"),
        "heads": heads,
        "kv_heads": attention.maybe_integer("kv_n_heads") or heads,
        "ffn": width,
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "experts": mixture.integer("moe_num_experts"),
        "experts_per_token": mixture.integer("moe_top_k"),
        "expert_ffn": width,
    }


def _gpt_oss(f: Fields) -> Reading:
    reading = experts(f, llama(f, attention_bias=True, head_dim=64), "num_local_experts")
    if "layer_types" not in f and "sliding_window" in reading:
        reading["sliding_window_every"] = 2
    return reading | {"expert_bias": True, "router_bias": True, "attention_sinks": True}


MIXTURES: dict[str, Callable[[Fields], Reading]] = {
    "mixtral": _mixtral,
    "qwen2_moe": _qwen2_moe,
    "qwen3_moe": _qwen3_moe,
    "deepseek_v2": deepseek,
    "deepseek_v3": deepseek,
    "dbrx": _dbrx,
    "dots1": _dots1,
    "glm4_moe": _glm4_moe,
    "minimax_m2": _minimax_m2,
    "olmoe": _olmoe,
    "phimoe": _phimoe,
    "granitemoe": _granitemoe,
    "gpt_oss": _gpt_oss,
}
