"""What the meta device cannot do by itself and shapes or known values can.

Each function answers a result without storage for an op that raised on meta, or ``NotImplemented``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree

from flopcount.doubles import SPARSE
from flopcount.known_values import KnownValues, UnknownValueError

aten = torch.ops.aten


def rescue(known: KnownValues, func: Any, args: Any, kwargs: Any) -> Any:
    """Try to answer an op that has just raised on tensors without storage."""
    if func is aten._grouped_mm.default:
        return _grouped_mm(*args, **{k: v for k, v in kwargs.items() if k != "bias"})
    if any(_is_sparse(value) for value in args):
        return _sparse_product(func, args)
    mixed = _on_meta(known, args, kwargs)
    if mixed is not None:
        try:
            return func(*mixed[0], **mixed[1])
        except (RuntimeError, NotImplementedError):
            args, kwargs = mixed
    try:
        if func is aten.index.Tensor:
            return func(args[0], _integer_indices(known, args[1]))
        if func is aten.masked_select.default:
            chosen = known.value(args[1].expand(args[0].shape))
            return args[0].new_empty((int(chosen.sum()),))
        return _answer(known, known.run(func, args, kwargs))
    except UnknownValueError:
        return NotImplemented


def _on_meta(known: KnownValues, args: Any, kwargs: Any) -> Any:
    """Arguments with every CPU tensor replaced by a double, or None when there is none."""
    leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    devices = {leaf.device.type for leaf in leaves}
    if devices != {"cpu", "meta"}:
        return None

    def double(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.device.type != "cpu":
            return value
        return _answer(known, value)

    return pytree.tree_map(double, (args, kwargs))


def _answer(known: KnownValues, value: Any) -> Any:
    """Doubles of real results; numbers pass through."""

    def double(item: Any) -> Any:
        if not isinstance(item, torch.Tensor):
            return item
        fresh = torch.empty_like(item, device="meta")
        known.remember_real(fresh, item)
        return fresh

    return pytree.tree_map(double, value)


def _integer_indices(known: KnownValues, indices: Any) -> list[Any]:
    """Boolean indices as the integer indices they select."""
    result: list[Any] = []
    for index in indices:
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            chosen = known.value(index).nonzero(as_tuple=True)
            result += [_answer(known, item) for item in chosen]
        else:
            result.append(index)
    return result


def _grouped_mm(a: Any, b: Any, offs: Any = None, _bias: Any = None, out_dtype: Any = None) -> Any:
    """Shapes of a grouped product; the meta kernel insists on bf16, the mathematics does not."""
    if a.dim() == 2 and b.dim() == 2:
        shape = [offs.shape[0], a.shape[0], b.shape[1]]
    elif a.dim() == 2:
        shape = [a.shape[0], b.shape[2]]
    elif b.dim() == 2:
        shape = [a.shape[1], b.shape[1]]
    else:
        shape = [a.shape[0], a.shape[1], b.shape[2]]
    return a.new_empty(shape, dtype=out_dtype or a.dtype)


def _is_sparse(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout in SPARSE


def _sparse_product(func: Any, args: Any) -> Any:
    """Shapes of a product with a sparse operand, which has no meta kernel."""
    name = func._schema.name
    if name in ("aten::mm", "aten::_sparse_mm"):
        a, b = args[:2]
    elif name in ("aten::addmm", "aten::_sparse_addmm"):
        a, b = args[1:3]
    else:
        return NotImplemented
    dense = b if _is_sparse(a) else a
    return torch.empty((a.shape[0], b.shape[1]), dtype=dense.dtype, device="meta")
