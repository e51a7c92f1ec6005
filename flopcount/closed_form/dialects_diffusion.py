"""The config.json dialects of diffusers: ``_class_name`` instead of ``model_type``."""

from collections.abc import Callable

from flopcount.closed_form.dialects_common import Reading
from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.fields import Fields

_MOST_LEVELS = 16


def _dit(f: Fields) -> Reading:
    heads, width = f.integer("num_attention_heads"), f.integer("attention_head_dim")
    bias = f.flag("attention_bias", default=True)
    return {
        "kind": "dit",
        "layers": f.integer("num_layers"),
        "hidden": heads * width,
        "heads": heads,
        "head_dim": width,
        "ffn": 4 * heads * width,
        "ffn_matrices": 2,
        "patch": f.integer("patch_size"),
        "channels": f.integer("in_channels"),
        "image": f.pair("sample_size"),
        "classes": f.integer("num_embeds_ada_norm"),
        "qkv_bias": bias,
        "output_bias": True,
        "ffn_bias": True,
        "details": {
            "out_channels": f.maybe_integer("out_channels") or f.integer("in_channels"),
            "embedder_in_each_block": True,
        },
    }


def _unet(f: Fields) -> Reading:
    """Stable Diffusion 1, 2 and XL; a setting that changes the layers is declined by name."""
    for key in ("class_embed_type", "encoder_hid_dim_type", "num_class_embeds",
                "time_embedding_act_fn", "time_cond_proj_dim", "cross_attention_norm",
                "reverse_transformer_layers_per_block"):  # fmt: skip
        if key in f:
            raise _declined(key)
    for key in ("dual_cross_attention", "class_embeddings_concat", "mid_block_only_cross_attention",
                "resnet_skip_time_act"):  # fmt: skip
        if f.flag(key):
            raise _declined(key)
    channels = _sizes(f, "block_out_channels")
    down = _kinds(f, "down_block_types", "CrossAttnDownBlock2D", "DownBlock2D", len(channels))
    up = _kinds(f, "up_block_types", "CrossAttnUpBlock2D", "UpBlock2D", len(channels))
    added = None
    if f.text("addition_embed_type") == "text_time":
        added = f.integer("projection_class_embeddings_input_dim")
    elif "addition_embed_type" in f:
        raise _declined("addition_embed_type")
    middle = f.text("mid_block_type")
    if middle not in (None, "UNetMidBlock2DCrossAttn"):
        raise _declined("mid_block_type")
    return {
        "kind": "unet",
        "image": f.pair("sample_size"),
        "details": {
            "channels": channels,
            "levels": _per_level(f, "layers_per_block", len(channels)),
            "depths": _per_level(f, "transformer_layers_per_block", len(channels), default=1),
            "down_attends": down,
            "up_attends": up,
            "middle_attends": True,
            "in_channels": f.integer("in_channels"),
            "out_channels": f.integer("out_channels"),
            "text_width": f.integer("cross_attention_dim"),
            "added_width": added,
        },
    }


def _declined(key: str) -> DimensionsError:
    return DimensionsError(
        f"config.json: '{key}' changes the U-Net in a way without a closed form here\n"
        "  use the traced count"
    )


def _sizes(f: Fields, name: str) -> list[int]:
    values = f.items(name)
    if not values or len(values) > _MOST_LEVELS:
        raise DimensionsError(f"config.json: {name}: expected one number for each level")
    return [Fields({name: value}).integer(name) for value in values]


def _per_level(f: Fields, name: str, levels: int, default: int | None = None) -> list[int]:
    """One number for all levels, or one for each."""
    try:
        values = f.items(name)
    except DimensionsError:
        values = None
    if values is None:
        number = f.maybe_integer(name) or default or f.integer(name)
        return [number] * levels
    if len(values) != levels:
        raise DimensionsError(f"config.json: {name}: expected {levels} numbers")
    return _sizes(f, name)


def _kinds(f: Fields, name: str, attends: str, plain: str, levels: int) -> list[bool]:
    kinds = f.items(name) or []
    if len(kinds) != levels or any(kind not in (attends, plain) for kind in kinds):
        raise _declined(name)
    return [kind == attends for kind in kinds]


DIFFUSERS: dict[str, Callable[[Fields], Reading]] = {
    "DiTTransformer2DModel": _dit,
    "UNet2DConditionModel": _unet,
}
