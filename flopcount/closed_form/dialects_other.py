"""The config.json dialects of encoders, encoder-decoders and vision transformers."""

from collections.abc import Callable
from typing import Any

from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.fields import Fields

Reading = dict[str, Any]


def _class_of(f: Fields) -> str:
    """The class that was trained, without which an encoder's head is unknown."""
    names = f.items("architectures") or []
    return names[0] if names and isinstance(names[0], str) else ""


def _bert(f: Fields) -> Reading:
    hidden, name = f.integer("hidden_size"), _class_of(f)
    reading = {
        "kind": "encoder",
        "layers": f.integer("num_hidden_layers"),
        "hidden": hidden,
        "heads": f.integer("num_attention_heads"),
        "ffn": f.integer("intermediate_size"),
        "ffn_matrices": 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "position_rows": f.integer("max_position_embeddings"),
        "token_types": f.maybe_integer("type_vocab_size", least=0) or 0,
        "embedding_norm": True,
        "final_norm": False,
        "norm_width": 2,
        "qkv_bias": True,
        "output_bias": True,
        "ffn_bias": True,
    }
    if name.endswith("ForMaskedLM") or not name:
        reading |= {"head_transform": True, "head_bias": True}
    elif name.endswith("ForPreTraining"):
        reading |= {"head_transform": True, "head_bias": True, "pooler": True, "classes": 2}
    elif name.endswith("Model"):
        reading |= {"pooler": True}
    else:
        msg = (
            f"config.json: architectures = ['{name[:60]}']: this head has no closed form here\n"
            "  known: ...ForMaskedLM, ...ForPreTraining, ...Model; use the traced count"
        )
        raise DimensionsError(msg)
    if not name:
        reading["assumptions"] = ("architectures is not stated: read as a masked language model",)
    return reading


def _t5(f: Fields) -> Reading:
    hidden = f.integer("d_model")
    layers = f.integer("num_layers")
    feed = f.text("feed_forward_proj") or "relu"
    return {
        "kind": "encoder-decoder",
        "layers": layers,
        "encoder_layers": layers,
        "decoder_layers": f.maybe_integer("num_decoder_layers") or layers,
        "hidden": hidden,
        "heads": f.integer("num_heads"),
        "head_dim": f.integer("d_kv"),
        "ffn": f.integer("d_ff"),
        "ffn_matrices": 3 if feed.startswith("gated") else 2,
        "vocabulary": f.integer("vocab_size"),
        "tied_embeddings": f.flag("tie_word_embeddings", default=True),
        "details": {"relative_buckets": f.maybe_integer("relative_attention_num_buckets") or 32},
    }


def _vit(f: Fields) -> Reading:
    name = _class_of(f)
    classes = None
    if name.endswith("ForImageClassification"):
        labels = f.nested("id2label")
        classes = f.maybe_integer("num_labels") or labels.size or 2
    elif name and not name.endswith("Model"):
        msg = (
            f"config.json: architectures = ['{name[:60]}']: this head has no closed form here\n"
            "  known: ...ForImageClassification, ...Model; use the traced count"
        )
        raise DimensionsError(msg)
    return {
        "kind": "vit",
        "layers": f.integer("num_hidden_layers"),
        "hidden": f.integer("hidden_size"),
        "heads": f.integer("num_attention_heads"),
        "ffn": f.integer("intermediate_size"),
        "ffn_matrices": 2,
        "image": f.pair("image_size", 224),
        "patch": f.integer("patch_size"),
        "channels": f.maybe_integer("num_channels") or 3,
        "norm_width": 2,
        "qkv_bias": f.flag("qkv_bias", default=True),
        "output_bias": True,
        "ffn_bias": True,
        "classes": classes,
        "pooler": name.endswith("Model"),
    }


OTHERS: dict[str, Callable[[Fields], Reading]] = {
    "bert": _bert,
    "t5": _t5,
    "vit": _vit,
}
