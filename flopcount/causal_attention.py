"""An attention for the transformers library that says which pairs it allows instead of a mask.

The library asks whoever makes its masks for one mask a kind of layer, and says which pairs it allows
by a function of their places. We answer with a tensor without storage that knows how many pairs those
are, so that a mask costs nothing at any length, and with none where torch's fused function is causal, or
attends in full, by itself. What is no mask of places alone (packed sequences, padding, blocks of an
image) the library makes as ever; its values are then read, or it is said that they are unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flopcount.closed_form.sheet import causal_pairs, pairs_on_both_sides

if TYPE_CHECKING:
    from collections.abc import Callable

FUSED = "flopcount"
"""For classes that run with torch's fused attention."""
WRITTEN = "flopcount-written"
"""For classes that write their attention out, and may lengthen the mask that they are given."""
UNMASKED = "flopcount-unmasked"
"""For counters that know no values: the library asks for no mask, and so nothing of its inputs."""
NAMES = (FUSED, WRITTEN, UNMASKED)


def register(*, fused: bool) -> str:
    """Make the attention known to the library and return its name."""
    from transformers import AttentionInterface, AttentionMaskInterface

    for name, mask in ((FUSED, fused_mask), (WRITTEN, written_mask)):
        AttentionInterface.register(name, attend)
        AttentionMaskInterface.register(name, mask)
    AttentionInterface.register(UNMASKED, attend)
    return FUSED if fused else WRITTEN


def without_masks(model: Any) -> None:
    """Let a model run where no value is known; what a mask forbids changes no dense count."""
    if getattr(getattr(model, "config", None), "_attn_implementation", None) in NAMES:
        model.set_attn_implementation(UNMASKED)


def attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any = None, **settings: Any
) -> Any:
    """Run torch's fused attention: as the mask says, causal, or in full."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    chosen = settings.pop("indices", None)
    if chosen is not None and attention_mask is not None:
        attention_mask = _chosen_keys(attention_mask, chosen.shape[-1], query, key)
    # A soft cap and attention sinks work on single scores: they change no product.
    for elementwise in ("softcap", "s_aux"):
        settings.pop(elementwise, None)
    if attention_mask is None and settings.get("position_bias") is not None:
        is_causal = bool(getattr(module, "is_causal", False))
        attention_mask = _biased_mask(settings.pop("position_bias"), query, key, is_causal)
    return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)


def fused_mask(**asked: Any) -> Any:
    """Answer the library's question for a mask; None where the fused function needs none."""
    from transformers.masking_utils import sdpa_mask

    allowed = _allowed_pairs(asked)
    if allowed is None:
        return sdpa_mask(**_in_full(asked))
    return None if _is_plain(asked) else _known_mask(asked, allowed)


def written_mask(**asked: Any) -> Any:
    """Answer the library's question for a mask that is added to scores."""
    from transformers.masking_utils import eager_mask

    allowed = _allowed_pairs(asked)
    if allowed is None:
        return eager_mask(**_in_full(asked))
    if asked.get("allow_is_bidirectional_skip") and _is_plain(asked):
        return None
    return _known_mask(asked, allowed, dtype=asked["dtype"])


def _in_full(asked: dict[str, Any]) -> dict[str, Any]:
    """The library's mask in full: whether one is needed it would ask of the padding's values."""
    if asked.get("attention_mask") is None:
        return {**asked, "allow_is_causal_skip": False}
    return {**asked, "allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}


def _is_plain(asked: dict[str, Any]) -> bool:
    """Whether no window limits the pairs; one of none at all is how files write that there is none."""
    local = asked.get("local_size")
    return local is None or local < 1 or local >= asked["kv_length"]


def _known_mask(asked: dict[str, Any], allowed: int, dtype: Any = None) -> Any:
    """A mask without storage. The trace reads here what it would otherwise count in its values."""
    import torch

    from flopcount.scopes import Attention

    queries, keys = asked["q_length"], asked["kv_length"]
    mask = torch.empty(1, 1, queries, keys, dtype=dtype or torch.bool, device="meta")
    mask._flopcount_attention = Attention(allowed, queries * keys)
    return mask


def _allowed_pairs(asked: dict[str, Any]) -> int | None:
    """Pairs that a mask allows where that follows from places alone; None where it does not.

    The library says itself that nothing but causality, or nothing at all, and a window limit them.
    """
    length, given = asked["kv_length"], asked.get("attention_mask")
    causal = asked.get("allow_is_causal_skip", True)
    of_places = (
        (causal or asked.get("allow_is_bidirectional_skip", False))
        and asked["q_length"] == length
        and str(asked.get("device")).startswith("meta")
        and _hides_nothing(given)
    )
    if not of_places:
        return None
    local = None if _is_plain(asked) else int(asked["local_size"])
    if causal:
        if local is None:
            return causal_pairs(length)
        return _local_pairs(_asking(asked["mask_function"]), length, local)
    return length * length if local is None else pairs_on_both_sides(length, local)


def _hides_nothing(given: Any) -> bool:
    """Whether a mask of padding is there and hides something, as far as its values are known."""
    try:
        return given is None or bool(given.all())
    except RuntimeError:  # nobody knows
        return False


def _asking(mask_function: Callable[..., Any]) -> Callable[[int, int], bool]:
    import torch

    def allows(query: int, key: int) -> bool:
        places = (0, 0, query, key)
        return bool(mask_function(*(torch.full((), n, device="meta") for n in places)))

    return allows


def _local_pairs(allows: Callable[[int, int], bool], length: int, local: int) -> int | None:
    """Pairs within a window that slides, or within chunks of that length, told apart by asking."""
    if local < 2:
        return causal_pairs(length, local)
    inside, before = allows(local - 1, 0), allows(local, 1)
    if inside and before and not allows(local, 0):
        return causal_pairs(length, local)
    if inside and not before and allows(local, local):
        whole, rest = divmod(length, local)
        return whole * causal_pairs(local) + causal_pairs(rest)
    return None


def _chosen_keys(mask: Any, chosen: int, query: Any, key: Any) -> Any:
    """An indexer chose that many keys for each query: of fewer that its mask allows, all.

    Which ones they are is data; how many is not. Where the mask's own values have to be asked for that,
    they are asked once for all layers.
    """
    import torch

    from flopcount.scopes import Attention

    length, pairs = key.shape[-2], query.shape[-2] * key.shape[-2]
    found = getattr(mask, "_flopcount_attention", None)
    asked: dict[int, Attention] = vars(mask).setdefault("_flopcount_of_chosen", {})
    if found is not None and found.pairs == pairs and found.allowed == causal_pairs(length):
        asked[chosen] = Attention(causal_pairs(length, chosen), pairs)
    if chosen not in asked:
        same = mask.view(mask.shape)
        same._flopcount_chosen = (chosen, asked)
        return same
    sparse = torch.empty_like(mask)
    sparse._flopcount_attention = asked[chosen]
    return sparse


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
