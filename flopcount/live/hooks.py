"""Hooks that a forward puts on its own tensors, and that refuse to be run by a count.

Lightning's Fabric, for one, puts a hook on a model's output that raises unless the program's own
``fabric.backward`` is running. A count's backward is another one. A hook that raises there and names no
matrix product is passed over: whatever it does, it costs nothing.
"""

from __future__ import annotations

import dis
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import torch

PRODUCTS = frozenset(
    """addbmm addmm addmv baddbmm bilinear bmm cdist chain_matmul conv1d conv2d conv3d cov dot einsum inner
    linear matmul matrix_exp matrix_power mm multi_dot mv scaled_dot_product_attention
    tensordot""".split()  # noqa: SIM905
)
"""Names of matrix products."""


@contextmanager
def passing_over_refusals() -> Iterator[None]:
    """Inside, hooks that this thread puts on tensors may raise without ending its backward."""
    original, here = torch.Tensor.register_hook, threading.get_ident()

    def register(self: Any, hook: Callable[[Any], Any]) -> Any:
        if threading.get_ident() == here and not _names_a_product(hook):
            hook = _lenient(hook)
        return original(self, hook)

    torch.Tensor.register_hook = register
    try:
        yield
    finally:
        if torch.Tensor.register_hook is register:
            torch.Tensor.register_hook = original


def _lenient(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(gradient: Any) -> Any:
        try:
            return hook(gradient)
        except Exception as error:
            if type(error).__module__.partition(".")[0] == __name__.partition(".")[0]:
                raise  # the count's own: a deadline, or an answer that nobody has
            return None

    return run


def _names_a_product(hook: Any) -> bool:
    """Whether a hook's code, as far as it can be read, computes a product."""
    function = getattr(hook, "func", hook)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return not isinstance(code, CodeType) or _is_work(code)


def _is_work(code: CodeType) -> bool:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return (
        not PRODUCTS.isdisjoint(code.co_names)
        or any(step.argrepr in ("@", "@=") for step in dis.get_instructions(code))
        or any(map(_is_work, inner))
    )
