"""The config.json dialects of decoder-only families.

Each dialect returns the fields of :class:`Dimensions`. Biases and norms change the parameters only;
they are read so that the built model's number of parameters is met to the unit.
"""

from collections.abc import Callable
from typing import Any

from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.fields import Fields

Reading = dict[str, Any]


def llama(
    f: Fields,
    *,
    tied: bool = False,
    attention_bias: bool = False,
    head_dim: int | None = None,
) -> Reading:
    """Read what nearly all decoders share. The keyword arguments are the library's defaults."""
    hidden, heads = f.integer("hidden_size"), f.integer("num_attention_heads")
    width = f.maybe_integer("head_dim") or head_dim or hidden // heads
    bias = f.flag("attention_bias", attention_bias)
    mlp_bias = f.flag("mlp_bias")
    return {
        "kind": "decoder",
        "layers": f.integer("num_hidden_layers"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": f.maybe_integer("num_key_value_heads") or heads,
        "head_dim": width,
        "ffn": f.integer("intermediate_size"),
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", tied),
        "qkv_bias": bias,
        "output_bias": bias,
        "ffn_bias": mlp_bias,
        **_windows(f),
    }


def _windows(f: Fields) -> Reading:
    """Which layers slide: an explicit list, a pattern, or every layer."""
    window = f.maybe_integer("sliding_window", least=0)
    types = f.items("layer_types")
    if not window or f.flag("use_sliding_window", default=True) is False:
        return {}
    if types is not None:
        sliding = sum(kind == "sliding_attention" for kind in types)
        if sliding == 0:
            return {}
        return {"sliding_window": window, "full_attention_layers": len(types) - sliding}
    every = f.maybe_integer("sliding_window_pattern", "_sliding_window_pattern")
    return {"sliding_window": window, "sliding_window_every": every}


def _plain(reading: Reading, *, ffn_bias: bool = False, layer_norm: bool = True) -> Reading:
    """Turn to a feed-forward of two matrices and to LayerNorm."""
    return reading | {
        "ffn_matrices": 2,
        "ffn_bias": ffn_bias,
        "norm_width": 2 if layer_norm else 1,
    }


def _mistral(f: Fields) -> Reading:
    return llama(f)


def _qwen2(f: Fields) -> Reading:
    return _qwen_windows(f, llama(f) | {"qkv_bias": True, "output_bias": False})


def _qwen_windows(f: Fields, reading: Reading) -> Reading:
    """Qwen slides only above ``max_window_layers`` and only when told to."""
    if f.flag("use_sliding_window") and f.items("layer_types") is None:
        full = min(f.integer("max_window_layers", least=0), reading["layers"])
        return reading | {"full_attention_layers": full, "sliding_window_every": None}
    if not f.flag("use_sliding_window"):
        return reading | {"sliding_window": None}
    return reading


def _qwen3(f: Fields) -> Reading:
    return _qwen_windows(f, llama(f, head_dim=128) | {"qk_norm": "head"})


def _sparse_steps(f: Fields, layers: int) -> int:
    """Qwen's dense layers: those listed, and those off the sparse step."""
    listed = {i for i in f.items("mlp_only_layers") or [] if isinstance(i, int)}
    step = f.maybe_integer("decoder_sparse_step") or 1
    return layers - sum((i + 1) % step == 0 and i not in listed for i in range(few_layers(layers)))


def few_layers(layers: int) -> int:
    """Return ``layers`` where a loop over them ends soon.

    Raises:
        DimensionsError: no model has so many.
    """
    if layers > 100_000:
        msg = f"config.json: num_hidden_layers = {layers}\n  no model has so many layers"
        raise DimensionsError(msg)
    return layers


def _experts(f: Fields, reading: Reading, *names: str) -> Reading:
    return reading | {
        "experts": f.integer(*names),
        "experts_per_token": f.integer("num_experts_per_tok"),
        "expert_ffn": f.maybe_integer("moe_intermediate_size") or reading["ffn"],
    }


def _mixtral(f: Fields) -> Reading:
    return _experts(f, llama(f), "num_local_experts", "num_experts")


def _qwen2_moe(f: Fields) -> Reading:
    reading = _experts(f, _qwen2(f), "num_experts", "num_local_experts")
    return reading | {
        "qkv_bias": f.flag("qkv_bias", default=True),
        "shared_expert_ffn": f.integer("shared_expert_intermediate_size", least=0),
        "shared_expert_gate": True,
        "dense_layers": _sparse_steps(f, reading["layers"]),
    }


def _qwen3_moe(f: Fields) -> Reading:
    # Unlike the dense Qwen3, this family's heads are hidden / heads wide unless stated.
    reading = _experts(f, llama(f), "num_experts", "num_local_experts")
    return _qwen_windows(
        f, reading | {"qk_norm": "head", "dense_layers": _sparse_steps(f, reading["layers"])}
    )


def _deepseek(f: Fields) -> Reading:
    """DeepSeek-V2 and V3: latent attention, leading dense layers, shared experts."""
    reading = llama(f)
    reading |= {
        "q_lora_rank": f.maybe_integer("q_lora_rank"),
        "kv_lora_rank": f.integer("kv_lora_rank"),
        "qk_nope_head_dim": f.integer("qk_nope_head_dim"),
        "qk_rope_head_dim": f.integer("qk_rope_head_dim"),
        "v_head_dim": f.integer("v_head_dim"),
        "ffn_bias": False,
    }
    if "n_routed_experts" not in f:
        return reading
    reading = _experts(f, reading, "n_routed_experts")
    # A first_k_dense_replace of this size leaves no mixture at all; 0 is allowed.
    dense = f.maybe_integer("first_k_dense_replace", least=0) or 0
    return reading | {
        "shared_experts": f.maybe_integer("n_shared_experts", least=0) or 0,
        "dense_layers": min(dense, reading["layers"]),
    }


def _glm4_moe(f: Fields) -> Reading:
    reading = _experts(f, llama(f), "n_routed_experts")
    return reading | {
        "shared_experts": f.maybe_integer("n_shared_experts", least=0) or 0,
        "dense_layers": min(f.maybe_integer("first_k_dense_replace", least=0) or 0,
                            reading["layers"]),
        "output_bias": False,
        "qk_norm": "head" if f.flag("use_qk_norm") else "none",
    }  # fmt: skip


def _olmo(f: Fields) -> Reading:
    return llama(f) | {"norm_width": 0}


def _olmo2(f: Fields) -> Reading:
    return llama(f) | {"qk_norm": "width"}


def _olmoe(f: Fields) -> Reading:
    return _experts(f, llama(f), "num_experts") | {"qk_norm": "width"}


def _gemma(f: Fields) -> Reading:
    return llama(f, tied=True, head_dim=256)


def _gemma2(f: Fields) -> Reading:
    reading = _gemma(f) | {"norms_per_layer": 4}
    if "layer_types" not in f and "sliding_window" in reading:
        reading["sliding_window_every"] = 2
    return reading


def _gemma3(f: Fields) -> Reading:
    reading = _gemma(f) | {"norms_per_layer": 4, "qk_norm": "head"}
    if "layer_types" not in f and reading.get("sliding_window_every") is None:
        reading["sliding_window_every"] = 6
    return reading


def _phi3(f: Fields) -> Reading:
    return llama(f)


def _phi(f: Fields) -> Reading:
    # One norm feeds attention and feed-forward side by side; every matrix has a bias.
    reading = _plain(llama(f), ffn_bias=True)
    width = reading["head_dim"]
    return reading | {
        "qkv_bias": True,
        "output_bias": True,
        "head_bias": True,
        "norms_per_layer": 1,
        "qk_norm": "none" if not f.flag("qk_layernorm") else _refuse_qk(width),
    }


def _refuse_qk(_width: int) -> str:
    msg = "config.json: qk_layernorm = true has no closed form in this family; use the traced count"
    raise DimensionsError(msg)


def _phimoe(f: Fields) -> Reading:
    reading = _experts(f, llama(f), "num_local_experts")
    return reading | {"norm_width": 2, "head_bias": f.flag("lm_head_bias")}


def _stablelm(f: Fields) -> Reading:
    if f.flag("qk_layernorm"):
        _refuse_qk(0)
    return llama(f) | {
        "qkv_bias": f.flag("use_qkv_bias"),
        "output_bias": False,
        "norm_width": 2,
        "norms_per_layer": 1 if f.flag("use_parallel_residual") else 2,
    }


def _starcoder2(f: Fields) -> Reading:
    bias = f.flag("use_bias", default=True)
    reading = _plain(llama(f, tied=True), ffn_bias=bias)
    return reading | {"qkv_bias": bias, "output_bias": bias}


def _cohere(f: Fields) -> Reading:
    if f.flag("use_qk_norm"):
        _refuse_qk(0)
    return llama(f, tied=True) | {"norms_per_layer": 1}


def _cohere2(f: Fields) -> Reading:
    reading = llama(f, tied=True) | {"norms_per_layer": 1}
    if "layer_types" not in f and reading.get("sliding_window_every") is None:
        reading["sliding_window_every"] = 4
    return reading


def _granitemoe(f: Fields) -> Reading:
    return _experts(f, llama(f), "num_local_experts")


def _glm(f: Fields) -> Reading:
    return llama(f, attention_bias=True, head_dim=128) | {"output_bias": False}


def _glm4(f: Fields) -> Reading:
    return _glm(f) | {"norms_per_layer": 4}


def _ernie(f: Fields) -> Reading:
    bias = f.flag("use_bias")
    return llama(f, tied=True, head_dim=128) | {
        "qkv_bias": bias,
        "output_bias": bias,
        "ffn_bias": bias,
    }


def _seed_oss(f: Fields) -> Reading:
    return llama(f, attention_bias=True, head_dim=128) | {
        "output_bias": f.flag("attention_out_bias")
    }


def _exaone4(f: Fields) -> Reading:
    return llama(f) | {"qk_norm": "head"}


def _nemotron(f: Fields) -> Reading:
    reading = llama(f)
    return _plain(reading, ffn_bias=reading["ffn_bias"])


def _arcee(f: Fields) -> Reading:
    reading = llama(f)
    return _plain(reading, ffn_bias=reading["ffn_bias"], layer_norm=False)


def _apertus(f: Fields) -> Reading:
    # The activation itself has two trained numbers a layer.
    reading = _plain(llama(f), layer_norm=False)
    return reading | {"qk_norm": "head", "details": {"vectors_per_layer": 2}}


def _gpt_oss(f: Fields) -> Reading:
    reading = _experts(f, llama(f, attention_bias=True, head_dim=64), "num_local_experts")
    if "layer_types" not in f and "sliding_window" in reading:
        reading["sliding_window_every"] = 2
    return reading | {"expert_bias": True, "router_bias": True, "attention_sinks": True}


def _gpt2(f: Fields) -> Reading:
    hidden, heads = f.integer("n_embd", "hidden_size"), f.integer("n_head", "num_attention_heads")
    return {
        "kind": "decoder",
        "layers": f.integer("n_layer", "num_hidden_layers"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": heads,
        "ffn": f.maybe_integer("n_inner") or 4 * hidden,
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "position_rows": f.integer("n_positions", "max_position_embeddings"),
        "norm_width": 2,
        "qkv_bias": True,
        "output_bias": True,
        "ffn_bias": True,
    }


def _gpt_bigcode(f: Fields) -> Reading:
    reading = _gpt2(f)
    if f.flag("multi_query", default=True):
        reading["kv_heads"] = 1
    return reading


def _gpt_neo(f: Fields) -> Reading:
    hidden, layers = f.integer("hidden_size"), f.integer("num_layers", "num_hidden_layers")
    local = sum(kind == "local" for kind in f.items("attention_layers") or [])
    if not f.items("attention_layers"):
        local = _local_layers(f)
    window = {"sliding_window": f.integer("window_size"), "full_attention_layers": layers - local}
    return {
        "kind": "decoder",
        "layers": layers,
        "hidden": hidden,
        "heads": f.integer("num_heads", "num_attention_heads"),
        "ffn": f.maybe_integer("intermediate_size") or 4 * hidden,
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "position_rows": f.integer("max_position_embeddings"),
        "norm_width": 2,
        "output_bias": True,
        "ffn_bias": True,
        **(window if local else {}),
    }


def _local_layers(f: Fields) -> int:
    """GPT-Neo writes its pattern as [[["global", "local"], 12]]."""
    total = 0
    for entry in f.items("attention_types") or [[["global", "local"], 0]]:
        try:
            kinds, repeats = entry
            total += sum(kind == "local" for kind in kinds) * int(repeats)
        except (TypeError, ValueError):
            msg = 'config.json: attention_types is not of the form [[["global", "local"], 12]]'
            raise DimensionsError(msg) from None
    return total


def _gpt_neox(f: Fields) -> Reading:
    reading = _plain(llama(f, attention_bias=True), ffn_bias=True)
    return reading | {"kv_heads": reading["heads"]}


def _gptj(f: Fields) -> Reading:
    # Its attention has no biases, its one norm feeds attention and feed-forward side by side.
    return _gpt2(f) | {
        "position_rows": 0,
        "qkv_bias": False,
        "output_bias": False,
        "head_bias": True,
        "norms_per_layer": 1,
        "tied_embeddings": f.flag("tie_word_embeddings"),
    }


def _opt(f: Fields) -> Reading:
    hidden, bias = f.integer("hidden_size"), f.flag("enable_bias", default=True)
    before = f.flag("do_layer_norm_before", default=True)
    return {
        "kind": "decoder",
        "layers": f.integer("num_hidden_layers"),
        "hidden": hidden,
        "heads": f.integer("num_attention_heads"),
        "ffn": f.integer("ffn_dim"),
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        # The table starts at an offset of two.
        "position_rows": f.integer("max_position_embeddings") + 2,
        "embedding_width": f.maybe_integer("word_embed_proj_dim") or hidden,
        "norm_width": 2 if f.flag("layer_norm_elementwise_affine", default=True) else 0,
        "final_norm": before and not f.flag("_remove_final_layer_norm"),
        "qkv_bias": bias,
        "output_bias": bias,
        "ffn_bias": bias,
    }


def _bloom(f: Fields) -> Reading:
    hidden = f.integer("hidden_size", "n_embed")
    return {
        "kind": "decoder",
        "layers": f.integer("n_layer", "num_hidden_layers"),
        "hidden": hidden,
        "heads": f.integer("n_head", "num_attention_heads"),
        "ffn": 4 * hidden,
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "embedding_norm": True,
        "norm_width": 2,
        "qkv_bias": True,
        "output_bias": True,
        "ffn_bias": True,
    }


def _falcon(f: Fields) -> Reading:
    hidden, heads = f.integer("hidden_size"), f.integer("num_attention_heads", "n_head")
    new = f.flag("new_decoder_architecture")
    kv_heads = heads
    if new:
        kv_heads = f.maybe_integer("num_kv_heads", "n_head_kv") or heads
    elif f.flag("multi_query", default=True):
        kv_heads = 1
    norms = 1 if f.flag("parallel_attn", default=True) else 2
    if new:
        norms = f.maybe_integer("num_ln_in_parallel_attn") or 2
    bias = f.flag("bias")
    return {
        "kind": "decoder",
        "layers": f.integer("num_hidden_layers", "n_layer"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": kv_heads,
        "ffn": f.maybe_integer("ffn_hidden_size") or 4 * hidden,
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "norm_width": 2,
        "norms_per_layer": norms,
        "qkv_bias": bias,
        "output_bias": bias,
        "ffn_bias": bias,
    }


DECODERS: dict[str, Callable[[Fields], Reading]] = {
    "llama": llama,
    "mistral": _mistral,
    "ministral": _mistral,
    "mixtral": _mixtral,
    "qwen2": _qwen2,
    "qwen2_moe": _qwen2_moe,
    "qwen3": _qwen3,
    "qwen3_moe": _qwen3_moe,
    "deepseek_v2": _deepseek,
    "deepseek_v3": _deepseek,
    "glm4_moe": _glm4_moe,
    "olmo": _olmo,
    "olmo2": _olmo2,
    "olmo3": _olmo2,
    "olmoe": _olmoe,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "phi": _phi,
    "phi3": _phi3,
    "phimoe": _phimoe,
    "stablelm": _stablelm,
    "starcoder2": _starcoder2,
    "cohere": _cohere,
    "cohere2": _cohere2,
    "granite": llama,
    "granitemoe": _granitemoe,
    "smollm3": llama,
    "glm": _glm,
    "glm4": _glm4,
    "ernie4_5": _ernie,
    "seed_oss": _seed_oss,
    "exaone4": _exaone4,
    "nemotron": _nemotron,
    "arcee": _arcee,
    "apertus": _apertus,
    "gpt_oss": _gpt_oss,
    "gpt2": _gpt2,
    "gpt_bigcode": _gpt_bigcode,
    "gpt_neo": _gpt_neo,
    "gpt_neox": _gpt_neox,
    "gptj": _gptj,
    "opt": _opt,
    "bloom": _bloom,
    "falcon": _falcon,
}
