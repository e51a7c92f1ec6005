"""Matrix products. ``(m, k) @ (k, n)`` makes ``m·n`` sums of ``k`` products: ``2·m·k·n`` FLOP.

A bias or an accumulated addend adds ``m·n`` elementwise additions, which the field's convention
leaves out of the product's count.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flopcount.registry import Cost, formula


@formula("aten::mm", "aten::_int_mm", "aten::_sparse_mm")
def mm(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> int:
    """``(m, k) @ (k, n)``."""
    return 2 * a.shape[0] * a.shape[1] * b.shape[1]


@formula("aten::addmm", "aten::_addmm_activation")
def addmm(_bias: Any, a: Any, b: Any, *_: Any, out: Any, **__: Any) -> int:
    """``bias + (m, k) @ (k, n)``."""
    return 2 * a.shape[0] * a.shape[1] * b.shape[1]


@formula("aten::bmm")
def bmm(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> int:
    """``(b, m, k) @ (b, k, n)``."""
    return 2 * a.shape[0] * a.shape[1] * a.shape[2] * b.shape[2]


@formula("aten::baddbmm", "aten::addbmm")
def baddbmm(_bias: Any, a: Any, b: Any, *_: Any, out: Any, **__: Any) -> int:
    """``bias + (b, m, k) @ (b, k, n)``; ``addbmm`` then sums over the batch."""
    return 2 * a.shape[0] * a.shape[1] * a.shape[2] * b.shape[2]


@formula("aten::mv")
def mv(a: Any, _b: Any, *_: Any, out: Any, **__: Any) -> int:
    """``(m, k) @ (k,)``."""
    return 2 * a.shape[0] * a.shape[1]


@formula("aten::addmv")
def addmv(_bias: Any, a: Any, _b: Any, *_: Any, out: Any, **__: Any) -> int:
    """``bias + (m, k) @ (k,)``."""
    return 2 * a.shape[0] * a.shape[1]


@formula("aten::dot", "aten::vdot")
def dot(a: Any, _b: Any, *_: Any, out: Any, **__: Any) -> int:
    """``(k,) · (k,)``."""
    return 2 * a.shape[0]


@formula("aten::addr", "aten::ger")
def addr(_a: Any, *_: Any, out: Any, **__: Any) -> int:
    """Outer product ``(m, 1) @ (1, n)``; an addend is elementwise."""
    return 2 * prod(out.shape)


@formula("aten::linear", "aten::mkldnn_linear", "aten::_sparse_semi_structured_linear")
def linear(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:
    """``x (…, k)`` times ``weight (n, k)`` transposed."""
    return 2 * prod(x.shape) * weight.shape[0]


@formula("aten::linear_backward")
def linear_backward(
    x: Any, grad: Any, _weight: Any, mask: Any, *_: Any, out: Any, **__: Any
) -> int:
    """Input gradient and weight gradient cost the forward each, where asked for."""
    return 2 * prod(x.shape) * grad.shape[-1] * (int(mask[0]) + int(mask[1]))


@formula("aten::_trilinear")
def trilinear(
    i1: Any, i2: Any, i3: Any, e1: Any, e2: Any, e3: Any, sumdim: Any, unroll: int = 1, *, out: Any
) -> int:
    """``sum over sumdim of i1·i2·i3`` on the broadcast volume: two products and a sum a cell.

    Bilinear layers reach it as ``(b, i), (o, i, j), (b, j)``. The cheapest order multiplies two
    operands into a matrix product and then contracts with the third; torch's kernel computes
    ``sum(i1·i2 …)`` as a matrix product and an elementwise product-sum, and we count the former
    over the whole volume: 2 FLOP a cell.
    """
    volume = 1
    for axis in range(i1.dim() + len(e1)):
        volume *= max(
            _expanded(i1.shape, e1, axis),
            _expanded(i2.shape, e2, axis),
            _expanded(i3.shape, e3, axis),
        )
    return 2 * volume


def _expanded(shape: Any, inserted: Any, axis: int) -> int:
    """Size on ``axis`` after ``unsqueeze`` at each of ``inserted``."""
    full = list(shape)
    for position in sorted(inserted):
        full.insert(position, 1)
    return int(full[axis])


@formula("aten::_grouped_mm", "aten::_scaled_grouped_mm", "aten::_scaled_grouped_mm_v2")
def grouped_mm(a: Any, b: Any, *rest: Any, out: Any, **kwargs: Any) -> Cost:
    """Every row meets the matrix of its own group only.

    ``(t, k) x (g, k, n)``: ``2·t·k·n``; ``(g, m, k) x (k, t)``: ``2·m·k·t``;
    ``(m, t) x (t, n)`` (weight gradient, ``t`` split into groups): ``2·m·t·n``;
    ``(g, m, k) x (g, k, n)``: ``2·g·m·k·n``. The last entry of ``offs`` says how many rows are in
    use; on meta it is unknown and every row counts.
    """
    offsets = _offsets(rest, kwargs)
    if a.dim() == 2 and b.dim() == 3:
        rows, exact = _used_rows(offsets, a.shape[0])
        return Cost(2 * rows * a.shape[1] * b.shape[2], rows=rows, exact=exact)
    if a.dim() == 3 and b.dim() == 2:
        rows, exact = _used_rows(offsets, b.shape[1])
        return Cost(2 * a.shape[1] * a.shape[2] * rows, rows=rows, exact=exact)
    if a.dim() == 2:
        rows, exact = _used_rows(offsets, a.shape[1])
        return Cost(2 * a.shape[0] * rows * b.shape[1], exact=exact)
    return Cost(2 * a.shape[0] * a.shape[1] * a.shape[2] * b.shape[2])


def _offsets(rest: Any, kwargs: Any) -> Any:
    """The integer vector of group ends among the remaining arguments, or None."""
    for value in (kwargs.get("offs"), *rest):
        if getattr(value, "shape", None) is not None and str(value.dtype) == "torch.int32":
            return value
    return None


def _used_rows(offsets: Any, rows: int) -> tuple[int, bool]:
    """Rows that lie inside a group, and whether that was read from real routing."""
    if offsets is None:
        return rows, True
    known = getattr(offsets, "_is_real", None)
    if offsets.device.type == "cpu" and known is None and type(offsets).__name__ == "Tensor":
        return min(rows, int(offsets[-1])), True
    return rows, False


@formula("aten::_scaled_mm", "aten::_scaled_mm_v2")
def scaled_mm(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> int:
    """fp8 (or packed fp4) product with scales; a packed fp4 byte holds two elements of ``k``."""
    packed = 2 if "float4" in str(a.dtype) else 1
    return 2 * a.shape[0] * a.shape[1] * packed * b.shape[1]


@formula("aten::_cslt_sparse_mm")
def cslt_sparse_mm(compressed: Any, dense: Any, *_: Any, out: Any, **__: Any) -> int:
    """2:4 sparse times dense; counted as the sparse mathematics: half of ``k`` is multiplied."""
    return prod(out.shape) * dense.shape[0]


@formula("aten::_sparse_semi_structured_mm")
def semi_structured_mm(a: Any, _meta: Any, b: Any, *_: Any, out: Any, **__: Any) -> int:
    """``a`` keeps ``k/2`` of ``k`` columns."""
    return 2 * a.shape[0] * a.shape[1] * b.shape[1]


@formula("aten::_sparse_semi_structured_addmm")
def semi_structured_addmm(
    _bias: Any, a: Any, _meta: Any, b: Any, *_: Any, out: Any, **__: Any
) -> int:
    """``bias + a @ b`` where ``a`` keeps ``k/2`` of ``k`` columns."""
    return 2 * a.shape[0] * a.shape[1] * b.shape[1]
