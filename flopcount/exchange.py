"""The caller's model and inputs with doubles in place of their tensors, put back afterwards.

Nothing of the caller's may change: not a gradient, not a running mean, not a cached attribute. So
the tensors are exchanged for the time of the trace and every module works on a copy of its own
dictionary; afterwards it gets the original back.
"""

from __future__ import annotations

import copy
import functools
import itertools
import sys
import types
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

from flopcount.errors import CountError
from flopcount.helpers import PLAIN, kept_helpers
from flopcount.looked_through import look_through, whole_shapes
from flopcount.parallel import drop_hooks, fully_sharded_meshes

if TYPE_CHECKING:
    from flopcount.doubles import Doubles

MODULE_KEYS = frozenset(vars(torch.nn.Module()))
"""What every module holds."""
OWN = frozenset({dict, list, set, OrderedDict})
"""What a module may write to in its forward, and gets a copy of.

Subclasses keep more than their items (a config, for one) and are left alone, but for torch's own tables.
"""


class Replay:
    """An iterator that can be read once, among the inputs: each trace reads it from its beginning."""

    def __init__(self, source: Iterator[Any]) -> None:
        (self._items,) = itertools.tee(source, 1)

    def __iter__(self) -> Iterator[Any]:
        return copy.copy(self._items)


def replayable(values: Any) -> Any:
    """Nested inputs with a :class:`Replay` for each generator and the like."""

    def replay(value: Any) -> Any:
        once = isinstance(value, Iterator) and type(value).__module__ in ("builtins", "itertools")
        return Replay(value) if once else value

    return pytree.tree_map(replay, values, is_leaf=is_size)


def convert_inputs(values: Any, doubles: Doubles) -> Any:
    """Every tensor inside nested inputs, converted."""

    def double(value: Any) -> Any:
        if type(value) is Replay:
            return (convert_inputs(item, doubles) for item in value)
        return doubles(value)

    return pytree.tree_map(double, values, is_leaf=is_size)


def is_size(value: Any) -> bool:
    """Whether something is a ``torch.Size``, of which torch's own way of rebuilding makes a tuple."""
    return type(value) is torch.Size


def reachable(model: Any) -> list[Any]:
    """The model if it is a module; for a function, the modules and cells that it closes over."""
    if isinstance(model, torch.nn.Module):
        return [model]
    roots: list[Any] = []
    _collect(model, roots, set(), 4)
    return roots


def _collect(value: Any, roots: list[Any], seen: set[int], depth: int) -> None:
    if depth < 0 or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.nn.Module):
        roots.append(value)
    elif isinstance(value, functools.partial):
        for item in (value.func, *value.args, *value.keywords.values()):
            _collect(item, roots, seen, depth - 1)
    elif isinstance(value, types.MethodType):
        _collect(value.__self__, roots, seen, depth - 1)
        _collect(value.__func__, roots, seen, depth - 1)
    elif isinstance(value, types.FunctionType):
        _collect_function(value, roots, seen, depth)
    elif isinstance(value, list | tuple):
        for item in value[:1000]:
            _collect(item, roots, seen, depth - 1)
    elif isinstance(value, dict):
        for item in list(value.values())[:1000]:
            _collect(item, roots, seen, depth - 1)
    elif hasattr(value, "__dict__") and not isinstance(value, types.ModuleType | type):
        for item in list(vars(value).values())[:1000]:
            if isinstance(item, torch.nn.Module):
                _collect(item, roots, seen, depth - 1)


def _collect_function(function: Any, roots: list[Any], seen: set[int], depth: int) -> None:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty cell
            if _is_held(cell.cell_contents):
                roots.append(cell)
            else:
                _collect(cell.cell_contents, roots, seen, depth - 1)
    for name in sorted(names_in(function.__code__, 4)):
        item = function.__globals__.get(name)
        if _is_held(item):
            roots.append((function.__globals__, name))
        elif isinstance(item, torch.nn.Module | types.FunctionType | functools.partial):
            _collect(item, roots, seen, depth - 1)


def names_in(code: types.CodeType, depth: int) -> set[str]:
    """Global names that a function uses, in its comprehensions and inner functions too."""
    names = set(code.co_names)
    for constant in code.co_consts if depth else ():
        if isinstance(constant, types.CodeType):
            names |= names_in(constant, depth - 1)
    return names


def _is_held(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or type(value).__name__ == "BlockMask"


@contextmanager
def doubled(roots: list[Any], doubles: Doubles) -> Iterator[None]:
    """Inside, the tensors of the roots are doubles; outside, everything is as it was."""
    modules: dict[int, Any] = {}
    for root in roots:
        if isinstance(root, torch.nn.Module):
            modules.update((id(module), module) for module in root.modules())
    doubles.meshes = fully_sharded_meshes(modules.values())
    doubles.wholes = whole_shapes(modules.values())
    forget_cached(modules.values())
    _refuse_lazy(roots)
    scripts = [module for module in modules.values() if isinstance(module, torch.jit.ScriptModule)]
    written = [(table, dict(table.items())) for module in scripts for table in _tables(module)]
    saved = [(m, m.__dict__) for m in modules.values() if not isinstance(m, torch.jit.ScriptModule)]
    holders = [root for root in roots if not isinstance(root, torch.nn.Module)]
    helpers = kept_helpers(value for _, state in saved for value in _plain(state))
    held = [_held(holder) for holder in holders]
    empty: list[Any] = []
    helpers.__enter__()
    try:
        for holder, tensor in zip(holders, held, strict=True):
            _hold(holder, doubles(tensor))
        for table, tensors in written:
            for name, tensor in tensors.items():
                table[name] = doubles(tensor)
        copies: dict[int, Any] = {}
        for module, state in saved:
            # The module works on a copy of its dictionary; the original is never written.
            module.__dict__ = {
                key: _own(value, copies, empty) if type(value) in OWN else _table(key, value)
                for key, value in state.items()
            }
            if doubles.meshes:
                drop_hooks(module.__dict__)
            _exchange(module.__dict__, doubles)
        for module, _ in saved:
            _exchange_attributes(module.__dict__, doubles)
        look_through((module for module, _ in saved), doubles)
        yield
    finally:
        helpers.__exit__(None, None, None)
        for module, state in saved:
            module.__dict__ = state
        for container in filter(None, empty):
            container.clear()
        for table, tensors in written:
            for name, tensor in tensors.items():
                table[name] = tensor
        for holder, tensor in zip(holders, held, strict=True):
            _hold(holder, tensor)
        forget_cached(modules.values())


def _own(container: Any, copies: dict[int, Any], empty: list[Any]) -> Any:
    """A container for a double to write to: one copy, however many modules hold the original.

    Most are empty. Those are lent, noted, and emptied in the end.
    """
    if not container:
        empty.append(container)
        return container
    if id(container) not in copies:
        copies[id(container)] = container.copy()
    return copies[id(container)]


def _table(key: str, value: Any) -> Any:
    """A copy of one of torch's own tables, of whatever class a library made it; else the value itself.

    Doubles are written to these, and hooks deleted from them. What the class does where an item is asked for
    (DeepSpeed gathers a parameter from all ranks) is not done.
    """
    if key in MODULE_KEYS and isinstance(value, dict):
        return OrderedDict(dict.items(value))
    return value


def _plain(state: dict[str, Any]) -> list[Any]:
    """What a module holds beside torch's own tables."""
    return [value for key, value in state.items() if key not in MODULE_KEYS]


def forget_cached(modules: Iterable[Any]) -> None:
    """Empty the caches of methods and of the functions beside a model's class.

    What they hold belongs to one kind of tensors: a cached table without storage must not meet the
    caller's real ones afterwards, nor his the doubles.
    """
    kinds = {kind for module in modules for kind in type(module).__mro__}
    kinds -= {torch.nn.Module, object}
    homes = {kind.__module__ for kind in kinds}
    places: list[Any] = [vars(kind) for kind in kinds]
    places += [vars(sys.modules[home]) for home in homes if _is_users(home)]
    for place in places:
        for held in list(place.values()):
            for cache in _caches(held):
                cache.cache_clear()


def _caches(held: Any) -> list[Any]:
    """A cached function, or the cached one inside its wrapper."""
    held = getattr(held, "__func__", held)  # a static or class method
    inside: list[Any] = [held]
    if isinstance(held, types.FunctionType) and hasattr(held, "__wrapped__"):
        for cell in held.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                inside.append(cell.cell_contents)
    return [item for item in inside if isinstance(item, functools._lru_cache_wrapper)]


def _is_users(home: str) -> bool:
    """Whether a Python module is loaded and none of torch's own."""
    return home in sys.modules and home.partition(".")[0] != "torch"


def _tables(script: Any) -> tuple[Any, Any]:
    """Parameters and buffers of a compiled script: windows on tensors that the script owns."""
    return script._parameters, script._buffers


def _refuse_lazy(roots: list[Any]) -> None:
    """A lazy layer gets its shape from its first input, and would keep it."""
    for root in roots:
        for path, module in root.named_modules() if isinstance(root, torch.nn.Module) else ():
            if any(
                map(torch.nn.parameter.is_lazy, module.__dict__.get("_parameters", {}).values())
            ):
                raise CountError(
                    f"{path or 'the model'}: {type(module).__name__} has no shape yet; "
                    "run the model once on its inputs (on the meta device that costs nothing)"
                )


def _held(holder: Any) -> Any:
    return holder[0][holder[1]] if isinstance(holder, tuple) else holder.cell_contents


def _hold(holder: Any, tensor: Any) -> None:
    if isinstance(holder, tuple):
        holder[0][holder[1]] = tensor
    else:
        holder.cell_contents = tensor


def _exchange(state: dict[str, Any], doubles: Doubles) -> None:
    for table in ("_parameters", "_buffers"):
        tensors = state[table]
        for name, tensor in tensors.items():
            if tensor is not None:
                tensors[name] = doubles(tensor)


def _exchange_attributes(state: dict[str, Any], doubles: Doubles) -> None:
    """Tensors that a module keeps beside its tables, e.g. ``LSTM._flat_weights``."""
    for key, value in state.items():
        if key in MODULE_KEYS or type(value) in PLAIN:
            continue
        if _is_held(value):
            state[key] = doubles(value)
        elif type(value) is list and value and isinstance(value[0], torch.Tensor):
            state[key] = [doubles(item) for item in value]
