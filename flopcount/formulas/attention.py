"""Scaled dot-product attention.

Scores ``q @ kᵀ`` cost ``2·B·H·Sq·Sk·D``, values ``p @ v`` cost ``2·B·H·Sq·Sk·Dv``; the mathematical
backward is four products of those two sizes (gradients of values, probabilities, queries, keys),
twice the forward. A fused backward computes the scores once more: that is ``rescored``, work of
the machine and not of the model. Under a mask only the allowed pairs count: for a causal mask
aligned at the top left, query ``i`` sees ``min(i + 1, Sk)`` keys.
"""

from __future__ import annotations

from flopcount.registry import Call, Cost, call_formula

Shape = tuple[int, ...]


def causal_pairs(queries: int, keys: int) -> int:
    """Allowed pairs of a causal mask aligned at the top left: row ``i`` has ``min(i+1, keys)``."""
    triangle = min(queries, keys)
    return triangle * (triangle + 1) // 2 + (queries - triangle) * keys


def attention(
    query: Shape,
    key: Shape,
    value: Shape,
    *,
    causal: bool,
    backward: bool,
    pairs: int | None = None,
) -> Cost:
    """Cost of one call on shapes ``(B, H, S, D)``; key heads may be fewer (grouped queries).

    ``pairs`` is the number of allowed query-key pairs of one head, when a mask says so.
    """
    *batch, queries, width = query
    keys, value_width = key[-2], value[-1]
    heads = 1
    for size in batch:
        heads *= size
    allowed = causal_pairs(queries, keys) if pairs is None and causal else pairs
    allowed = queries * keys if allowed is None else allowed
    score, mix = 2 * heads * width, 2 * heads * value_width
    times = 2 if backward else 1
    a_pair = times * (score + mix)
    return Cost(
        a_pair * queries * keys,
        attention=a_pair * queries * keys,
        masked=a_pair * allowed,
        rescored=score * queries * keys if backward else 0,
    )


def dense(call: Call, *, backward: bool) -> Cost:
    """Cost of a call whose arguments are queries, keys and values ``(B, H, S, D)``."""
    return attention(
        call.shape("query"),
        call.shape("key"),
        call.shape("value"),
        causal=bool(call.get("is_causal", False)),
        backward=backward,
    )


@call_formula(
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_fused_attention_overrideable",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_attention_math_for_mps",
)
def fused_forward(call: Call) -> Cost:
    """Queries ``(B, H, S, D)`` and every query-key pair."""
    return dense(call, backward=False)


@call_formula(
    "aten::_scaled_dot_product_flash_attention_backward",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    "aten::_scaled_dot_product_cudnn_attention_backward",
    "aten::_scaled_dot_product_efficient_attention_backward",
    "aten::_scaled_dot_product_fused_attention_overrideable_backward",
)
def fused_backward(call: Call) -> Cost:
    """Four products; the fifth, the scores again, is ``rescored``."""
    return dense(call, backward=True)
