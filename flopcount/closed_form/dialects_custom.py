"""The config.json dialects of families whose code comes with their weights.

That code is never run, so the closed form is the count. Each reader follows the family's published
code; tests rewrite that code in a few lines, trace it, and ask for equality term by term.
"""

from collections.abc import Callable

from flopcount.closed_form.dialects_common import (
    Reading,
    experts,
    few_layers,
    fine_experts,
    leading_dense,
    llama,
    plain,
)
from flopcount.closed_form.dialects_experts import deepseek
from flopcount.closed_form.dialects_gpt import gpt2
from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.fields import Fields


def _internlm(f: Fields) -> Reading:
    """The first InternLM: one switch for the biases of attention, a key for every head."""
    reading, bias = llama(f), f.flag("bias", default=True)
    if reading["kv_heads"] != reading["heads"]:
        msg = (
            f"config.json: num_key_value_heads = {reading['kv_heads']}: the code of 'internlm' "
            "shares no keys\n  use model_type internlm2, or state the dimensions"
        )
        raise DimensionsError(msg)
    return reading | {"qkv_bias": bias, "output_bias": bias}


def _internlm2(f: Fields) -> Reading:
    bias = f.flag("bias")
    return llama(f) | {"qkv_bias": bias, "output_bias": bias}


def _qwen(f: Fields) -> Reading:
    """The first Qwen states both halves of its gated layer as one width."""
    return {
        "kind": "decoder",
        "layers": f.integer("num_hidden_layers"),
        "hidden": f.integer("hidden_size"),
        "heads": f.integer("num_attention_heads"),
        "head_dim": f.maybe_integer("kv_channels"),
        "ffn": f.integer("intermediate_size") // 2,
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "qkv_bias": True,
        "output_bias": not f.flag("no_bias", default=True),
        "ffn_bias": not f.flag("no_bias", default=True),
    }


def _chatglm(f: Fields) -> Reading:
    """ChatGLM 2 and 3 and GLM-4; the first ChatGLM states no ``ffn_hidden_size``."""
    heads, bias = f.integer("num_attention_heads"), f.flag("add_bias_linear")
    shared = f.integer("multi_query_group_num") if f.flag("multi_query_attention") else heads
    return {
        "kind": "decoder",
        "layers": f.integer("num_layers"),
        "hidden": f.integer("hidden_size"),
        "heads": heads,
        "kv_heads": shared,
        "head_dim": f.integer("kv_channels"),
        "ffn": f.integer("ffn_hidden_size"),
        "ffn_matrices": 3,
        "vocabulary": f.integer("padded_vocab_size", "vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "norm_width": 1 if f.flag("rmsnorm", default=True) else 2,
        "final_norm": f.flag("post_layer_norm", default=True),
        "qkv_bias": bias or f.flag("add_qkv_bias"),
        "output_bias": bias,
        "ffn_bias": bias,
    }


def _minicpm(f: Fields) -> Reading:
    reading = llama(f, tied=True)
    if "num_experts" in f:
        reading = experts(f, reading, "num_experts")
    return reading


def _deepseek_moe(f: Fields) -> Reading:
    """DeepSeek-MoE, before latent attention: a Llama with fine-grained and shared experts."""
    reading = llama(f)
    if "n_routed_experts" not in f:
        return reading
    if (f.maybe_integer("moe_layer_freq") or 1) != 1:
        raise DimensionsError("config.json: moe_layer_freq above 1 has no closed form here")
    return fine_experts(f, reading, "n_routed_experts") | {
        "shared_experts": f.maybe_integer("n_shared_experts", least=0) or 0,
        "dense_layers": leading_dense(f, reading),
    }


def bailing(f: Fields) -> Reading:
    """Ling 1 and 2: experts after the first dense layers, shared ones beside them.

    ``use_bias`` is the bias of the attention's output alone.
    """
    reading = fine_experts(f, llama(f), "num_experts")
    shared = f.maybe_integer("num_shared_experts", least=0) or 0
    width = f.maybe_integer("moe_shared_expert_intermediate_size") or reading["expert_ffn"]
    return reading | {
        "shared_expert_ffn": shared * width,
        "dense_layers": leading_dense(f, reading),
        "qkv_bias": f.flag("use_qkv_bias"),
        "output_bias": f.flag("use_bias", default=True),
        "qk_norm": "head" if f.flag("use_qk_norm") else "none",
    }


def _grok(f: Fields) -> Reading:
    """Grok-1: norms before and after each of both parts of a layer."""
    reading = llama(f, tied=True) | {"norms_per_layer": 4}
    if f.integer("num_experts", "num_local_experts") == 1:
        return reading
    return experts(f, reading, "num_experts", "num_local_experts")


def _arctic(f: Fields) -> Reading:
    """Snowflake's Arctic: beside the experts of a layer stands a feed-forward as wide as the model.

    Every ``moe_layer_frequency``-th layer is such a mixture, the others have one plain feed-forward.
    Capacity factors drop choices where an expert is full; here every choice counts.
    """
    reading = experts(f, llama(f), "num_local_experts")
    every = f.maybe_integer("moe_layer_frequency") or 2
    beside = f.flag("parallel_attn_mlp_res")
    if every != 1 and beside:
        msg = f"config.json: moe_layer_frequency = {every} beside parallel_attn_mlp_res"
        raise DimensionsError(f"{msg} has no closed form here")
    note = "capacity factors may drop choices of the router; every choice is counted"
    return reading | {
        "dense_layers": reading["layers"] - reading["layers"] // every,
        "shared_expert_ffn": reading["hidden"] if beside else 0,
        "norms_per_layer": 3 if beside else 2,
        "assumptions": (note,) if "moe_train_capacity_factor" in f else (),
    }


def _xverse(f: Fields) -> Reading:
    """XVERSE: a Llama; its mixtures have experts in every layer, each of ``intermediate_size``."""
    reading = llama(f)
    if "num_experts" not in f:
        return reading
    return reading | {
        "experts": f.integer("num_experts"),
        "experts_per_token": f.integer("moe_top_k"),
        "expert_ffn": reading["ffn"],
        "shared_experts": f.maybe_integer("num_shared_experts", least=0) or 0,
    }


def _old_olmo(f: Fields) -> Reading:
    """OLMo before the library knew it; a gated layer's width is stated for both halves."""
    hidden, heads = f.integer("d_model"), f.integer("n_heads")
    gated = (f.text("activation_type") or "swiglu") == "swiglu"
    width = f.maybe_integer("mlp_hidden_size") or f.integer("mlp_ratio") * hidden
    bias = f.flag("include_bias")
    affine = f.flag("layer_norm_with_affine", default=(f.text("layer_norm_type") == "rms"))
    return {
        "kind": "decoder",
        "layers": f.integer("n_layers"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": f.maybe_integer("n_kv_heads") or (1 if f.flag("multi_query_attention") else heads),
        "ffn": width // 2 if gated else width,
        "ffn_matrices": 3 if gated else 2,
        "vocabulary": f.integer("embedding_size", "vocab_size"),
        "tied_embeddings": f.flag("weight_tying", default=True),
        "norm_width": (2 if bias else 1) if affine else 0,
        "qkv_bias": bias,
        "output_bias": bias,
        "ffn_bias": bias,
    }  # fmt: skip


def _seen_both_ways(reading: Reading) -> Reading:
    """A decoder's layers under no mask: diffusion over text reads, and predicts, every position."""
    return reading | {"kind": "encoder", "sliding_window": None, "head_transform": False}


def _llada(f: Fields) -> Reading:
    """LLaDA: OLMo's code; unlike there, the width is of one half of a gated layer."""
    if (f.text("block_type") or "llama") != "llama":
        msg = f"config.json: block_type = {f.text('block_type')} has no closed form here"
        raise DimensionsError(msg)
    bias = f.flag("include_bias")
    return _seen_both_ways(
        _old_olmo(f)
        | {
            "ffn": f.integer("mlp_hidden_size"),
            "ffn_matrices": 3,
            "norm_width": 2 if bias and f.flag("bias_for_layer_norm") else 1,
            "qkv_bias": bias or f.flag("include_qkv_bias"),
        }
    )


def _dream(f: Fields) -> Reading:
    """Dream: a Qwen2 without its mask."""
    return _seen_both_ways(llama(f) | {"qkv_bias": True})


def _jais(f: Fields) -> Reading:
    """A GPT-2 with a gated feed-forward and, instead of a position table, slopes."""
    reading = gpt2(f)
    return reading | {
        "ffn_matrices": 3 if f.text("activation_function") == "swiglu" else 2,
        "position_rows": reading["position_rows"]
        if (f.text("position_embedding_type") or "learned") == "learned"
        else 0,
    }


def _exaone(f: Fields) -> Reading:
    return {
        "kind": "decoder",
        "layers": f.integer("num_layers", "num_hidden_layers"),
        "hidden": f.integer("hidden_size"),
        "heads": f.integer("num_attention_heads"),
        "kv_heads": f.maybe_integer("num_key_value_heads"),
        "head_dim": f.maybe_integer("head_dim"),
        "ffn": f.maybe_integer("intermediate_size") or 4 * f.integer("hidden_size"),
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
    }


def _orion(f: Fields) -> Reading:
    return plain(llama(f)) | {"ffn_matrices": 3}


def _original_mamba(f: Fields) -> Reading:
    """The files of mamba_ssm, which name no family: ``d_model``, ``n_layer`` and ``ssm_cfg``."""
    hidden, mixer = f.integer("d_model"), f.nested("ssm_cfg")
    if f.items("attn_layer_idx") or f.maybe_integer("d_intermediate", least=0):
        raise DimensionsError("config.json: attention between Mamba layers has no closed form here")
    multiple = f.maybe_integer("pad_vocab_size_multiple") or 8
    second = mixer.text("layer") == "Mamba2"
    inner = (mixer.maybe_integer("expand") or 2) * hidden
    details: Reading = {
        "kernel": mixer.maybe_integer("d_conv") or 4,
        "bias": False,
        "conv_bias": True,
    }
    if second:
        width = mixer.maybe_integer("headdim") or 64
        details |= {
            "form": "mamba2",
            "mixer_heads": inner // width,
            "mixer_head_dim": width,
            "groups": mixer.maybe_integer("ngroups") or 1,
            "chunk": mixer.maybe_integer("chunk_size") or 256,
        }
    else:
        details |= {"form": "mamba", "inner": inner, "step_rank": -(-hidden // 16)}
    return {
        "kind": "ssm",
        "layers": few_layers(f.integer("n_layer")),
        "hidden": hidden,
        "vocabulary": -(-f.integer("vocab_size") // multiple) * multiple,
        "tied_embeddings": f.flag("tie_embeddings", default=True),
        "state_size": mixer.maybe_integer("d_state") or (128 if second else 16),
        "norms_per_layer": 1,
        "norm_width": 1 if f.flag("rms_norm", default=True) else 2,
        "details": details,
    }  # fmt: skip


CUSTOM: dict[str, Callable[[Fields], Reading]] = {
    "Dream": _dream,
    "llada": _llada,
    "Yi": llama,
    "aquila": llama,
    "arctic": _arctic,
    "baichuan": llama,
    "skywork": llama,
    "xverse": _xverse,
    "internlm": _internlm,
    "internlm2": _internlm2,
    "qwen": _qwen,
    "chatglm": _chatglm,
    "minicpm": _minicpm,
    "deepseek": _deepseek_moe,
    "kimi_k2": deepseek,
    "bailing_moe": bailing,
    "bailing_moe_v2": bailing,
    "grok-1": _grok,
    "hf_olmo": _old_olmo,
    "jais": _jais,
    "exaone": _exaone,
    "orion": _orion,
    "mamba_ssm": _original_mamba,
}
