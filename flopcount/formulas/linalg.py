"""Dense linear algebra: the leading terms of the textbook algorithms.

Source: Golub and Van Loan, Matrix Computations, 4th edition, the operation counts of algorithms
3.2.1 (LU, ``2n³/3``), 4.2.1 (Cholesky, ``n³/3``; the symmetric indefinite factor of section 4.4
costs the same), 3.1.1 (triangular solve, ``n²`` a column), 5.2.1 (Householder QR,
``2n²(m − n/3)``). Inverse: ``2n³``. Thirds are rounded down once a matrix.
"""

from __future__ import annotations

from math import prod

from flopcount.registry import Call, call_formula


def _matrix(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Batch, rows, columns."""
    return prod(shape[:-2]), shape[-2], shape[-1]


@call_formula("aten::cholesky", "aten::linalg_cholesky_ex", "aten::linalg_ldl_factor_ex")
def cholesky(call: Call) -> int:
    """``n³/3``, definite or not."""
    batch, n, _ = _matrix(call.shape("self"))
    return batch * (n**3 // 3)


@call_formula("aten::cholesky_inverse")
def cholesky_inverse(call: Call) -> int:
    """From the factor: ``2n³/3``."""
    batch, n, _ = _matrix(call.shape("self"))
    return batch * (2 * n**3 // 3)


@call_formula("aten::cholesky_solve", "aten::_cholesky_solve_helper")
def cholesky_solve(call: Call) -> int:
    """Two triangular solves: ``2n²`` a right-hand side."""
    batch, n, columns = _matrix(call.out_shape())
    return batch * 2 * n * n * columns


@call_formula(
    "aten::linalg_lu",
    "aten::linalg_lu_factor_ex",
    "aten::_linalg_det",
    "aten::_linalg_slogdet",
)
def lu(call: Call) -> int:
    """``(m, n)``: ``m·n·k − (m+n)·k²/2 + k³/3`` products and sums with ``k = min(m, n)``, twice."""
    batch, m, n = _matrix((call.get("A") if "A" in call.arguments else call.get("self")).shape)
    k = min(m, n)
    return batch * ((6 * m * n * k - 3 * (m + n) * k * k + 2 * k**3) // 3)


@call_formula("aten::linalg_lu_solve", "aten::linalg_ldl_solve")
def lu_solve(call: Call) -> int:
    """Two triangular solves, ``2n²`` a right-hand side; these are rows where ``left`` is false."""
    n = int((call.get("LU") if "LU" in call.arguments else call.get("LD")).shape[-1])
    return 2 * n * prod(call.out_shape())


@call_formula("aten::_linalg_solve_ex")
def solve(call: Call) -> int:
    """LU, then two triangular solves for each right-hand side."""
    batch, n, _ = _matrix(call.shape("A"))
    right = prod(call.shape("B")) // max(batch * n, 1)
    return batch * (2 * n**3 // 3 + 2 * n * n * right)


@call_formula("aten::linalg_inv_ex")
def inverse(call: Call) -> int:
    """``2n³``."""
    batch, n, _ = _matrix(call.shape("A"))
    return batch * 2 * n**3


@call_formula("aten::linalg_solve_triangular", "aten::triangular_solve")
def triangular(call: Call) -> int:
    """``n²`` a right-hand side."""
    matrix = call.get("A") if "A" in call.arguments else call.get("self")
    return int(matrix.shape[-1]) * prod(call.out_shape())


def _reflectors(m: int, n: int, k: int) -> int:
    """``4mnk − 2(m+n)k² + 4k³/3``: the first ``n`` columns of ``k`` reflectors' product."""
    return (12 * m * n * k - 6 * (m + n) * k * k + 4 * k**3) // 3


@call_formula("aten::linalg_qr", "aten::geqrf")
def qr(call: Call) -> int:
    """``2k²(max(m, n) − k/3)``, and ``Q`` formed of its reflectors, thin or whole, unless R alone."""
    matrix = call.get("A") if "A" in call.arguments else call.get("self")
    batch, m, n = _matrix(tuple(matrix.shape))
    k, longer = min(m, n), max(m, n)
    factored = 2 * k * k * (3 * longer - k) // 3
    mode = call.get("mode", "reduced")
    if "A" not in call.arguments or mode == "r":
        return batch * factored
    return batch * (factored + _reflectors(m, m if mode == "complete" else k, k))


@call_formula("aten::linalg_householder_product")
def householder(call: Call) -> int:
    """``Q`` of ``k`` reflectors."""
    batch, m, n = _matrix(call.shape("input"))
    return batch * _reflectors(m, n, call.shape("tau")[-1])


@call_formula("aten::ormqr")
def ormqr(call: Call) -> int:
    """``k`` reflectors of length ``m`` on the third matrix: ``4·m·k`` a column, less the zeros."""
    batch, m, _ = _matrix(call.shape("self"))
    k, others = call.shape("input2")[-1], prod(call.shape("input3")) // max(batch * m, 1)
    return batch * (4 * m * k - 2 * k * k) * others
