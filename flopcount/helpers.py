"""Plain objects that a model's modules or its inputs hold, put back as they were.

A rotary table that is built at the first call, a cache of keys: such an object is no module, and
what a trace leaves in it (tensors without storage) would meet the caller's real ones afterwards.

Tensors in them stay the caller's own, and get their gradients back. For the rest, only what got
other tensors is put back. A model may lead to a logger, a queue or a trainer, which other threads of
the caller's write to while the trace runs: theirs is not ours to take back.
"""

from __future__ import annotations

import operator
import types
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEPTH = 4
"""How far objects inside objects are followed."""
MOST = 100_000
"""Objects that are looked at; a model that holds a whole program is not searched to its end."""
MOST_INSIDE = 1000
"""Of what one container holds."""
OTHERS = (torch.nn.Module, torch.Tensor, type, types.ModuleType, types.FunctionType)
CONTAINERS = (list, dict, set)
PLAIN = frozenset(
    {type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size}
)
"""What holds nothing that could be written to: most of what there is, so it is asked for first."""


@contextmanager
def kept_helpers(roots: Iterable[Any]) -> Iterator[None]:
    """Afterwards, every plain object reachable from the roots that got tensors is as it was.

    Args:
        roots: what modules hold as attributes, and inputs.

    """
    found: dict[int, Any] = {}
    for root in roots:
        if type(root) not in PLAIN:
            collect(root, found, DEPTH)
    objects = [(item, dict(vars(item))) for item in found.values() if hasattr(item, "__dict__")]
    containers = [(item, item.copy()) for item in found.values() if type(item) in CONTAINERS]
    held = [item for kept in found.values() for item in _inside(kept)[:MOST_INSIDE]]
    leaves = [item for item in held if isinstance(item, torch.Tensor) and item.requires_grad]
    gradients = [(leaf, leaf.grad) for leaf in leaves if leaf.is_leaf]
    try:
        yield
    finally:
        for leaf, gradient in gradients:
            if leaf.grad is not gradient:
                leaf.grad = gradient
        for item, before in objects:
            _refill(vars(item), before)
        for item, before in containers:
            _refill(item, before)


def collect(value: Any, found: dict[int, Any], depth: int) -> None:
    """Add to ``found``, by id, the containers and helpers that a value leads to."""
    if depth < 0 or id(value) in found or len(found) > MOST:
        return
    inside = _inside(value)
    if not inside and not _is_kept(value):
        return
    found[id(value)] = value
    for item in inside[:MOST_INSIDE]:
        if type(item) not in PLAIN:
            collect(item, found, depth - 1)


def _inside(value: Any) -> list[Any]:
    """What a container or a helper holds."""
    if isinstance(value, dict) and type(value) in CONTAINERS:
        return list(value.values())
    if type(value) in CONTAINERS or isinstance(value, tuple):
        return list(value)
    return list(vars(value).values()) if _is_helper(value) else []


def _is_kept(value: Any) -> bool:
    return type(value) in CONTAINERS or _is_helper(value)


def _is_helper(value: Any) -> bool:
    """Whether a value is an object of somebody's own class, with attributes that may be set."""
    if isinstance(value, OTHERS) or not isinstance(getattr(value, "__dict__", None), dict):
        return False
    home = type(value).__module__.partition(".")[0]
    return home not in {"torch", "builtins", "functools", "typing"}


def _refill(container: Any, before: Any) -> None:
    """Give a container its items back, if tensors came or went."""
    if is_same(container, before):
        return
    if not any(_holds_tensor(item, DEPTH) for item in _changed(container, before)):
        return
    if isinstance(container, list):
        container[:] = before
    else:
        container.clear()
        container.update(before)


def is_same(container: Any, before: Any) -> bool:
    """Whether each item is the one that it was, compared in C: lists may be long."""
    if isinstance(container, set):
        return bool(container == before)
    if isinstance(container, dict | types.MappingProxyType):
        if container.keys() != before.keys():
            return False
        return not any(map(operator.is_not, map(container.get, before), before.values()))
    return len(container) == len(before) and not any(map(operator.is_not, container, before))


def _changed(container: Any, before: Any) -> list[Any]:
    """Items that are not where they were, or no longer there."""
    if isinstance(container, dict):
        pairs = [(container.get(key), before.get(key)) for key in {**before, **container}]
    elif isinstance(container, list):
        pairs = list(zip_longest(container, before))
    else:
        pairs = [(item, None) for item in container ^ before]
    return [item for now, then in pairs if now is not then for item in (now, then)]


def _holds_tensor(value: Any, depth: int) -> bool:
    if isinstance(value, torch.Tensor):
        return True
    if depth < 0 or type(value) in PLAIN:
        return False
    return any(_holds_tensor(item, depth - 1) for item in _inside(value)[:MOST_INSIDE])
