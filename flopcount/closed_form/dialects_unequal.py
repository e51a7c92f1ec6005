"""The config.json dialects of decoders whose layers differ in more than a window or in experts."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flopcount.closed_form.dialects_common import Reading, few_layers, llama
from flopcount.closed_form.dialects_custom import bailing
from flopcount.closed_form.dialects_experts import deepseek
from flopcount.closed_form.dimensions import Dimensions, DimensionsError
from flopcount.closed_form.fields import Fields, short
from flopcount.closed_form.reading import complete
from flopcount.closed_form.unequal import Layers

_TEXT_ALONE = "the text's part alone: the image tower is neither in the parameters nor in the FLOP"


def _grouped(kinds: Iterable[Any]) -> dict[Any, int]:
    """How often each kind of layer stands there."""
    found: dict[Any, int] = {}
    for kind in kinds:
        found[kind] = found.get(kind, 0) + 1
    return found


def _nemotron_nas(f: Fields) -> Reading:
    """Nemotron-NAS: a Llama of which a search kept, thinned or replaced each half of each layer.

    ``ffn_mult`` is of two thirds of the width, rounded up to a multiple of 256.
    """
    hidden, heads = f.integer("hidden_size"), f.integer("num_attention_heads")
    layers, blocks = f.integer("num_hidden_layers"), f.items("block_configs") or []
    if len(blocks) != layers:
        msg = (
            f"config.json: block_configs tells {len(blocks)} layers of num_hidden_layers = {layers}"
        )
        raise DimensionsError(f"{msg}\n  mend one of them")
    base: Reading = {
        "kind": "decoder",
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "ffn": 4 * hidden,
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "qkv_bias": f.flag("attention_bias"),
        "output_bias": f.flag("attention_bias"),
        "ffn_bias": f.flag("mlp_bias"),
    }
    parts = []
    for (attention, kv_heads, window, ffn, width), times in _grouped(
        _nas_layer(block, hidden, heads) for block in blocks
    ).items():
        own = {"layers": times, "kv_heads": kv_heads, "ffn": width, "sliding_window": window}
        dimensions = complete(Dimensions(**(base | own)))
        parts.append(Layers(dimensions=dimensions, attention=attention, ffn=ffn))
    return base | {"details": {"parts": tuple(parts)}}


def _nas_layer(block: Any, hidden: int, heads: int) -> tuple[Any, ...]:
    """(attention's kind, its key-value heads, its window, the feed-forward's kind, its width)."""
    if not isinstance(block, Mapping):
        raise DimensionsError(
            f"config.json: block_configs has {short(block)}\n  expected an object"
        )
    whole = Fields(block)
    attention, ffn = whole.nested("attention"), whole.nested("ffn")
    first, second = _nas_kind(attention), _nas_kind(ffn)
    kv_heads, window, width = heads, None, hidden
    if first == "own":
        if attention.is_stated("sparsify"):
            raise DimensionsError("config.json: block_configs: sparsify has no closed form here")
        kv_heads = heads // attention.integer("n_heads_in_group")
        window = attention.maybe_integer("window_length")
    if second == "own":
        width = int(2 * ffn.number("ffn_mult") * hidden / 3)
        width = -(-width // 256) * 256
    return first, kv_heads, window, second, width


def _nas_kind(half: Fields) -> str:
    if half.flag("no_op"):
        return "none"
    return "matrix" if half.flag("replace_with_linear") else "own"


def _step3p5(f: Fields) -> Reading:
    """Step-3.5 and the text of Step-3.7: sliding layers have heads of their own, attention a gate a head."""
    layers = f.integer("num_hidden_layers")
    base = _step_base(f, layers)
    kinds = (f.items("layer_types") or ["full_attention"] * layers)[:layers]
    sparse = _sparse_layers(f, layers)
    if len(kinds) != layers or not all(k in ("full_attention", "sliding_attention") for k in kinds):
        msg = (
            "config.json: layer_types: expected full_attention or sliding_attention for each layer"
        )
        raise DimensionsError(msg)
    other = f.nested("attention_other_setting")
    sliding: Reading = {
        "heads": f.maybe_integer("num_sliding_attention_heads")
        or other.maybe_integer("num_attention_heads")
        or base["heads"],
        "sliding_window": f.integer("sliding_window") if "sliding_attention" in kinds else None,
        "full_attention_layers": 0,
    }
    parts = []
    for (kind, mixed), times in _grouped(zip(kinds, sparse, strict=True)).items():
        own: Reading = {"layers": times, "dense_layers": 0 if mixed else times}
        own |= sliding if kind == "sliding_attention" else {}
        dimensions = complete(Dimensions(**(base | own)))
        gate = dimensions.need("heads")
        parts.append(Layers(dimensions=dimensions, gate=gate))
    return base | {"dense_layers": sparse.count(False), "details": {"parts": tuple(parts)}}


def _step_base(f: Fields, layers: int) -> Reading:
    base: Reading = {
        "kind": "decoder",
        "layers": layers,
        "hidden": f.integer("hidden_size"),
        "heads": f.integer("num_attention_heads"),
        "kv_heads": f.integer("num_key_value_heads", "num_attention_groups"),
        "head_dim": f.integer("head_dim"),
        "ffn": f.integer("intermediate_size"),
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "qk_norm": "head",
        "experts": f.integer("n_routed_experts", "moe_num_experts"),
        "experts_per_token": f.integer("num_experts_per_tok", "moe_top_k"),
        "expert_ffn": f.integer("moe_intermediate_size"),
        "shared_expert_ffn": f.integer("share_expert_dim", "share_expert_dims", least=0),
    }
    for key in ("use_head_wise_attn_gate", "use_qk_norm"):
        if not f.flag(key, default=True):
            raise DimensionsError(f"config.json: {key} = false has no closed form here")
    return base


def _sparse_layers(f: Fields, layers: int) -> list[bool]:
    """Which layers have experts: the library's list of kinds, the file's numbers, or all but three."""
    kinds = f.items("mlp_layer_types")
    if kinds is not None:
        return [kind == "sparse" for kind in kinds[:layers]]
    text = f.text("moe_layers_enum")
    numbers = text.split(",") if text is not None else f.items("moe_layers_enum")
    try:
        chosen = {int(number) for number in numbers if str(number).strip()} if numbers else None
    except (TypeError, ValueError):
        raise DimensionsError(
            f"config.json: moe_layers_enum = {short(numbers)}\n  expected numbers of layers"
        ) from None
    few_layers(layers)
    return [layer in chosen if chosen is not None else layer > 2 for layer in range(layers)]


def _kimi_linear(f: Fields) -> Reading:
    """Kimi Linear: delta attention, every fourth layer latent attention; experts after the first.

    Kimi K3's text is one whose attention has gates, whose experts work in a narrower width, and whose
    layers mix what earlier blocks of them left.
    """
    layers, linear = few_layers(f.integer("num_hidden_layers")), f.nested("linear_attn_config")
    base = deepseek(f) | {
        "experts": f.integer("num_local_experts", "num_experts"),
        "experts_per_token": f.integer("num_experts_per_tok", "num_experts_per_token"),
        "expert_ffn": f.integer("moe_intermediate_size"),
        "shared_experts": f.integer("n_shared_experts", "num_shared_experts", least=0),
    }
    details = {
        "linear_heads": linear.maybe_integer("num_heads") or f.integer("linear_num_heads"),
        "linear_head_dim": linear.maybe_integer("head_dim") or f.integer("linear_head_dim"),
        "kernel": linear.maybe_integer("short_conv_kernel_size")
        or f.integer("linear_conv_kernel_dim"),
        "full_rank_gate": linear.flag("use_full_rank_gate"),
        "narrow_norm": f.flag("latent_moe_use_norm"),
    }
    gates = {
        True: base["heads"] * base["v_head_dim"] if f.flag("mla_use_output_gate") else 0,
        False: details["linear_heads"] * details["linear_head_dim"]
        if details["full_rank_gate"]
        else 0,
    }
    full, sparse = _kimi_full(f, linear, layers), _kimi_sparse(f, layers)
    parts = []
    for (attends, mixed), times in _grouped(zip(full, sparse, strict=True)).items():
        own = {"layers": times, "dense_layers": 0 if mixed else times, "details": details}
        part = Layers(
            dimensions=complete(Dimensions(**(base | own))),
            attention="own" if attends else "delta",
            gate=gates[attends],
            expert_hidden=f.maybe_integer("routed_expert_hidden_size"),
        )
        parts.append(part)
    whole = {"parts": tuple(parts), "residual_block": f.maybe_integer("attn_res_block_size")}
    return base | {"dense_layers": sparse.count(False), "details": whole}


def _kimi_k3(f: Fields) -> Reading:
    """Kimi K3: the text's part; no rule here knows its image tower."""
    reading = _kimi_linear(f.nested("text_config"))
    return reading | {"assumptions": (_TEXT_ALONE,)}


def _kimi_sparse(f: Fields, layers: int) -> list[bool]:
    kinds = f.items("mlp_layer_types")
    if kinds is not None and len(kinds) == layers:
        return [kind == "sparse" for kind in kinds]
    if (f.maybe_integer("moe_layer_freq") or 1) != 1:
        raise DimensionsError("config.json: moe_layer_freq above 1 has no closed form here")
    dense = f.maybe_integer("first_k_dense_replace", least=0)
    return [layer >= (1 if dense is None else dense) for layer in range(layers)]


def _kimi_full(f: Fields, linear: Fields, layers: int) -> list[bool]:
    """Which layers attend in full; the published files count them from one."""
    kinds = f.items("layer_types")
    if kinds is not None and len(kinds) == layers:
        return [kind == "full_attention" for kind in kinds]
    full, delta = linear.items("full_attn_layers"), linear.items("kda_layers")
    if full is None or delta is None or sorted([*full, *delta]) != list(range(1, layers + 1)):
        msg = "config.json: linear_attn_config: full_attn_layers and kda_layers do not tell each layer"
        raise DimensionsError(f"{msg}\n  mend them")
    return [layer + 1 in full for layer in range(layers)]


def _hunyuan(f: Fields) -> Reading:
    """Hunyuan-Large: each second layer attends with the keys and values of the one before it.

    Sizes may be listed layer by layer; here all layers must have the same.
    """
    layers = few_layers(f.integer("num_hidden_layers"))
    base = llama(f, head_dim=f.maybe_integer("attention_head_dim"))
    base["qk_norm"] = "head" if f.flag("use_qk_norm") else "none"
    number = _same(f, "num_experts", layers) or 1
    if number > 1:
        shared = _same(f, "num_shared_expert", layers) or 0
        base |= {
            "experts": number,
            "experts_per_token": _same(f, "moe_topk", layers) or 1,
            "expert_ffn": _same(f, "moe_intermediate_size", layers) or base["ffn"],
            "shared_expert_ffn": shared * base["ffn"] if f.flag("use_mixed_mlp_moe") else 0,
        }
    every = f.integer("cla_share_factor") if f.flag("use_cla") else 1
    owners = -(-layers // every)
    own = complete(Dimensions(**(base | {"layers": owners})))
    parts = [Layers(dimensions=own, attention="own")]
    if layers > owners:
        rest = complete(Dimensions(**(base | {"layers": layers - owners})))
        parts.append(Layers(dimensions=rest, attention="borrowed"))
    return base | {"details": {"parts": tuple(parts)}}


def _same(f: Fields, key: str, layers: int) -> int | None:
    """A size that is one number, or a list of one and the same for each layer; None: not stated."""
    value = f.raw(key)
    if not isinstance(value, list):
        return f.maybe_integer(key, least=0)
    if len(value) < layers or any(item != value[0] for item in value[:layers]):
        msg = (
            f"config.json: {key} = {short(value)}: layers of unequal {key} have no closed form here"
        )
        raise DimensionsError(f"{msg}\n  use the traced count, or state the dimensions")
    return Fields({key: value[0]}).maybe_integer(key, least=0)


def _step3_text(f: Fields) -> Reading:
    """Step-3: queries of two factors, one key and one value for all heads; experts beside a shared one."""
    layers = few_layers(f.integer("num_hidden_layers"))
    if (f.maybe_integer("num_attention_groups") or 1) != 1:
        raise DimensionsError("config.json: num_attention_groups above 1 has no closed form here")
    text = f.text("moe_layers_enum")
    listed = text.split(",") if text is not None else f.items("moe_layers_enum")
    try:
        chosen = {int(n) for n in listed} if listed is not None else set(range(1, layers))
    except (TypeError, ValueError):
        raise DimensionsError(
            f"config.json: moe_layers_enum = {short(listed)}\n  expected numbers of layers"
        ) from None
    return {
        "kind": "decoder",
        "layers": layers,
        "hidden": f.integer("hidden_size"),
        "heads": f.integer("num_attention_heads"),
        "kv_heads": 1,
        "head_dim": f.integer("head_dim"),
        "q_lora_rank": f.maybe_integer("share_q_dim") or f.integer("head_dim"),
        "ffn": f.integer("intermediate_size"),
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "experts": f.integer("moe_num_experts"),
        "experts_per_token": f.integer("moe_top_k"),
        "expert_ffn": f.integer("moe_intermediate_size"),
        "shared_expert_ffn": f.integer("share_expert_dim"),
        "dense_layers": sum(layer not in chosen for layer in range(layers)),
    }


def _step3_vl(f: Fields) -> Reading:
    """Step-3: the text's part; no rule here knows its image tower."""
    return _step3_text(f.nested("text_config")) | {"assumptions": (_TEXT_ALONE,)}


def _bailing_linear(f: Fields) -> Reading:
    """Ling's and Ring's linear models: the last layer of each group attends, the others scan.

    What stands behind the last whole group attends, too. A scan's heads all have keys of their own.
    """
    layers, group = few_layers(f.integer("num_hidden_layers")), f.integer("layer_group_size")
    base = bailing(f)
    bias = f.flag("use_bias") or f.flag("use_qkv_bias")
    base |= {"qkv_bias": bias, "output_bias": f.flag("use_bias")}
    whole = layers // group * group
    attends = [(layer + 1) % group == 0 or layer >= whole for layer in range(layers)]
    mixed = [layer >= base["dense_layers"] for layer in range(layers)]
    parts = []
    for (full, sparse), times in _grouped(zip(attends, mixed, strict=True)).items():
        own: Reading = {"layers": times, "dense_layers": 0 if sparse else times}
        own |= {} if full else {"kv_heads": base["heads"]}
        dimensions = complete(Dimensions(**(base | own)))
        parts.append(Layers(dimensions=dimensions, attention="own" if full else "lightning"))
    return base | {"details": {"parts": tuple(parts)}}


def _longcat(f: Fields) -> Reading:
    """LongCat-Flash: twice attention and a feed-forward a layer, and one mixture beside the second half.

    Of the experts that its router chooses from, some have no weights. The further tables of the n-gram
    variant are looked up by hashes of the last tokens and widened.
    """
    double = few_layers(f.maybe_integer("num_layers") or f.integer("num_hidden_layers") // 2)
    hidden = f.integer("hidden_size")
    base: Reading = {
        "kind": "decoder",
        "layers": 2 * double,
        "hidden": hidden,
        "heads": f.integer("num_attention_heads"),
        "q_lora_rank": f.integer("q_lora_rank"),
        "kv_lora_rank": f.integer("kv_lora_rank"),
        "qk_nope_head_dim": f.integer("qk_nope_head_dim"),
        "qk_rope_head_dim": f.integer("qk_rope_head_dim"),
        "v_head_dim": f.integer("v_head_dim"),
        "ffn": f.integer("ffn_hidden_size", "intermediate_size"),
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings"),
        "qkv_bias": f.flag("attention_bias"),
        "output_bias": f.flag("attention_bias"),
    }
    mixed = base | {
        "layers": double,
        "dense_layers": 0,
        "experts": f.integer("n_routed_experts", "num_local_experts"),
        "experts_per_token": f.integer("moe_topk", "num_experts_per_tok"),
        "expert_ffn": f.integer("expert_ffn_hidden_size", "moe_intermediate_size"),
        "router_bias": f.flag("router_bias"),
        "details": {"empty_experts": f.maybe_integer("zero_expert_num", least=0) or 0},
    }
    parts = (
        Layers(dimensions=complete(Dimensions(**base))),
        Layers(dimensions=complete(Dimensions(**mixed)), attention="none", beside=True),
    )
    return mixed | {
        "layers": 2 * double,
        "dense_layers": double,
        "details": {"parts": parts, "tables": _ngram_tables(f, hidden)},
    }


def _ngram_tables(f: Fields, hidden: int) -> tuple[tuple[int, int], ...]:
    """(rows, width) of each further table of LongCat's n-gram variant."""
    if "emb_split_num" not in f:
        return ()
    number = f.integer("emb_split_num") * (f.integer("emb_neighbor_num", least=2) - 1)
    if number > hidden:
        raise DimensionsError("config.json: emb_split_num: more n-gram tables than channels")
    rows = int(f.number("ngram_vocab_size_ratio") * f.integer("vocab_size"))
    return tuple((rows + 2 * index + 1, hidden // number) for index in range(number))


UNEQUAL: dict[str, Callable[[Fields], Reading]] = {
    "nemotron-nas": _nemotron_nas,
    "step3p5": _step3p5,
    "kimi_linear": _kimi_linear,
    "kimi_k3": _kimi_k3,
    "hunyuan": _hunyuan,
    "step3_text": _step3_text,
    "step3_vl": _step3_vl,
    "bailing_moe_linear": _bailing_linear,
    "longcat_flash": _longcat,
    "longcat_flash_ngram": _longcat,
}
