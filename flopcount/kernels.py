"""Kernels that torch cannot see into: a formula and a shape, in three lines.

A Triton or CUDA kernel launched from Python is no torch op, so no trace meets it. Decorated,
its Python entry says what it costs and what shape it answers; outside a trace it runs untouched::

    @flopcount.kernel(flop=lambda x, w: 2 * x.shape[0] * x.shape[1] * w.shape[1],
                      result=lambda x, w: x.new_empty(x.shape[0], w.shape[1]))
    def fused_linear(x, w): ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from flopcount.errors import FormulaError
from flopcount.registry import Cost

_F = TypeVar("_F", bound=Callable[..., Any])
_RECORDERS: list[Callable[[str, Any, Any, Any], None]] = []
"""Traces that run now, the innermost last."""


def kernel(
    *, flop: Callable[..., int | Cost], result: Callable[..., Any], name: str | None = None
) -> Callable[[_F], _F]:
    """Declare what a kernel's Python entry costs and answers.

    Args:
        flop: Called as the entry is; answers whole FLOP or a :class:`Cost`.
        result: Called as the entry is; answers tensors of the right shape and dtype.
        name: Shown in counts; by default the function's own qualified name.

    """

    def decorate(function: _F) -> _F:
        shown = name or f"kernel.{function.__qualname__}"

        @functools.wraps(function)
        def entry(*args: Any, **kwargs: Any) -> Any:
            if not _RECORDERS:
                return function(*args, **kwargs)
            out = result(*args, **kwargs)
            answer = flop(*args, **kwargs)
            _RECORDERS[-1](shown, _cost(shown, answer), (args, kwargs), out)
            return out

        return cast("_F", entry)

    return decorate


def _cost(name: str, answer: int | Cost) -> Cost:
    cost = answer if isinstance(answer, Cost) else Cost(answer)
    if type(cost.flop) is not int or cost.flop < 0:
        raise FormulaError(
            f"the formula of {name} must return whole FLOP of at least 0; found {cost.flop!r}; "
            "use integer arithmetic (// instead of /)"
        )
    return cost


@contextmanager
def recording(record: Callable[[str, Any, Any, Any], None]) -> Iterator[None]:
    """Send decorated calls to a trace for as long as it runs."""
    _RECORDERS.append(record)
    try:
        yield
    finally:
        _RECORDERS.pop()
