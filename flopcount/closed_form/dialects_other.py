"""The config.json dialects of encoders, encoder-decoders and vision transformers."""

from collections.abc import Callable

from flopcount.closed_form.dialects_common import Reading, checked_layers
from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.fields import Fields

_ONE_BIAS = ("distilbert", "electra")
"""Encoders whose head has one bias; the others have a second one where the head is untied."""


def _class_of(f: Fields) -> str:
    """The class that was trained, without which an encoder's head is unknown."""
    names = f.items("architectures") or []
    return names[0] if names and isinstance(names[0], str) else ""


def _no_head(name: str, known: str) -> DimensionsError:
    return DimensionsError(
        f"config.json: architectures = ['{name[:60]}']: this head has no closed form here\n"
        f"  known: {known}; use the traced count"
    )


def _labels(f: Fields) -> int:
    """Outputs of a classifier; the library's default is two."""
    return f.maybe_integer("num_labels") or f.nested("id2label").size or 2


def _bert(f: Fields) -> Reading:
    hidden, tied = f.integer("hidden_size", "dim"), f.flag("tie_word_embeddings", default=True)
    reading = {
        "kind": "encoder",
        "layers": f.integer("num_hidden_layers", "n_layers"),
        "hidden": hidden,
        "heads": f.integer("num_attention_heads", "n_heads"),
        "ffn": f.integer("intermediate_size", "hidden_dim"),
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": tied,
        "position_rows": f.integer("max_position_embeddings"),
        "token_types": f.maybe_integer("type_vocab_size", least=0) or 0,
        "embedding_norm": True,
        "final_norm": False,
        "norm_width": 2,
        "qkv_bias": True,
        "output_bias": True,
        "ffn_bias": True,
    }
    head = _bert_head(f)
    if head.get("head_bias") and not tied and f.text("model_type") not in _ONE_BIAS:
        head["details"] = {**head.get("details", {}), "second_head_bias": True}
    return reading | head


def _bert_head(f: Fields) -> Reading:
    name = _class_of(f)
    if not name:
        return {
            "head_transform": True,
            "head_bias": True,
            "assumptions": ("architectures is not stated: read as a masked language model",),
        }
    if name.endswith("ForMaskedLM"):
        return {"head_transform": True, "head_bias": True}
    if name == "BertForPreTraining":
        return {"head_transform": True, "head_bias": True, "pooler": True, "classes": 2}
    if name == "BertForSequenceClassification":
        return {"pooler": True, "classes": _labels(f)}
    if name.endswith("ForTokenClassification"):
        return {"classes": _labels(f), "details": {"classify_tokens": True}}
    if name in ("BertModel", "RobertaModel", "XLMRobertaModel", "CamembertModel", "AlbertModel"):
        return {"pooler": True}
    if name in ("DistilBertModel", "ElectraModel"):
        return {}
    if name in (
        "RobertaForSequenceClassification",
        "XLMRobertaForSequenceClassification",
        "DistilBertForSequenceClassification",
        "ElectraForSequenceClassification",
    ):
        return {"classes": _labels(f), "details": {"classifier_transform": True}}
    raise _no_head(name, "...ForMaskedLM, ...ForSequenceClassification, ...Model")


def _distilbert(f: Fields) -> Reading:
    return _bert(f) | {"token_types": 0}


def _electra(f: Fields) -> Reading:
    reading = _bert(f) | {"embedding_width": f.integer("embedding_size")}
    if _class_of(f) == "ElectraForPreTraining":
        raise _no_head("ElectraForPreTraining", "ElectraForMaskedLM, ElectraModel")
    return reading


def _albert(f: Fields) -> Reading:
    if (f.maybe_integer("num_hidden_groups") or 1) != 1 or (
        f.maybe_integer("inner_group_num") or 1
    ) != 1:
        msg = "config.json: num_hidden_groups above 1 has no closed form here; use the traced count"
        raise DimensionsError(msg)
    reading = _bert(f) | {"embedding_width": f.integer("embedding_size")}
    details = {"shared_layers": True, "always_widened": True}
    return reading | {"details": {**details, **reading.get("details", {})}}


def _modernbert(f: Fields) -> Reading:
    layers, name = f.integer("num_hidden_layers"), _class_of(f)
    if name and not name.endswith(("ForMaskedLM", "Model")):
        raise _no_head(name, "ModernBertForMaskedLM, ModernBertModel")
    head = {} if name.endswith("Model") else {"head_transform": True}
    bias = f.flag("attention_bias")
    return _modernbert_windows(f, layers) | {
        "kind": "encoder",
        "layers": layers,
        "hidden": f.integer("hidden_size"),
        "heads": f.integer("num_attention_heads"),
        "ffn": f.integer("intermediate_size"),
        "ffn_matrices": 3,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "embedding_norm": True,
        "norm_width": 2 if f.flag("norm_bias") else 1,
        "qkv_bias": bias,
        "output_bias": bias,
        "ffn_bias": f.flag("mlp_bias"),
        "head_bias": f.flag("decoder_bias", default=True),
        # The first layer's first norm is left out; the classifier's bias also governs the head's.
        "details": {"norms_left_out": 1, "transform_bias": f.flag("classifier_bias")},
        **head,
    }


def _modernbert_windows(f: Fields, layers: int) -> Reading:
    """Layers that see half of ``local_attention`` places on each side; every third sees all."""
    side = f.integer("local_attention") // 2
    types = f.items("layer_types")
    if types is not None:
        checked_layers(f, types, ("sliding_attention", "full_attention"))
        full = sum(kind == "full_attention" for kind in types)
    else:
        full = -(-layers // (f.maybe_integer("global_attn_every_n_layers") or 3))
    return {"sliding_window": side, "full_attention_layers": full} if side else {}


def _t5(f: Fields) -> Reading:
    layers = f.integer("num_layers")
    name = _class_of(f)
    if name and not name.endswith("ForConditionalGeneration"):
        raise _no_head(name, "...ForConditionalGeneration")
    gated = (f.text("feed_forward_proj") or "relu").startswith("gated")
    return {
        "kind": "encoder-decoder",
        "layers": layers,
        "encoder_layers": layers,
        "decoder_layers": f.maybe_integer("num_decoder_layers") or layers,
        "hidden": f.integer("d_model"),
        "heads": f.integer("num_heads"),
        "head_dim": f.integer("d_kv"),
        "ffn": f.integer("d_ff"),
        "ffn_matrices": 3 if f.flag("is_gated_act", default=gated) else 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "details": {
            "relative_buckets": f.maybe_integer("relative_attention_num_buckets") or 32,
            "relative_in_each_layer": f.text("model_type") == "umt5",
        },
    }


def _bart(
    f: Fields, *, rows: int, embedding_norm: bool = False, final_norm: bool = False
) -> Reading:
    """Read the family of BART; ``rows`` is the height of its position tables."""
    name = _class_of(f)
    if name and not name.endswith(("ForConditionalGeneration", "MTModel")):
        raise _no_head(name, "...ForConditionalGeneration")
    if not f.flag("tie_word_embeddings", default=True):
        msg = "config.json: tie_word_embeddings = false has no closed form here: three tables"
        raise DimensionsError(f"{msg} and a head\n  use the traced count")
    heads = f.integer("encoder_attention_heads")
    return {
        "kind": "encoder-decoder",
        "layers": f.integer("encoder_layers"),
        "encoder_layers": f.integer("encoder_layers"),
        "decoder_layers": f.integer("decoder_layers"),
        "hidden": f.integer("d_model"),
        "heads": heads,
        "ffn": f.integer("encoder_ffn_dim"),
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "norm_width": 2,
        "embedding_norm": embedding_norm,
        "final_norm": final_norm,
        "qkv_bias": True,
        "output_bias": True,
        "ffn_bias": True,
        "details": {
            "encoder_position_rows": rows,
            "decoder_position_rows": rows,
            "decoder_heads": f.integer("decoder_attention_heads"),
            "decoder_ffn": f.integer("decoder_ffn_dim"),
        },
    }


def _plain_bart(f: Fields) -> Reading:
    # The learned table starts at an offset of two.
    return _bart(f, rows=f.integer("max_position_embeddings") + 2, embedding_norm=True)


def _mbart(f: Fields) -> Reading:
    return _plain_bart(f) | {"final_norm": True}


def _pegasus(f: Fields) -> Reading:
    return _bart(f, rows=f.integer("max_position_embeddings"), final_norm=True)


def _marian(f: Fields) -> Reading:
    if not f.flag("share_encoder_decoder_embeddings", default=True):
        msg = "config.json: share_encoder_decoder_embeddings = false has no closed form here"
        raise DimensionsError(msg)
    return _bart(f, rows=f.integer("max_position_embeddings"))


def _m2m_100(f: Fields) -> Reading:
    return _bart(f, rows=0, final_norm=True)  # its positions are computed, not stored


def _whisper(f: Fields) -> Reading:
    frames = f.integer("max_source_positions")
    reading = _bart(f, rows=0, final_norm=True)
    reading["details"] |= {
        "encoder_position_rows": frames,
        "decoder_position_rows": f.integer("max_target_positions"),
        "audio_frames": 2 * frames,
    }
    return reading | {"channels": f.integer("num_mel_bins"), "key_bias": False}


def _vit(f: Fields) -> Reading:
    name = _class_of(f)
    known = ("ForImageClassification", "Model", "ForImageClassificationWithTeacher")
    if name and not name.endswith(known[:2]):
        raise _no_head(name, "...ForImageClassification, ...Model")
    hidden = f.integer("hidden_size")
    return {
        "kind": "vit",
        "layers": f.integer("num_hidden_layers"),
        "hidden": hidden,
        "heads": f.integer("num_attention_heads"),
        "ffn": f.maybe_integer("intermediate_size") or f.integer("mlp_ratio") * hidden,
        "ffn_matrices": 2,
        "image": f.pair("image_size", 224),
        "patch": f.integer("patch_size"),
        "channels": f.maybe_integer("num_channels") or 3,
        "norm_width": 2,
        "qkv_bias": f.flag("qkv_bias", default=True),
        "output_bias": True,
        "ffn_bias": True,
        "classes": _labels(f) if name.endswith("ForImageClassification") else None,
        "pooler": name.endswith("Model"),
        "details": {"pooler_width": f.maybe_integer("pooler_output_size") or hidden},
    }


def _deit(f: Fields) -> Reading:
    reading = _vit(f)
    return reading | {"details": {**reading["details"], "extra_tokens": 2}}


def _dinov2(f: Fields) -> Reading:
    if f.flag("use_swiglu_ffn"):
        msg = "config.json: use_swiglu_ffn = true has no closed form here; use the traced count"
        raise DimensionsError(msg)
    # Two scales a layer, a mask token; the classifier reads class token and patches' mean.
    masks = int(f.flag("use_mask_token", default=True))
    details = {"vectors_per_layer": 2, "unused_tokens": masks, "classifier_inputs": 2}
    return _vit(f) | {"pooler": False, "details": details}


def _clip_vision(f: Fields) -> Reading:
    if _class_of(f) not in ("CLIPVisionModel", ""):
        raise _no_head(_class_of(f), "CLIPVisionModel")
    return _vit(f) | {
        "pooler": False,
        "classes": None,
        "embedding_norm": True,
        "details": {"patch_bias": False, "positions_looked_up": True},
    }


OTHERS: dict[str, Callable[[Fields], Reading]] = {
    "bert": _bert,
    "roberta": _bert,
    "distilbert": _distilbert,
    "electra": _electra,
    "albert": _albert,
    "modernbert": _modernbert,
    "t5": _t5,
    "umt5": _t5,
    "bart": _plain_bart,
    "mbart": _mbart,
    "pegasus": _pegasus,
    "marian": _marian,
    "m2m_100": _m2m_100,
    "whisper": _whisper,
    "vit": _vit,
    "deit": _deit,
    "dinov2": _dinov2,
    "clip_vision_model": _clip_vision,
}
ENCODERS = frozenset(("bert", "roberta", "distilbert", "electra", "albert", "modernbert"))
"""As decoders these are causal, and may attend to another model."""
