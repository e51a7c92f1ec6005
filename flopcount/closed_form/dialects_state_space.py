"""The config.json dialects of state-space models, hybrids and RWKV."""

from collections.abc import Callable

from flopcount.closed_form.dialects_common import Reading, checked_layers, few_layers, llama
from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.fields import Fields


def _mamba(f: Fields) -> Reading:
    hidden = f.integer("hidden_size")
    return {
        "kind": "ssm",
        "layers": f.integer("num_hidden_layers"),
        "hidden": hidden,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "state_size": f.integer("state_size"),
        "norms_per_layer": 1,
        "details": {
            "form": "mamba",
            "inner": f.maybe_integer("intermediate_size") or f.integer("expand") * hidden,
            "kernel": f.integer("conv_kernel"),
            "step_rank": _rank(f, "time_step_rank", hidden),
            "bias": f.flag("use_bias"),
            "conv_bias": f.flag("use_conv_bias", default=True),
        },
    }


def _rank(f: Fields, name: str, hidden: int) -> int:
    return -(-hidden // 16) if f.text(name) == "auto" else f.integer(name)


def _mamba2(f: Fields) -> Reading:
    reading = _mamba2_mixer(
        f,
        heads=f.integer("num_heads"),
        width=f.integer("head_dim"),
        groups=f.integer("n_groups"),
        chunk=f.integer("chunk_size"),
        kernel=f.integer("conv_kernel"),
        bias=f.flag("use_bias"),
        conv_bias=f.flag("use_conv_bias", default=True),
    )
    return {
        "kind": "ssm",
        "layers": f.integer("num_hidden_layers"),
        "hidden": f.integer("hidden_size"),
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "state_size": f.integer("state_size"),
        "norms_per_layer": 1,
        "details": reading,
    }


def _mamba2_mixer(
    f: Fields,
    *,
    heads: int,
    width: int,
    groups: int,
    chunk: int,
    kernel: int,
    bias: bool,
    conv_bias: bool,
) -> Reading:
    expand = f.maybe_integer("expand", "mamba_expand")
    hidden = f.integer("hidden_size")
    if expand is not None and expand * hidden != heads * width:
        msg = (
            f"config.json: expand = {expand} times hidden_size = {hidden} is not "
            f"{heads} heads of {width}\n  mend one of them"
        )
        raise DimensionsError(msg)
    return {
        "form": "mamba2",
        "mixer_heads": heads,
        "mixer_head_dim": width,
        "groups": groups,
        "chunk": chunk,
        "kernel": kernel,
        "bias": bias,
        "conv_bias": conv_bias,
    }


def _rwkv(f: Fields) -> Reading:
    hidden = f.integer("hidden_size")
    return {
        "kind": "ssm",
        "layers": f.integer("num_hidden_layers"),
        "hidden": hidden,
        "ffn": f.maybe_integer("intermediate_size") or 4 * hidden,
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "norm_width": 2,
        "details": {
            "form": "rwkv",
            "attention_width": f.maybe_integer("attention_hidden_size") or hidden,
        },
    }


def _periodic(layers: int, period: int, offset: int) -> int:
    """Layers i with i % period == offset."""
    return sum(i % period == offset for i in range(few_layers(layers)))


def _jamba(f: Fields) -> Reading:
    reading = llama(f) | {"kind": "ssm", "qkv_bias": False, "output_bias": False}
    layers, hidden = reading["layers"], reading["hidden"]
    attention = _periodic(
        layers, f.integer("attn_layer_period"), f.integer("attn_layer_offset", least=0)
    )
    experts = f.integer("num_experts")
    sparse = _periodic(
        layers, f.integer("expert_layer_period"), f.integer("expert_layer_offset", least=0)
    )
    if experts > 1 and sparse:
        reading |= {
            "experts": experts,
            "experts_per_token": f.integer("num_experts_per_tok"),
            "expert_ffn": reading["ffn"],
            "dense_layers": layers - sparse,
        }
    return reading | {
        "sliding_window": None,
        "state_size": f.integer("mamba_d_state"),
        "details": {
            "form": "mamba",
            "attention_layers": attention,
            "ffn_layers": layers,
            "inner": f.integer("mamba_expand") * hidden,
            "kernel": f.integer("mamba_d_conv"),
            "step_rank": _rank(f, "mamba_dt_rank", hidden),
            "bias": f.flag("mamba_proj_bias"),
            "conv_bias": f.flag("mamba_conv_bias", default=True),
            "state_norms": True,
        },
    }


def _mamba2_of_bamba(f: Fields) -> Reading:
    hidden = f.integer("hidden_size")
    heads = f.integer("mamba_n_heads")
    width = f.maybe_integer("mamba_d_head") or f.integer("mamba_expand") * hidden // heads
    return _mamba2_mixer(
        f,
        heads=heads,
        width=width,
        groups=f.integer("mamba_n_groups"),
        chunk=f.integer("mamba_chunk_size"),
        kernel=f.integer("mamba_d_conv"),
        bias=f.flag("mamba_proj_bias"),
        conv_bias=f.flag("mamba_conv_bias", default=True),
    )


def _bamba(f: Fields) -> Reading:
    reading = llama(f) | {"kind": "ssm", "state_size": f.integer("mamba_d_state")}
    attention = len(set(f.items("attn_layer_indices") or []))
    details = _mamba2_of_bamba(f) | {
        "attention_layers": attention,
        "ffn_layers": reading["layers"],
    }
    return reading | {"details": details}


def _granite_hybrid(f: Fields) -> Reading:
    reading = llama(f) | {"kind": "ssm", "state_size": f.integer("mamba_d_state")}
    types = f.items("layer_types") or f.items("layers_block_type") or []
    checked_layers(f, types, ("mamba", "linear_attention", "attention", "full_attention"))
    attention = sum(kind in ("attention", "full_attention") for kind in types)
    details = _mamba2_of_bamba(f) | {
        "attention_layers": attention,
        "ffn_layers": reading["layers"],
    }
    experts = f.maybe_integer("num_local_experts", least=0) or 0
    shared = f.integer("shared_intermediate_size")
    if experts:
        reading |= {
            "experts": experts,
            "experts_per_token": f.integer("num_experts_per_tok"),
            "expert_ffn": reading["ffn"],
            "shared_expert_ffn": shared,
        }
    else:
        reading |= {"ffn": shared}
    return reading | {"sliding_window": None, "details": details}


def _plamo2(f: Fields) -> Reading:
    """PLaMo 2: one attention layer in ``mamba_step``; a window sees itself and so many places before it.

    ``full_attention_idx`` lists the layers without a window.
    """
    layers, hidden = few_layers(f.integer("num_hidden_layers")), f.integer("hidden_size")
    width, step = f.integer("hidden_size_per_head"), f.integer("mamba_step", least=2)
    if not f.flag("mamba_enabled", default=True):
        attending = list(range(layers))
    elif layers <= step // 2:
        attending = [layers - 1]
    else:
        attending = [layer for layer in range(layers) if layer % step == step // 2]
    full = f.items("full_attention_idx") or []
    sliding = sum(layer not in full for layer in attending)
    window = f.maybe_integer("attention_window_size")
    return {
        "kind": "ssm",
        "layers": layers,
        "hidden": hidden,
        "heads": f.integer("num_attention_heads"),
        "kv_heads": f.integer("num_key_value_heads"),
        "head_dim": width,
        "ffn": f.integer("intermediate_size"),
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "norms_per_layer": 4,
        "qk_norm": "width",
        "sliding_window": window + 1 if window and sliding else None,
        "full_attention_layers": layers - sliding,
        "state_size": f.integer("mamba_d_state"),
        "details": {
            "form": "plamo2",
            "attention_layers": len(attending),
            "ffn_layers": layers,
            "mixer_heads": f.integer("mamba_num_heads"),
            "mixer_head_dim": width,
            "chunk": f.maybe_integer("mamba_chunk_size") or 256,
            "kernel": f.integer("mamba_d_conv"),
            "step_rank": max(64, hidden // 16),
        },
    }


def _rwkv7(f: Fields) -> Reading:
    """RWKV-7 as flash-linear-attention writes it; a rank that is null follows from the width."""
    hidden, width = f.integer("hidden_size"), f.maybe_integer("head_dim")
    if width is None:
        width = 64 if "num_heads" not in f else hidden // f.integer("num_heads")
    if f.is_stated("attn"):
        raise DimensionsError(
            "config.json: attention between RWKV-7 layers has no closed form here"
        )
    values = f.items("value_dim") if isinstance(f.raw("value_dim"), list) else [f.raw("value_dim")]
    if any(value not in (None, hidden) for value in values or []) or hidden % width:
        msg = "config.json: value_dim apart from hidden_size, or heads that do not fill it"
        raise DimensionsError(f"{msg}, have no closed form here")
    ffn = f.maybe_integer("intermediate_size")
    if ffn is None:
        ratio = f.number("hidden_ratio") if "hidden_ratio" in f else 4
        ffn = 32 * -(-int(hidden * ratio) // 32)
    ranks = {
        name: _low_rank(f, key, taken, factor * hidden**0.5 * scale)
        for name, key, taken, factor, scale in (
            ("decay", "decay_low_rank_dim", 64, 2.5, width / 64),
            ("rate", "a_low_rank_dim", 64, 2.5, width / 64),
            ("mixed_value", "v_low_rank_dim", 16, 1.7, width / 64),
            ("gate", "gate_low_rank_dim", 128, 5.0, 1.0),
        )
    }
    return {
        "kind": "ssm",
        "layers": f.integer("num_hidden_layers"),
        "hidden": hidden,
        "ffn": ffn,
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "norm_width": 2 if f.flag("norm_bias", default=True) else 1,
        "details": {
            "form": "rwkv7",
            "mixer_head_dim": width,
            "norm_first": f.flag("norm_first", default=True),
            **{f"{name}_rank": rank for name, rank in ranks.items()},
        },
    }


def _low_rank(f: Fields, key: str, taken: int, wanted: float) -> int:
    """The stated rank, the configuration class's where the key is left out, the layer's where it is null."""
    if f.is_null(key):
        return max(32, round(wanted / 32) * 32)
    return f.maybe_integer(key) or taken


STATE_SPACES: dict[str, Callable[[Fields], Reading]] = {
    "mamba": _mamba,
    "falcon_mamba": _mamba,
    "mamba2": _mamba2,
    "rwkv": _rwkv,
    "jamba": _jamba,
    "bamba": _bamba,
    "granitemoehybrid": _granite_hybrid,
    "plamo2": _plamo2,
    "rwkv7": _rwkv7,
}
