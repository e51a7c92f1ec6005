"""The config.json dialects of decoders from before Llama."""

from collections.abc import Callable

from flopcount.closed_form.dialects_common import Reading, llama, plain
from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.fields import Fields


def gpt2(f: Fields) -> Reading:
    """Biases everywhere and a table of positions."""
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
    reading = gpt2(f)
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
    reading = plain(llama(f, attention_bias=True), ffn_bias=True)
    return reading | {"kv_heads": reading["heads"]}


def _gptj(f: Fields) -> Reading:
    # Its attention has no biases, its one norm feeds attention and feed-forward side by side.
    return gpt2(f) | {
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


def falcon(f: Fields) -> Reading:
    """One key-value head in the first models, groups of them in the larger ones."""
    hidden, heads = f.integer("hidden_size"), f.integer("num_attention_heads", "n_head")
    # The first files of the 40B model say so by their family's name.
    new = f.flag("new_decoder_architecture", default=f.text("model_type") == "RefinedWeb")
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


def _mpt(f: Fields) -> Reading:
    hidden, heads = f.integer("d_model"), f.integer("n_heads")
    attention, bias = f.nested("attn_config"), not f.flag("no_bias", default=True)
    ratio = f.maybe_integer("expansion_ratio") or 4
    return {
        "kind": "decoder",
        "layers": f.integer("n_layers"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": attention.maybe_integer("kv_n_heads") or heads,
        "ffn": ratio * hidden,
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "position_rows": 0 if attention.flag("alibi", default=True) else f.integer("max_seq_len"),
        "qkv_bias": bias,
        "output_bias": bias,
        "ffn_bias": bias,
        "norm_width": 2 if bias else 1,
    }


EARLY: dict[str, Callable[[Fields], Reading]] = {
    "gpt2": gpt2,
    "gpt_bigcode": _gpt_bigcode,
    "gpt_neo": _gpt_neo,
    "gpt_neox": _gpt_neox,
    "gptj": _gptj,
    "opt": _opt,
    "bloom": _bloom,
    "falcon": falcon,
    "RefinedWeb": falcon,
    "RefinedWebModel": falcon,
    "mpt": _mpt,
}
