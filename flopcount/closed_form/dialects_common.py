"""What nearly all decoders' config.json share, whatever the family calls itself.

Each reader returns the fields of :class:`Dimensions`. Biases and norms change the parameters only;
they are read so that the built model's number of parameters is met to the unit.
"""

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
    width = f.maybe_integer("head_dim")
    if width is None and not f.is_null("head_dim"):
        width = head_dim
    if f.flag("use_bidirectional_attention"):
        msg = "config.json: use_bidirectional_attention = true has no closed form here"
        raise DimensionsError(f"{msg}\n  use the traced count")
    bias = f.flag("attention_bias", attention_bias)
    mlp_bias = f.flag("mlp_bias")
    return {
        "kind": "decoder",
        "layers": f.integer("num_hidden_layers"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": f.maybe_integer("num_key_value_heads") or heads,
        "head_dim": width,  # None: hidden / heads, which must come out even
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
    """Which layers slide: an explicit list, a pattern, or every layer; 0 and -1 are no window."""
    window = f.maybe_integer("sliding_window", least=-1)
    types = f.items("layer_types")
    if window is None or window < 1 or f.flag("use_sliding_window", default=True) is False:
        return {}
    if types is not None:
        checked_layers(f, types, ("sliding_attention", "full_attention"))
        sliding = sum(kind == "sliding_attention" for kind in types)
        if sliding == 0:
            return {}
        return {"sliding_window": window, "full_attention_layers": len(types) - sliding}
    every = f.maybe_integer("sliding_window_pattern", "_sliding_window_pattern")
    return {"sliding_window": window, "sliding_window_every": every}


def checked_layers(f: Fields, types: list[Any], known: tuple[str, ...]) -> None:
    """Refuse a list of layer kinds that is too short, too long, or names a kind of its own.

    Raises:
        DimensionsError: the layers that it tells are not the model's.
    """
    layers = f.integer("num_hidden_layers")
    if len(types) != layers:
        msg = f"config.json: layer_types names {len(types)} layers of num_hidden_layers = {layers}"
        raise DimensionsError(f"{msg}\n  mend one of them")
    for kind in types:
        if kind not in known:
            msg = f"config.json: layer_types has {str(kind)[:40]!r}"
            raise DimensionsError(f"{msg}\n  known here: {', '.join(known)}")


def plain(reading: Reading, *, ffn_bias: bool = False, layer_norm: bool = True) -> Reading:
    """Turn to a feed-forward of two matrices and to LayerNorm."""
    return reading | {
        "ffn_matrices": 2,
        "ffn_bias": ffn_bias,
        "norm_width": 2 if layer_norm else 1,
    }


def qwen_windows(f: Fields, reading: Reading) -> Reading:
    """Qwen slides only above ``max_window_layers`` and only when told to."""
    if f.flag("use_sliding_window") and f.items("layer_types") is None:
        full = min(f.integer("max_window_layers", least=0), reading["layers"])
        return reading | {"full_attention_layers": full, "sliding_window_every": None}
    if not f.flag("use_sliding_window"):
        return reading | {"sliding_window": None}
    return reading


def few_layers(layers: int) -> int:
    """Return ``layers`` where a loop over them ends soon.

    Raises:
        DimensionsError: no model has so many.
    """
    if layers > 100_000:
        msg = f"config.json: num_hidden_layers = {layers}\n  no model has so many layers"
        raise DimensionsError(msg)
    return layers


def experts(f: Fields, reading: Reading, *names: str) -> Reading:
    """Add routed experts as wide as a dense layer, whose number has one of the names."""
    return reading | {
        "experts": f.integer(*names),
        "experts_per_token": f.integer("num_experts_per_tok"),
        "expert_ffn": f.maybe_integer("moe_intermediate_size") or reading["ffn"],
    }


def fine_experts(f: Fields, reading: Reading, *names: str) -> Reading:
    """Add routed experts with a width of their own, which no other key stands in for."""
    return experts(f, reading, *names) | {"expert_ffn": f.integer("moe_intermediate_size")}


def leading_dense(f: Fields, reading: Reading) -> int:
    """Layers before the first mixture; a number beyond the model's layers leaves none, 0 is allowed."""
    layers: int = reading["layers"]
    return min(f.maybe_integer("first_k_dense_replace", least=0) or 0, layers)


def refuse_qk() -> str:
    """Decline norms on queries and keys where the family builds them in a way of its own."""
    msg = "config.json: qk_layernorm = true has no closed form in this family; use the traced count"
    raise DimensionsError(msg)
