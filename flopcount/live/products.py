"""What a real op of a running program costs, where nobody traces: asked op by op as it is executed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch._ops import HigherOrderOperator

from flopcount import formulas  # noqa: F401  (formulas register themselves)
from flopcount.dtypes import dtype_name
from flopcount.registry import evaluate
from flopcount.rules import parameters_of, resolve
from flopcount.tensors import tensors

Price = Callable[[Any, Any, Any], tuple[str, int] | None]
"""Takes positional and named arguments and the result; answers dtype and FLOP, None where nobody knows."""

COMPOSITE = frozenset(
    """bilinear cdist chain_matmul conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    corrcoef cov einsum gru gru_cell inner kron linalg_multi_dot linalg_matrix_power lstm lstm_cell
    scaled_dot_product_attention tensordot""".split()  # noqa: SIM905
)
"""Ops that are products and come in one piece in inference mode, where no rule takes them apart."""


def price_of(func: Any) -> Price | None:
    """How to ask what calls of an op cost; None for one that multiplies no matrices.

    An op of somebody's own without a rule counts for none: what it does cannot be seen.
    """
    if isinstance(func, HigherOrderOperator):
        return _unknown
    rule = resolve(func)
    if rule.kind == "formula":
        name, parameters = rule.name, parameters_of(func)

        def priced(args: Any, kwargs: Any, out: Any) -> tuple[str, int] | None:
            cost = evaluate(name, args, kwargs, out, parameters)
            first = next(tensors((args, kwargs)), None)
            if not cost.exact or first is None:
                return None
            return cost.dtype or dtype_name(first.dtype), cost.flop

        return priced
    short = rule.name.removeprefix("aten::")
    if short == "matmul":
        return _matmul
    if short in COMPOSITE or (rule.kind == "unknown" and func.namespace == "aten"):
        return _unknown
    return None


def _unknown(_args: Any, _kwargs: Any, _out: Any) -> None:
    return None


def _matmul(args: Any, _kwargs: Any, out: Any) -> tuple[str, int]:
    """``(…, m, k)`` times ``(…, k, n)``: 2k FLOP for each number of the result."""
    return dtype_name(args[0].dtype), 2 * int(out.numel()) * int(args[0].shape[-1])
