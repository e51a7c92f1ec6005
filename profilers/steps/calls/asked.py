"""What torch is asked at each call of a model: nothing that reads a device, or that a tracer sees."""

from __future__ import annotations

import sys
from operator import attrgetter
from typing import Any

import torch
from torch import is_autocast_enabled
from torch._C import _are_functorch_transforms_active as transforms
from torch._C import _current_graph_task_id as graph_task
from torch._C import _get_dispatch_mode as _dispatch_mode
from torch._C import _get_function_stack_at as _function_mode
from torch._C import _get_tracing_state as tracing_state
from torch._C import _is_any_autocast_enabled as any_autocast
from torch._C import _len_torch_dispatch_stack as modes
from torch._C import _len_torch_function_stack as function_modes
from torch._C._autograd import _get_sequence_nr as sequence
from torch.autograd import forward_ad

from profilers.steps.deciders.functions import names_products

__all__ = [
    "ALONE",
    "ALONE_NAMED",
    "SEAM",
    "any_autocast",
    "cast_to",
    "function_modes",
    "graph_task",
    "held_by",
    "is_fake",
    "look_of",
    "modes",
    "rewriting",
    "sequence",
    "split_sequences",
    "spread_tensors",
    "tracing_state",
    "transformed",
    "transforms",
]

SEAM = "_compiled_call_impl"
"""The entry of a module's dictionary that torch asks before it calls the module (design/071)."""

look_of = attrgetter("shape", "dtype", "requires_grad", "layout")
held_by = sys.getrefcount
_FAKE = torch._C._TorchDispatchModeKey.FAKE
_ACROSS = "torch.distributed.tensor.experimental._context_parallel._attention"


def cast_to(device: str) -> Any:
    """The precision to which products on a type of device are cast, or False."""
    return any_autocast() and is_autocast_enabled(device) and torch.get_autocast_dtype(device)


def transformed() -> bool:
    """Whether a function transform is active, under which gradients do not show."""
    return bool(transforms()) or forward_ad._current_level >= 0


def rewriting() -> tuple[type, ...]:
    """Modes of the program's around torch's functions whose code names products; a count has none."""
    around: list[Any] = [type(_function_mode(place)) for place in range(function_modes())]
    return tuple(each for each in around if names_products(each))


def is_fake() -> bool:
    """Whether whatever is computed has no values."""
    return modes() and _dispatch_mode(_FAKE) is not None


def spread_tensors() -> Any:
    """What torch sends ops on tensors to that are spread over ranks; None where the program has no such."""
    kind = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    return getattr(kind, "_op_dispatcher", None)


def split_sequences() -> bool:
    """Whether attention reaches to ranks that have other pieces of a sequence (``context_parallel``)."""
    attention = sys.modules.get(_ACROSS)
    if attention is None:
        return False
    handlers = getattr(spread_tensors(), "_custom_op_handlers", {})
    return any(op in handlers for op in getattr(attention, "custom_ops", ()))


class _Held:
    """Asks how many hold what stands before a module's call, where only the module does."""

    def __call__(self, *_: Any, **__: Any) -> int:
        return held_by(self)


def _held_by_one(**named: Any) -> int:
    module = torch.nn.Identity()
    module.__dict__[SEAM] = _Held()
    return int(module(None, **named))


ALONE, ALONE_NAMED = _held_by_one(), _held_by_one(named=None)
"""References to a seam in its call, without and with named arguments, if no other module got a copy of
its dictionary; such a one would be called in its place."""
