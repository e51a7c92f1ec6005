"""Hooks that note where a gradient arrives. What they note is read by C functions alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import lru_cache, partial
from itertools import repeat
from operator import getitem
from typing import Any

import torch
from torch import is_grad_enabled
from torch._C import _current_graph_task_id as graph_task

from profilers.steps.backward import passes
from profilers.steps.calls.signature import MOST_OUTPUTS
from profilers.steps.folding.events import RAISED
from profilers.steps.products.outside import CLEAN, MARK, Span

_Tensor = torch.Tensor
_note = partial.__call__


@lru_cache(maxsize=4 * passes.MOST_GRADIENTS)
def _facts(place: int) -> Any:
    """Endless facts of an arrival (``profilers.steps.folding.events.FIRING``), each read when it is taken."""
    return zip(
        iter(graph_task, -2),
        iter(is_grad_enabled, 2),
        iter(time.monotonic_ns, -1),
        repeat(place),
        iter(partial(getitem, passes.CELL, 0), -1),
        strict=False,
    )


class Hook(partial):  # type: ignore[type-arg]
    """The hook on an output: ``next`` of a C iterator, which notes an arrival.

    A function of the program's may hand back None for a gradient. Torch goes on then, with nothing: hooks
    are called, and nothing is computed.
    """

    __slots__ = ()
    __torch_unserializable__ = True  # a saved tensor goes without this hook, and without a warning

    def __call__(self, gradient: Any) -> None:
        """Take the gradient that arrives at a tensor."""
        if gradient is not None:
            _note(self)


class NodeHook(Hook):
    """The same on a node, with what arrives at all of its outputs."""

    __slots__ = ()

    def __call__(self, gradients: tuple[Any, ...]) -> None:
        """Take the gradients."""
        if any(gradient is not None for gradient in gradients):
            _note(self)


def hook(tensor: Any, fired: list[int], place: int, mark: Span = CLEAN) -> None:
    """Have each arrival of the tensor's gradient noted in a list.

    A leaf gets none: behind it there is nothing to be computed, and it may live as long as the program.
    """
    node = tensor.grad_fn
    if node is None:
        return
    watch = Hook(next, map(fired.extend, _facts(place)))
    if place < MOST_OUTPUTS:
        node.metadata.setdefault(MARK, mark)  # what lies behind it is counted with the call
    if type(tensor) is not _Tensor or tensor._backward_hooks is not None:
        tensor.register_hook(watch)
        return
    hooks: Any = OrderedDict()  # as Tensor.register_hook does, without its handle
    tensor._backward_hooks = hooks
    node._register_hook_dict(tensor)
    hooks[RAISED] = watch


def hook_node(node: Any, fired: list[int], place: int, mark: Span) -> None:
    """The same where only the node is at hand that made an output of a call."""
    node.metadata.setdefault(MARK, mark)
    node.register_prehook(NodeHook(next, map(fired.extend, _facts(place))))
