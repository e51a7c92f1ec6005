"""Shapes of plain elementwise results on meta, without torch's own slow way to them.

torch works out the shape of a product on meta in Python, operand by operand, in a third of a
millisecond: half the time of a trace. Where all operands are contiguous, of one type, and one has
the shape of the result, there is nothing to work out. Everything else takes torch's own way.
"""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten
EMPTY = aten.empty_strided.default
OPERANDS = (torch.Tensor, torch.nn.Parameter)
"""Other classes of tensors decide for themselves."""
FLOATING = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
"""In these no real number changes the type of a result, and no op has another type of result."""
NUMBERS = (int, float)
"""True and False are numbers as well, though not to every op."""

BINARY = frozenset({aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor, aten.div.Tensor})
SCALED = frozenset({aten.mul.Scalar, aten.add.Scalar, aten.div.Scalar, aten.pow.Tensor_Scalar})
UNARY = frozenset(
    {
        aten.rsqrt.default,
        aten.neg.default,
        aten.silu.default,
        aten.sigmoid.default,
        aten.exp.default,
    }
)
SHORT = BINARY | SCALED | UNARY


def result_on_meta(func: Any, args: Any, kwargs: Any) -> Any:
    """The result of an elementwise op, or None where torch has to say."""
    if func not in SHORT or kwargs or len(args) != (1 if func in UNARY else 2):
        return None
    first, second = args[0], args[-1]
    if not _is_plain(first):
        return None
    if type(second) in NUMBERS or func in UNARY:
        return _like(first)
    if func in SCALED or not _is_plain(second) or first.dtype is not second.dtype:
        return None
    if first.shape == second.shape or _spreads_over(second.shape, first.shape):
        return _like(first)
    return _like(second) if _spreads_over(first.shape, second.shape) else None


def _is_plain(value: Any) -> bool:
    return (
        type(value) in OPERANDS
        and value.is_meta
        and value.dtype in FLOATING
        and value.layout is torch.strided
        and not value.is_nested
        and value.numel() > 0  # strides of nothing are torch's own choice
        # Not is_contiguous(), which lets axes of one element have any stride; torch keeps those.
        and value.stride() == _strides(value.shape)
    )


def _like(tensor: Any) -> Any:
    return EMPTY(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device)


def _strides(shape: Any) -> tuple[int, ...]:
    """Strides of a tensor as it is made."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(strides[::-1])


def _spreads_over(small: Any, large: Any) -> bool:
    """Whether an operand of one shape is repeated to fill the other."""
    if len(small) > len(large):
        return False
    ending = large[len(large) - len(small) :]
    return all(size in (1, whole) for size, whole in zip(small, ending, strict=True))
