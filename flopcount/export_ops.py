"""What the graph in a ``.pt2`` file may run: torch's operators on tensors, and arithmetic on sizes.

The file is not trusted. An operator that reads or writes files is refused although it is torch's own
(``aten::from_file`` makes the file that it is told), a new tensor is made on meta whether the graph says
so or not, and numbers grow no larger than a size can.
"""

from __future__ import annotations

import math
import operator
from functools import cache
from typing import TYPE_CHECKING, Any

from flopcount.export_file import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NAMESPACES = {"aten", "prims", "quantized_decomposed", "torchvision", "torchao"}
_ARITHMETIC = {
    name: getattr(operator, name)
    for name in (
        "add", "sub", "mul", "floordiv", "mod", "truediv", "neg", "eq", "ne", "lt", "le", "gt",
        "ge", "and_", "or_", "pow",
    )
}  # fmt: skip
_SYMBOLIC = {
    "torch.sym_max", "torch.sym_min", "torch.sym_float", "torch.sym_int", "torch.sym_not",
    "torch.sym_ite", "math.ceil", "math.floor", "math.trunc",
}  # fmt: skip
_LARGEST_NUMBER = 2**63
_LARGEST_POWER = 63


def function_of(target: str, path: Path) -> Callable[..., Any]:
    """Return what runs a target of the graph, everything that it makes on meta.

    Raises:
        ExportError: the target is none of torch's own operators on tensors.
    """
    import torch

    parts = target.split(".")
    if parts[:2] == ["torch", "ops"] and len(parts) == 5 and parts[2] in _NAMESPACES:
        packet = getattr(getattr(torch.ops, parts[2]), parts[3], None)
        found = getattr(packet, parts[4], None)
        if found is not None and _works_on_tensors(found):
            return lambda *args, **kwargs: found(*args, **_on_meta(found, args, kwargs))
    if parts[0] == "_operator" and parts[-1] == "getitem":
        return operator.getitem
    if parts[0] == "_operator" and parts[-1] in _ARITHMETIC:
        return _of_numbers(_ARITHMETIC[parts[-1]])
    if target in _SYMBOLIC:
        symbolic: Callable[..., Any] = getattr(math if parts[0] == "math" else torch, parts[1])
        return symbolic
    msg = (
        f"{path}: the graph uses '{target[:100]}', which is no operator of torch on tensors\n"
        "  count the model from its source (package.module:factory) instead"
    )
    raise ExportError(msg)


@cache
def _works_on_tensors(found: Any) -> bool:
    """Whether an operator takes or makes tensors and names no file."""
    schema = found._schema
    if any(argument.name == "filename" for argument in schema.arguments):
        return False
    return any("Tensor" in str(item.type) for item in (*schema.arguments, *schema.returns))


def _on_meta(found: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a call with the device that it left open: torch would take the processor's memory."""
    names = [argument.name for argument in found._schema.arguments]
    if "device" not in names[len(args) :]:
        return kwargs
    return {**kwargs, "device": "meta"}


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Arithmetic on sizes: on numbers alone, and never longer than a size is."""

    def run(*operands: Any) -> Any:
        if not all(isinstance(item, int | float) for item in operands):
            msg = f"arithmetic on sizes, found {[type(item).__name__ for item in operands]}"
            raise TypeError(msg)
        if function is operator.pow and not 0 <= operands[-1] <= _LARGEST_POWER:
            msg = f"a power of {str(operands[-1])[:20]}"
            raise ValueError(msg)
        result = function(*operands)
        if isinstance(result, int) and abs(result) > _LARGEST_NUMBER:
            msg = "a number larger than any size"
            raise OverflowError(msg)
        return result

    return run
