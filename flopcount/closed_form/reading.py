"""From a case file's ``architecture`` table to dimensions: types, sizes, defaults."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from flopcount.closed_form.dimensions import KINDS, LARGEST, Dimensions, DimensionsError
from flopcount.closed_form.fields import short

_BOOLS = {"tied_embeddings"}
_CAN_BE_ZERO = {"shared_experts", "first_dense_layers", "dense_layers", "full_attention_layers"}
_NEEDED = {
    "decoder": ("layers", "hidden", "vocabulary"),
    "encoder": ("layers", "hidden"),
    "encoder-decoder": ("hidden", "vocabulary"),
    "vit": ("layers", "hidden"),
    "dit": ("layers", "hidden"),
    "ssm": ("layers", "hidden", "vocabulary"),
    "unet": (),
}
KEYS = (
    "kind", "layers", "hidden", "heads", "kv_heads", "head_dim", "v_head_dim", "ffn",
    "ffn_matrices", "vocabulary", "tied_embeddings", "experts", "experts_per_token",
    "shared_experts", "expert_ffn", "first_dense_layers", "sliding_window",
    "sliding_window_every", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
    "encoder_layers", "decoder_layers", "state_size", "mlm_positions", "patch", "channels",
    "classes",
)  # fmt: skip
"""The keys that a case file may use."""


def read_mapping(mapping: Mapping[str, Any]) -> Dimensions:
    """Read, check and complete a case file's table; see :meth:`Dimensions.from_mapping`."""
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(KEYS)}"
            raise DimensionsError(f"architecture: unknown key {short(key)}\n  {hint}")
        if value is not None:
            values[key] = _checked(key, value)
    dimensions = Dimensions(**values)
    if dimensions.kind == "ssm":
        dimensions = _state_space(dimensions)
    for key in _NEEDED[dimensions.kind]:
        dimensions.need(key)
    return complete(_habits(dimensions))


def _habits(d: Dimensions) -> Dimensions:
    """What a family has by habit and a case file has no key for; what matters to FLOP is noted."""
    changes: dict[str, Any] = {}
    assumed: list[str] = list(d.assumptions)
    if d.kind in ("encoder", "vit", "dit"):
        changes |= {"norm_width": 2, "qkv_bias": True, "output_bias": True, "ffn_bias": True}
    if d.kind == "encoder":
        changes |= {"embedding_norm": True, "final_norm": False}
        if d.vocabulary is not None:
            changes |= {"head_transform": True, "head_bias": True}
            assumed.append("the output head is BERT's: a square layer before the vocabulary")
    for kind, patch in (("vit", 16), ("dit", 2)):
        if d.kind == kind and d.patch is None:
            changes["patch"] = patch
            assumed.append(f"patch is not stated: read as {patch}")
    return dataclasses.replace(d, **changes, assumptions=tuple(assumed))


def complete(dimensions: Dimensions) -> Dimensions:
    """Fill what follows from the rest, note what is assumed, refuse what contradicts itself."""
    if dimensions.kind == "unet":
        return dimensions
    filled: dict[str, Any] = {}
    assumed: list[str] = list(dimensions.assumptions)
    _complete_layers(dimensions, filled)
    _complete_attention(dimensions, filled, assumed)
    _complete_ffn(dimensions, filled, assumed)
    if dimensions.tied_embeddings is None and dimensions.vocabulary is not None:
        filled["tied_embeddings"] = dimensions.kind in ("encoder", "ssm")
        word = "tied to" if filled["tied_embeddings"] else "apart from"
        assumed.append(f"tied_embeddings is not stated: the output head is {word} the token table")
    result = dataclasses.replace(dimensions, **filled, assumptions=tuple(assumed))
    _check_experts(result)
    return result


def _state_space(d: Dimensions) -> Dimensions:
    """A case file's state-space model: Mamba-2 where it states heads, else Mamba."""
    d.need("state_size")
    hidden = d.need("hidden")
    if d.heads is None:
        note = "heads is not stated: read as Mamba with channels of twice hidden"
        return dataclasses.replace(d, norms_per_layer=1, assumptions=(note,))
    width = d.head_dim or 2 * hidden // d.heads
    note = f"read as Mamba-2 with {d.heads} heads of {width} channels in chunks of 256 positions"
    details = {"form": "mamba2", "mixer_heads": d.heads, "mixer_head_dim": width}
    return dataclasses.replace(
        d, norms_per_layer=1, heads=None, head_dim=None, details=details, assumptions=(note,)
    )


def _complete_layers(d: Dimensions, filled: dict[str, Any]) -> None:
    if d.kind != "encoder-decoder":
        return
    for key in ("encoder_layers", "decoder_layers"):
        if getattr(d, key) is None:
            filled[key] = d.need("layers")
    if d.layers is None:
        filled["layers"] = d.need("encoder_layers")


def _complete_attention(d: Dimensions, filled: dict[str, Any], assumed: list[str]) -> None:
    hidden = d.need("hidden")
    heads = d.heads
    if d.kv_lora_rank is not None:
        for key in ("heads", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"):
            d.need(key)
        filled["head_dim"] = d.need("qk_nope_head_dim") + d.need("qk_rope_head_dim")
        filled["kv_heads"] = heads
        return
    if heads is None:
        if d.kind == "ssm":
            return
        if d.kv_heads is not None:
            d.need("heads")
        heads = hidden // d.head_dim if d.head_dim else 1
        filled["heads"] = heads
        assumed.append("heads is not stated: the heads together are as wide as hidden")
    if d.head_dim is None:
        if hidden % heads or hidden < heads:
            raise DimensionsError(
                f"architecture: hidden = {hidden} is no multiple of heads = {heads}\n"
                "  state head_dim = ..., or mend one of the two"
            )
        filled["head_dim"] = hidden // heads
    if d.v_head_dim is None:
        filled["v_head_dim"] = d.head_dim or filled["head_dim"]
    if d.kv_heads is None:
        filled["kv_heads"] = heads
    elif heads % d.kv_heads:
        raise DimensionsError(
            f"architecture: heads = {heads} is no multiple of kv_heads = {d.kv_heads}\n"
            "  each key-value head serves the same number of query heads"
        )


def _complete_ffn(d: Dimensions, filled: dict[str, Any], assumed: list[str]) -> None:
    if d.kind == "ssm" and d.ffn is None:
        return
    hidden = d.need("hidden")
    ffn = d.ffn
    if ffn is None:
        ffn = d.expert_ffn if d.expert_ffn is not None else 4 * hidden
        filled["ffn"] = ffn
        if d.moe_layers < (d.layers or 0) or d.expert_ffn is None:
            assumed.append(f"ffn is not stated: read as {ffn}")
    if d.ffn_matrices is None:
        gated = d.kind in ("decoder", "ssm") and (ffn != 4 * hidden or d.experts is not None)
        filled["ffn_matrices"] = 3 if gated else 2
        assumed.append(
            f"ffn_matrices is not stated: read as {filled['ffn_matrices']} "
            f"(ffn = {ffn}, hidden = {hidden}, kind = {d.kind})"
        )
    elif d.ffn_matrices not in (2, 3):
        raise DimensionsError(
            f"architecture: ffn_matrices = {d.ffn_matrices}\n"
            "  a feed-forward has 2 matrices, or 3 when it is gated (SwiGLU, GeGLU)"
        )
    if d.experts is not None and d.expert_ffn is None:
        filled["expert_ffn"] = ffn


def _check_experts(d: Dimensions) -> None:
    if d.experts is None:
        for key in ("experts_per_token", "expert_ffn", "shared_experts", "first_dense_layers"):
            if getattr(d, key):
                raise DimensionsError(
                    f"architecture: '{key}' is stated but 'experts' is not\n"
                    "  state experts = ..., or leave the key out for a dense model"
                )
        return
    if d.kind not in ("decoder", "encoder", "ssm"):
        raise DimensionsError(
            f"architecture: experts are not known for kind '{d.kind}'\n"
            "  give the model's config.json instead"
        )
    if d.need("experts_per_token") > d.experts:
        raise DimensionsError(
            f"architecture: experts_per_token = {d.experts_per_token} of experts = {d.experts}\n"
            "  a token cannot pass more experts than there are"
        )
    if d.moe_layers < 0:
        raise DimensionsError(
            f"architecture: first_dense_layers = {d.first_dense_layers} of layers = {d.layers}\n"
            "  there cannot be more dense layers than layers"
        )


def _checked(key: str, value: Any) -> Any:
    if key == "kind":
        if value not in KINDS:
            raise DimensionsError(
                f"architecture: kind = {short(value)} is not known\n  known: {', '.join(KINDS)}"
            )
        return value
    if key in _BOOLS:
        if isinstance(value, bool):
            return value
        raise DimensionsError(f"architecture: {key} = {short(value)}\n  expected true or false")
    least = 0 if key in _CAN_BE_ZERO else 1
    number = value
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= LARGEST:
        raise DimensionsError(
            f"architecture: {key} = {short(value)}\n"
            f"  expected a whole number from {least} to {LARGEST:.0e}"
        )
    return number
