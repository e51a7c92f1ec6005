"""Plain objects that a model's modules or its inputs hold, put back as they were.

A rotary table that is built at the first call, a cache of keys: such an object is no module, and
what a trace leaves in it (tensors without storage) would meet the caller's real ones afterwards.
"""

from __future__ import annotations

import operator
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEPTH = 4
"""How far objects inside objects are followed."""
MOST = 100_000
"""Objects that are looked at; a model that holds a whole program is not searched to its end."""
OTHERS = (torch.nn.Module, torch.Tensor, type, types.ModuleType, types.FunctionType)
CONTAINERS = (list, dict, set)
PLAIN = frozenset(
    {type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size}
)
"""What holds nothing that could be written to: most of what there is, so it is asked for first."""


@contextmanager
def kept_helpers(roots: Iterable[Any]) -> Iterator[None]:
    """Afterwards, every plain object reachable from the roots has its attributes back.

    Args:
        roots: what modules hold as attributes, and inputs.

    """
    found: dict[int, Any] = {}
    for root in roots:
        if type(root) not in PLAIN:
            _collect(root, found, DEPTH)
    objects = [(item, dict(vars(item))) for item in found.values() if hasattr(item, "__dict__")]
    containers = [(item, item.copy()) for item in found.values() if type(item) in CONTAINERS]
    try:
        yield
    finally:
        for item, before in objects:
            now = vars(item)
            if now.keys() != before.keys() or any(now[key] is not before[key] for key in before):
                now.clear()
                now.update(before)
        for item, copy in containers:
            _refill(item, copy)


def _collect(value: Any, found: dict[int, Any], depth: int) -> None:
    if depth < 0 or id(value) in found or len(found) > MOST:
        return
    if type(value) in CONTAINERS or isinstance(value, tuple):
        inside = list(value.values()) if isinstance(value, dict) else list(value)
    elif _is_helper(value):
        inside = list(vars(value).values())
    else:
        return
    found[id(value)] = value
    for item in inside[:1000]:
        if type(item) not in PLAIN:
            _collect(item, found, depth - 1)


def _is_helper(value: Any) -> bool:
    """Whether a value is an object of somebody's own class, with attributes that may be set."""
    if isinstance(value, OTHERS) or not isinstance(getattr(value, "__dict__", None), dict):
        return False
    home = type(value).__module__.partition(".")[0]
    return home not in {"torch", "builtins", "functools", "typing"}


def _refill(container: Any, copy: Any) -> None:
    """Give a container its items back, unless it still has them."""
    if isinstance(container, list):
        if len(container) != len(copy) or any(map(operator.is_not, container, copy)):
            container[:] = copy
    elif isinstance(container, set):
        if container != copy:
            container.clear()
            container.update(copy)
    elif container.keys() != copy.keys() or any(container[k] is not copy[k] for k in copy):
        container.clear()
        container.update(copy)
