"""Scaled dot-product attention.

Scores ``q @ kᵀ`` cost ``2·B·H·Sq·Sk·D``, values ``p @ v`` cost ``2·B·H·Sq·Sk·Dv``; the mathematical
backward is four products of those two sizes (gradients of values, probabilities, queries, keys),
twice the forward. A fused backward computes the scores once more: that is ``rescored``, work of
the machine and not of the model. Under a mask only the allowed pairs count: for a causal mask
aligned at the top left, query ``i`` sees ``min(i + 1, Sk)`` keys.
"""

from __future__ import annotations

from typing import Any

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


def _dense(call: Call, *, backward: bool) -> Cost:
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
    return _dense(call, backward=False)


@call_formula(
    "aten::_scaled_dot_product_flash_attention_backward",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    "aten::_scaled_dot_product_cudnn_attention_backward",
    "aten::_scaled_dot_product_efficient_attention_backward",
    "aten::_scaled_dot_product_fused_attention_overrideable_backward",
)
def fused_backward(call: Call) -> Cost:
    """Four products; the fifth, the scores again, is ``rescored``."""
    return _dense(call, backward=True)


def _sequence_first(call: Call, *, backward: bool) -> Cost:
    """Kernels on ``(B, S, H, D)``, or on packed ``(T, H, D)`` with cumulative lengths."""
    query, key, value = (call.shape(name) for name in ("query", "key", "value"))
    ends_q = call.get("cum_seq_q", call.get("cu_seqlens_q"))
    ends_k = call.get("cum_seq_k", call.get("cu_seqlens_k"))
    kind = call.get("custom_mask_type", 0)
    causal = bool(call.get("is_causal", False)) or kind in (1, 2)
    if ends_q is None:
        return attention(*map(_heads_first, (query, key, value)), causal=causal, backward=backward)
    lengths = _lengths(ends_q, ends_k)
    if lengths is None:
        # Without data: as if every packed sequence had the greatest length; an upper bound.
        longest = int(call.get("max_k") or call.get("max_seqlen_k") or key[-3])
        pairs = query[-3] * min(longest, key[-3])
        return _packed(query, value, pairs, pairs, backward=backward, exact=False)
    pairs = sum(q * k for q, k in lengths)
    allowed = sum(causal_pairs(q, k) for q, k in lengths) if causal else pairs
    return _packed(query, value, pairs, allowed, backward=backward, exact=True)


def _packed(
    query: Shape, value: Shape, pairs: int, allowed: int, *, backward: bool, exact: bool
) -> Cost:
    score, mix = 2 * query[-2] * query[-1], 2 * query[-2] * value[-1]
    a_pair = (score + mix) * (2 if backward else 1)
    return Cost(
        a_pair * pairs,
        attention=a_pair * pairs,
        masked=a_pair * allowed,
        rescored=score * pairs if backward else 0,
        exact=exact,
        low=a_pair * query[-3],  # each query sees at least one key
    )


def _heads_first(shape: Shape) -> Shape:
    """``(B, S, H, D)`` as ``(B, H, S, D)``."""
    return (*shape[:-3], shape[-2], shape[-3], shape[-1])


def _lengths(ends_q: Any, ends_k: Any) -> list[tuple[int, int]] | None:
    """Length of each packed sequence, or None when the cumulative lengths hold no data."""
    if ends_q.device.type != "cpu" or type(ends_q).__name__ != "Tensor":
        return None
    q, k = ends_q.tolist(), (ends_q if ends_k is None else ends_k).tolist()
    return [(q1 - q0, k1 - k0) for q0, q1, k0, k1 in zip(q[:-1], q[1:], k[:-1], k[1:], strict=True)]


@call_formula(
    "aten::_flash_attention_forward",
    "aten::_flash_attention_forward_no_dropout_inplace",
    "aten::_efficient_attention_forward",
)
def sequence_first_forward(call: Call) -> Cost:
    """The kernels beneath the public op."""
    return _sequence_first(call, backward=False)


@call_formula("aten::_flash_attention_backward", "aten::_efficient_attention_backward")
def sequence_first_backward(call: Call) -> Cost:
    """Their backward."""
    return _sequence_first(call, backward=True)


@call_formula("aten::_cudnn_attention_forward")
def cudnn_forward(call: Call) -> Cost:
    """Beneath the public op; ``(B, H, S, D)`` when dense."""
    packed = call.get("cum_seq_q") is not None
    return _sequence_first(call, backward=False) if packed else _dense(call, backward=False)


@call_formula("aten::_cudnn_attention_backward")
def cudnn_backward(call: Call) -> Cost:
    """Its backward."""
    return _dense(call, backward=True)
