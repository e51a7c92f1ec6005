"""Attention kernels beneath the public function, on ``(B, S, H, D)`` or on packed sequences.

Packed are sequences of different lengths behind each other, ``(T, H, D)``, beside the places where
each begins and the last ends. Each attends to itself only, so the cost is in the lengths. Without
data every sequence counts as if it had the greatest length, which is an upper bound.

A window lets query ``i`` see keys from ``i + s − left`` to ``i + s + right``, where the shift ``s`` is
``keys − queries``: the last query sees the last key. A causal mask is the window without a left side
and ``right = 0``; an older kernel may align its first query with the first key instead, ``s = 0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from flopcount.formulas.attention import Shape, attention, dense
from flopcount.registry import Call, Cost, call_formula

VALUES = "_flopcount_values"
"""On a tensor without storage: the whole numbers that are known to be in it."""
STARTS_OF_QUERIES = ("cum_seq_q", "cu_seqlens_q", "cu_seq_q")
STARTS_OF_KEYS = ("cum_seq_k", "cu_seqlens_k", "cu_seq_k")
USED_KEYS = ("seqused_k", "seqlen_k")
LENGTHS = frozenset({*STARTS_OF_QUERIES, *STARTS_OF_KEYS, *USED_KEYS})
"""Arguments whose values decide what a call costs."""
TOP_LEFT = 1
"""``custom_mask_type`` of a causal mask whose first query sees the first key alone."""


def pairs_within(
    queries: int, keys: int, left: int | None, right: int | None, shift: int | None = None
) -> int:
    """Query-key pairs inside a window; None is a side without an end."""
    shift = keys - queries if shift is None else shift
    upper = queries * keys if right is None else _pairs_up_to(queries, keys, shift + right)
    lower = 0 if left is None else _pairs_up_to(queries, keys, shift - left - 1)
    return upper - lower


def _pairs_up_to(queries: int, keys: int, distance: int) -> int:
    """Pairs with ``key − query <= distance``: the sum over ``i`` of ``i + distance + 1`` in bounds."""
    first, last = distance + 1, distance + queries
    full = max(0, last - max(first, keys) + 1)
    rising_from, rising_to = max(first, 1), min(last, keys - 1)
    rising = max(0, rising_to - rising_from + 1) * (rising_from + rising_to) // 2
    return full * keys + rising


def _allowed(call: Call, lengths: Sequence[tuple[int, int]]) -> int:
    """Pairs that the mask of a call allows, over all sequences."""
    sides = call.get("window_size") or (call.get("window_size_left"), call.get("window_size_right"))
    if isinstance(sides, int):  # an older kernel: that many keys up to the query's own
        sides = sides - 1, None
    left, right = (None if side is None or side < 0 else int(side) for side in sides)
    kind = int(call.get("custom_mask_type", 0))
    if call.get("is_causal", False) or kind:
        right = 0
    shift = 0 if kind == TOP_LEFT else None
    return sum(pairs_within(q, k, left, right, shift) for q, k in lengths)


def _cost(call: Call, *, backward: bool) -> Cost:
    query, key, value = (call.shape(name) for name in ("query", "key", "value"))
    starts = _first(call, STARTS_OF_QUERIES)
    if starts is None:
        pairs = _allowed(call, [(query[-3], key[-3])])
        shapes = map(_heads_first, (query, key, value))
        return attention(*shapes, causal=False, backward=backward, pairs=pairs)
    lengths = _lengths(starts, _first(call, STARTS_OF_KEYS), _first(call, USED_KEYS))
    score, mix = 2 * query[-2] * query[-1], 2 * query[-2] * value[-1]
    a_pair = (score + mix) * (2 if backward else 1)
    if lengths is None:
        longest = call.get("max_k") or call.get("max_seqlen_k") or key[-3]
        pairs = allowed = query[-3] * int(longest)
    else:
        pairs, allowed = sum(q * k for q, k in lengths), _allowed(call, lengths)
    return Cost(
        a_pair * pairs,
        attention=a_pair * pairs,
        masked=a_pair * allowed,
        rescored=score * pairs if backward else 0,
        exact=lengths is not None,
        low=a_pair * query[-3],  # each query sees at least one key
    )


def _first(call: Call, names: Sequence[str]) -> Any:
    return next((call.arguments[name] for name in names if call.get(name) is not None), None)


def _heads_first(shape: Shape) -> Shape:
    """``(B, S, H, D)`` as ``(B, H, S, D)``."""
    return (*shape[:-3], shape[-2], shape[-3], shape[-1])


def _lengths(starts: Any, starts_of_keys: Any, used: Any) -> list[tuple[int, int]] | None:
    """Queries and keys of each sequence, or None where no data tells them."""
    places = _numbers(starts)
    of_keys = places if starts_of_keys is None else _numbers(starts_of_keys)
    keys = _numbers(used) if used is not None else of_keys and _steps(of_keys)
    if places is None or keys is None:
        return None
    return list(zip(_steps(places), keys, strict=True))


def _steps(places: Sequence[int]) -> list[int]:
    return [end - start for start, end in pairwise(places)]


def _numbers(tensor: Any) -> list[int] | None:
    if tensor.device.type == "cpu" and type(tensor).__name__ == "Tensor":
        return list(tensor.tolist())
    return getattr(tensor, VALUES, None)


@call_formula(
    "aten::_flash_attention_forward",
    "aten::_flash_attention_forward_no_dropout_inplace",
    "aten::_efficient_attention_forward",
    "aten::_cudnn_attention_forward_no_dropout_inplace",
    "torch_attn::_varlen_attn",
    "torch_attn::_varlen_attn_out",
)
def forward(call: Call) -> Cost:
    """Every query with every key of its own sequence."""
    return _cost(call, backward=False)


@call_formula(
    "aten::_flash_attention_backward",
    "aten::_efficient_attention_backward",
    "torch_attn::_varlen_attn_backward",
)
def backward(call: Call) -> Cost:
    """Four products; the fifth, the scores again, is ``rescored``."""
    return _cost(call, backward=True)


@call_formula("aten::_cudnn_attention_forward")
def cudnn_forward(call: Call) -> Cost:
    """``(B, H, S, D)`` when dense."""
    packed = call.get("cum_seq_q") is not None
    return _cost(call, backward=False) if packed else dense(call, backward=False)


@call_formula("aten::_cudnn_attention_backward")
def cudnn_backward(call: Call) -> Cost:
    """Its backward."""
    packed = call.get("cum_seq_q") is not None
    return _cost(call, backward=True) if packed else dense(call, backward=True)
