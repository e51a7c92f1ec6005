"""An attention for the transformers library that says which pairs it allows instead of a mask.

The library builds masks by looking at data, which tensors without storage do not have. An attention
whose mask it does not know gets none: torch's fused function then says "causal" by itself, and a
sliding window is passed on as a number, which is put beside the call here.
"""

from __future__ import annotations

from typing import Any

from flopcount.closed_form.sheet import causal_pairs

NAME = "flopcount"


def register() -> str:
    """Make the attention known to the library under :data:`NAME` and return the name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    return NAME


def attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any = None, **settings: Any
) -> Any:
    """Run torch's fused attention: causal, within a window where the layer has one, or in full."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    # A soft cap and attention sinks work on single scores: they change no product.
    for elementwise in ("softcap", "s_aux"):
        settings.pop(elementwise, None)
    window = settings.get("sliding_window")
    length = query.shape[-2]
    if (
        attention_mask is None
        and isinstance(window, int)
        and 0 < window < length == key.shape[-2]
        and getattr(module, "is_causal", False)
    ):
        attention_mask = _window_mask(query, length, window)
    if attention_mask is None and settings.get("position_bias") is not None:
        is_causal = bool(getattr(module, "is_causal", False))
        attention_mask = _biased_mask(settings.pop("position_bias"), query, key, is_causal)
    return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)


def _biased_mask(bias: Any, query: Any, key: Any, is_causal: bool) -> Any:
    """A learned bias joins the scores (T5): beside it stands no mask but the layer's own."""
    import torch

    from flopcount.dtypes import dtype_name
    from flopcount.scopes import Attention

    length, keys = query.shape[-2], key.shape[-2]
    pairs = allowed = length * keys
    if is_causal and length == keys:
        place = torch.arange(length, device=query.device)
        bias = torch.where(place[:, None] >= place[None, :], bias, torch.finfo(key.dtype).min)
        allowed = causal_pairs(length)
    mask = bias.contiguous()
    if mask.device.type == "meta":
        mask._flopcount_attention = Attention(allowed, pairs, dtype_name(query.dtype))
    return mask


def _window_mask(query: Any, length: int, window: int) -> Any:
    import torch

    if query.device.type != "meta":
        place = torch.arange(length, device=query.device)
        distance = place[:, None] - place[None, :]
        return ((distance >= 0) & (distance < window))[None, None]
    from flopcount.dtypes import dtype_name
    from flopcount.scopes import Attention

    mask = torch.empty(1, 1, length, length, dtype=torch.bool, device="meta")
    # The trace reads here what it would otherwise count in the mask's values.
    mask._flopcount_attention = Attention(
        causal_pairs(length, window), length * length, dtype_name(query.dtype)
    )
    return mask
