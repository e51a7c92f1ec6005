"""Matrix products. ``(m, k) @ (k, n)`` makes ``m·n`` sums of ``k`` products: ``2·m·k·n`` FLOP.

A bias or an accumulated addend adds ``m·n`` elementwise additions, which the field's convention
leaves out of the product's count. A sparse operand costs ``2·n`` for each of its stored elements.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flopcount.registry import Call, call_formula


def _is_sparse(tensor: Any) -> bool:
    return "sparse" in str(getattr(tensor, "layout", ""))


def stored(tensor: Any) -> int:
    """How many elements a sparse tensor stores.

    Nearly every op on a sparse tensor without storage answers one that stores nothing, though on real
    numbers it would store what it was given; so nothing stored there means that nobody knows.

    Raises:
        RuntimeError: where that is not known; the trace then goes on with real numbers.

    """
    number = int(tensor._nnz())
    if not number and (tensor.device.type == "meta" or hasattr(tensor, "fake_mode")):
        raise RuntimeError("how many elements a sparse tensor without storage holds is not known")
    return number


def product(a: Any, b: Any) -> int:
    """``a (…, m, k)`` times ``b (…, k, n)``; a sparse operand by its stored elements."""
    if _is_sparse(a):
        return 2 * stored(a) * int(b.shape[-1])
    if _is_sparse(b):
        return 2 * int(a.shape[-2]) * stored(b)
    return 2 * int(prod(a.shape)) * int(b.shape[-1])


@call_formula("aten::mm", "aten::_int_mm", "aten::bmm", "aten::hspmm")
def mm(call: Call) -> int:
    """``self @ mat2``, batched or not."""
    first = call.get("self", call.get("mat1"))
    return product(first, call.arguments["mat2"])


@call_formula("aten::_sparse_mm")
def sparse_mm(call: Call) -> int:
    """``sparse @ dense``."""
    return product(call.arguments["sparse"], call.arguments["dense"])


@call_formula("aten::_sparse_sparse_matmul")
def sparse_sparse(call: Call) -> int:
    """Each stored element of ``self`` meets, on average, ``nnz(other) / k`` others."""
    a, b = call.arguments["self"], call.arguments["other"]
    return 2 * stored(a) * stored(b) // max(int(b.shape[0]), 1)


@call_formula("aten::addmm", "aten::_addmm_activation", "aten::_sparse_addmm", "aten::sspaddmm")
def addmm(call: Call) -> int:
    """``self + mat1 @ mat2``."""
    first = call.get("mat1", call.get("sparse"))
    return product(first, call.get("mat2", call.get("dense")))


@call_formula("aten::sparse_sampled_addmm")
def sampled(call: Call) -> int:
    """Dot products of length ``k`` only where ``self`` stores an element."""
    return 2 * stored(call.arguments["self"]) * call.shape("mat1")[-1]


@call_formula("aten::_sparse_mm_reduce_impl")
def sparse_reduce(call: Call) -> int:
    """``self @ other`` with another reduction than the sum; as many steps."""
    return product(call.arguments["self"], call.arguments["other"])


@call_formula("aten::_sparse_mm_reduce_impl_backward")
def sparse_reduce_backward(call: Call) -> int:
    """One product's worth for each asked gradient."""
    once = product(call.arguments["self"], call.arguments["weight"])
    return once * sum(map(bool, call.arguments["output_mask"]))


@call_formula("aten::baddbmm", "aten::addbmm")
def baddbmm(call: Call) -> int:
    """``self + batch1 @ batch2``; ``addbmm`` then sums over the batch."""
    return product(call.arguments["batch1"], call.arguments["batch2"])


@call_formula("aten::_foreach_mm")
def foreach_mm(call: Call) -> int:
    """A list of products."""
    pairs = zip(call.arguments["self"], call.arguments["mat2"], strict=True)
    return sum(product(a, b) for a, b in pairs)


@call_formula("aten::mv")
def mv(call: Call) -> int:
    """``(m, k) @ (k,)``."""
    return 2 * prod(call.shape("self"))


@call_formula("aten::addmv")
def addmv(call: Call) -> int:
    """``self + mat @ vec``."""
    return 2 * prod(call.shape("mat"))


@call_formula("aten::dot", "aten::vdot")
def dot(call: Call) -> int:
    """``(k,) · (k,)``."""
    return 2 * call.shape("self")[0]


@call_formula("aten::addr")
def addr(call: Call) -> int:
    """Outer product ``(m, 1) @ (1, n)``; the addend is elementwise."""
    return 2 * call.shape("vec1")[0] * call.shape("vec2")[0]


@call_formula("aten::linear", "aten::mkldnn_linear", "aten::_sparse_semi_structured_linear")
def linear(call: Call) -> int:
    """``input (…, k)`` to a result ``(…, n)``."""
    x = call.get("input", call.get("self"))
    return 2 * int(prod(x.shape)) * call.out_shape()[-1]


@call_formula("aten::linear_backward", "aten::mkldnn_linear_backward")
def linear_backward(call: Call) -> int:
    """Input gradient and weight gradient cost the forward each, where asked for."""
    mask = call.arguments["output_mask"]
    once = 2 * prod(call.shape("self")) * call.shape("grad_output")[-1]
    return once * (int(mask[0]) + int(mask[1]))


@call_formula("aten::mkldnn_linear_backward_weights")
def mkldnn_weights(call: Call) -> int:
    """Weight gradient."""
    return 2 * prod(call.shape("input")) * call.shape("grad_output")[-1]


@call_formula("aten::mkldnn_linear_backward_input")
def mkldnn_input(call: Call) -> int:
    """Input gradient."""
    return 2 * prod(call.shape("grad_output")) * call.shape("weight")[-1]


@call_formula("aten::matmul_backward")
def matmul_backward(call: Call) -> int:
    """``self (…, m, k) @ other (…, k, n)``: one forward's worth for each asked gradient."""
    mask = call.arguments["mask"]
    grad, k = call.shape("grad"), call.shape("self")[-1]
    return 2 * prod(grad) * k * (int(mask[0]) + int(mask[1]))


@call_formula("aten::_trilinear")
def trilinear(call: Call) -> int:
    """``i1·i2·i3`` summed over a broadcast volume, as bilinear layers use it.

    The cheapest order contracts two operands as a matrix product over the whole volume, 2 FLOP a
    cell; the product with the third operand is then elementwise on a smaller volume.
    """
    operands = [(call.shape(f"i{i}"), call.arguments[f"expand{i}"]) for i in (1, 2, 3)]
    rank = len(operands[0][0]) + len(operands[0][1])
    return 2 * prod(
        max(_expanded(shape, inserted)[axis] for shape, inserted in operands)
        for axis in range(rank)
    )


def _expanded(shape: tuple[int, ...], inserted: Any) -> list[int]:
    """The shape after ``unsqueeze`` at each of ``inserted``."""
    full = list(shape)
    for position in sorted(inserted):
        full.insert(position, 1)
    return full


@call_formula("aten::_cdist_forward", "aten::_euclidean_dist")
def cdist(call: Call) -> int:
    """Distances between ``P`` and ``R`` points of ``M`` coordinates: ``2·P·R·M``."""
    return 2 * prod(call.out_shape()) * call.shape("x1")[-1]


@call_formula("aten::_cdist_backward")
def cdist_backward(call: Call) -> int:
    """The gradient of one set of points; autograd calls it once for each set."""
    return 2 * prod(call.shape("cdist")) * call.shape("x1")[-1]


@call_formula("aten::_pdist_forward")
def pdist(call: Call) -> int:
    """``n·(n−1)/2`` pairs of ``m`` coordinates."""
    points, width = call.shape("self")
    return points * (points - 1) * width


@call_formula("aten::_pdist_backward")
def pdist_backward(call: Call) -> int:
    """As the forward."""
    points, width = call.shape("self")
    return points * (points - 1) * width
