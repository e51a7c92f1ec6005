"""Notes a call of a model as it was made: shapes, flags and settings, and no storage."""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from flopcount.dtypes import dtype_name
from flopcount.exchange import is_size
from flopcount.helpers import PLAIN
from flopcount.parallel import spread_over

FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
SMALL = 1 << 13
"""Whole numbers of so many elements are kept by value: models ask questions about them."""


@dataclass(kw_only=True, slots=True)
class LiveCall:
    """One call as it was made. Holds the model, and no storage of its inputs."""

    model: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    gradients: bool
    """Whether gradients were enabled."""
    training: tuple[bool, ...]
    """Each module's flag."""
    trainable: tuple[bool, ...]
    """Each parameter's flag."""
    spread: tuple[frozenset[str] | None, ...]
    """Of each parameter the dimensions of the mesh over which it was spread; None where it was not."""
    autocast: tuple[str, str] | None
    """Device type and short dtype name where autocast was on around the call."""
    device: str = "cpu"
    """Device type whose autocast a model may switch on inside the call."""
    whole: bool = False
    """Whether each layer is to be computed, also one that is equal to another."""


def capture(
    model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, device: str = "cpu"
) -> LiveCall:
    """Note a call before it runs. Copies no storage but that of small whole numbers.

    Args:
        model: The module that is called.
        args: Its positional inputs.
        kwargs: Its keyword inputs.
        device: Type of the device that it computes on, for autocast.

    """
    given, named = without_storage((args, kwargs))
    lowered = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
    return LiveCall(
        model=model,
        args=given,
        kwargs=named,
        gradients=torch.is_grad_enabled(),
        training=tuple(module.training for module in model.modules()),
        trainable=tuple(parameter.requires_grad for parameter in model.parameters()),
        spread=tuple(map(spread_over, model.parameters())),
        autocast=(device, dtype_name(lowered)) if lowered else None,
        device=device,
    )


def without_storage(value: Any, made: Callable[[Any], Any] | None = None) -> Any:
    """The same objects with tensors that hold nothing, however deep the tensors are.

    Caches and batches are copied around their tensors; an object that cannot be copied stays.

    Args:
        value: The objects.
        made: What makes something else of a tensor than one that holds nothing.

    """
    made = made or _hollow
    memo: dict[int, Any] = {}
    kept: list[Any] = []
    with torch.no_grad():
        for tensor in tensors_within(value):
            memo[id(tensor)] = made(tensor)
            kept.append(tensor)
        leaves, spec = pytree.tree_flatten(value, is_leaf=is_size)
        fresh = []
        for leaf in leaves:
            if id(leaf) in memo:
                fresh.append(memo[id(leaf)])
            elif isinstance(leaf, torch.nn.Module) or type(leaf) in PLAIN:
                fresh.append(leaf)
            else:
                fresh.append(_copied(leaf, memo))
    return pytree.tree_unflatten(fresh, spec)


def with_number(call: LiveCall, number: float) -> LiveCall | None:
    """The same call with another number for those that are given by themselves; None without any.

    Such as a temperature, a ratio, or the number of the step in a tensor of one element. Of ragged tensors
    the first part becomes as long as it can be, for it is their lengths that may decide.
    """
    changed = False

    def other(leaf: Any) -> Any:
        nonlocal changed
        if type(leaf) is float:
            changed = True
            return float(number)
        if isinstance(leaf, torch.Tensor) and leaf.layout is torch.jagged:
            uneven = _uneven(leaf)
            changed = changed or uneven is not leaf
            return uneven
        if isinstance(leaf, torch.Tensor) and leaf.numel() == 1 and not leaf.is_meta:
            changed = True
            return torch.full_like(leaf, number if leaf.dtype.is_floating_point else int(number))
        return leaf

    args, kwargs = pytree.tree_map(other, (call.args, call.kwargs), is_leaf=is_size)
    return replace(call, args=args, kwargs=kwargs) if changed else None


def _uneven(ragged: Any) -> Any:
    """The same elements in as many parts, all of one element but for the first."""
    offsets = ragged.offsets()
    if ragged.lengths() is not None or offsets.device.type != "cpu" or ragged.dim() < 2:
        return ragged
    parts, rows = len(offsets) - 1, int(offsets[-1])
    if rows < parts:
        return ragged
    others = torch.arange(rows - parts + 1, rows + 1, dtype=offsets.dtype)
    cut = torch.cat([offsets[:1], others])
    return torch.nested.nested_tensor_from_jagged(ragged.values(), cut)


def _copied(leaf: Any, memo: dict[int, Any]) -> Any:
    if isinstance(leaf, types.FunctionType):
        return _closed_over(leaf, memo)
    if not _has_attributes(leaf):
        return leaf
    if isinstance(leaf, functools.partial):
        function, args, kwargs = _exchanged((leaf.func, leaf.args, leaf.keywords), memo)
        return functools.partial(function, *args, **kwargs)
    if callable(leaf) and not any(id(tensor) in memo for tensor in tensors_within(leaf)):
        return leaf
    if isinstance(leaf, types.MethodType):
        return types.MethodType(leaf.__func__, _copied(leaf.__self__, memo))
    try:
        return copy.deepcopy(leaf, dict(memo))
    except Exception:  # noqa: BLE001 - an input of the user's may refuse in any way
        return _shallow(leaf, memo)


def _exchanged(values: Any, memo: dict[int, Any]) -> Any:
    """Nested values with what stands for their tensors, also for those that functions are around."""

    def exchanged(value: Any) -> Any:
        if id(value) not in memo and isinstance(value, FUNCTIONS):
            memo[id(value)] = value  # it may be around itself
            memo[id(value)] = _copied(value, memo)
        return memo.get(id(value), value)

    return pytree.tree_map(exchanged, values, is_leaf=is_size)


def _shallow(leaf: Any, memo: dict[int, Any]) -> Any:
    """An object that refuses to be copied with all that it holds, with its own tensors exchanged."""
    try:
        fresh = copy.copy(leaf)
        fresh.__dict__ = _exchanged(dict(vars(leaf)), memo)
    except Exception:  # noqa: BLE001 - it may refuse that, too
        return leaf
    return fresh


def _has_attributes(value: Any) -> bool:
    return hasattr(value, "__dict__") or any("__slots__" in vars(k) for k in type(value).__mro__)


def _closed_over(function: types.FunctionType, memo: dict[int, Any]) -> Any:
    """The same function around tensors without storage, if it is around any."""
    held = _around(function)
    if not any(id(tensor) in memo for tensor in tensors_within(held)):
        return function
    around, defaults, named = _exchanged(held, memo)
    cells = tuple(types.CellType(item) for item in around)
    fresh = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, defaults or None, cells or None
    )
    fresh.__kwdefaults__ = named or None
    fresh.__dict__.update(function.__dict__)
    return fresh


def _around(function: types.FunctionType) -> tuple[list[Any], tuple[Any, ...], dict[str, Any]]:
    """What a function closes over, and its defaults."""
    cells = [_content(cell) for cell in function.__closure__ or ()]
    return cells, function.__defaults__ or (), function.__kwdefaults__ or {}


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def _hollow(tensor: Any) -> Any:
    if tensor.is_nested or tensor.layout is not torch.strided:
        return tensor.detach()  # what a product costs is in its lengths
    whole = not (tensor.is_floating_point() or tensor.is_complex())
    if whole and tensor.device.type == "cpu" and tensor.numel() <= SMALL:
        return tensor.detach().clone()
    fresh = torch.empty_like(tensor.detach(), device="meta")
    return fresh.requires_grad_(tensor.requires_grad)


def tensors_within(value: Any, depth: int = 6, seen: set[int] | None = None) -> Iterator[Any]:
    """Every tensor in nested containers and in the attributes of objects."""
    if isinstance(value, torch.Tensor):
        yield value
        return
    if depth < 0 or isinstance(value, str | bytes | int | float | type | None):
        return
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, torch.nn.Module):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        inner = list(value)
    elif isinstance(value, types.FunctionType):
        inner = list(_around(value))
    elif isinstance(value, functools.partial):
        inner = [value.func, value.args, value.keywords]
    elif isinstance(value, types.MethodType):
        inner = [value.__self__]
    else:
        inner = list(getattr(value, "__dict__", {}).values())
        inner += _slots(value)
    for item in inner[:4096]:
        yield from tensors_within(item, depth - 1, seen)


def _slots(value: Any) -> list[Any]:
    """What an object keeps in slots."""
    found: list[Any] = []
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else tuple(names):
            private = name.startswith("__") and not name.endswith("__")
            with suppress(AttributeError):
                found.append(
                    getattr(value, f"_{kind.__name__.lstrip('_')}{name}" if private else name)
                )
    return found
