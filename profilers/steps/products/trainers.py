"""Whether a module that holds an optimizer is a model, or a loop in a module's clothes.

A reinforcement learner's network or a layer of Forward-Forward has its optimizer beside its weights, and its
``forward`` computes. A loop's ``forward`` makes whole steps: what counts there is the calls of the modules
inside. The code of ``forward`` tells, and that of what it names. In doubt it is a loop.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import torch

from profilers.steps.deciders.functions import GLOBAL, OF_AN_OBJECT
from profilers.steps.deciders.places import CALLABLES
from profilers.steps.products.loops import is_own

STEPPING = frozenset({
    "backward", "manual_backward", "optimizer_step", "optimizers", "run_backward", "step", "zero_grad",
})  # fmt: skip
"""Names without which nobody makes a step."""
MOST_FUNCTIONS = 64


def steps_by_itself(module: Any) -> bool:
    """Whether a module holds an optimizer that its own forward may step; never raises."""
    held = getattr(module, "__dict__", {})
    if not any(issubclass(type(item), torch.optim.Optimizer) for item in list(held.values())):
        return False
    try:
        return _may(module, held)
    except Exception:  # noqa: BLE001 - a list that holds itself, or a stranger's class
        return True


def _may(module: Any, held: dict[str, Any]) -> bool:
    suspects = STEPPING | {name for name, item in held.items() if _may_step(item)}
    forward = next(filter(None, _read((held, *_tables(module)), "forward")), None)
    if not isinstance(forward, FunctionType):
        return True  # nothing to be read
    if not is_own(forward.__globals__):
        return not str(forward.__globals__.get("__name__")).startswith("torch.")
    waiting = [forward]
    seen = {forward.__code__}
    for function in waiting:
        for name, items in _named(function, _tables(module)):
            if name in suspects or any(map(_may_step, items)):
                return True
            for item in filter(_is_readable, items):
                if item.__code__ not in seen:
                    seen.add(item.__code__)
                    waiting.append(item)
        if len(seen) > MOST_FUNCTIONS:
            return True
    return False


def _may_step(item: Any) -> bool:
    """Whether an object is an optimizer, or one of the program's that may step some."""
    kind = type(item)
    if issubclass(kind, torch.optim.Optimizer):
        return True
    if issubclass(kind, (torch.nn.Module, torch.Tensor, *CALLABLES)):
        return False
    if kind in (list, tuple):
        return any(map(_may_step, item))
    if kind is dict:
        return any(map(_may_step, item.values()))
    place = str(kind.__module__)
    return place.partition(".")[0] not in sys.stdlib_module_names and is_own({"__name__": place})


def _tables(module: Any) -> tuple[Any, ...]:
    return tuple(map(vars, type(module).__mro__))


def _named(
    function: FunctionType, tables: tuple[Any, ...]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Names that a function reads, and what may stand there: methods, globals, what encloses it."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    for code in _inside(function.__code__):
        for step in dis.get_instructions(code):
            name = str(step.argval)
            if step.opname in GLOBAL:
                yield name, tuple(_read((function.__globals__,), name))
            elif step.opname in OF_AN_OBJECT:
                yield name, tuple(_read(tables, name))
            elif step.opname == "LOAD_DEREF" and name in cells:
                yield name, tuple(_read(({name: _content(cells[name])},), name))


def _inside(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _inside(constant)


def _read(tables: tuple[Any, ...], name: str) -> Iterator[Any]:
    """What tables hold under a name: of a property and of a wrapped method, the function in it."""
    for table in tables:
        item = table.get(name)
        if isinstance(item, property):
            item = item.fget
        elif isinstance(item, staticmethod | classmethod):
            item = item.__func__
        while isinstance(item, FunctionType) and hasattr(item, "__wrapped__"):
            item = item.__wrapped__
        yield item


def _is_readable(item: Any) -> bool:
    return isinstance(item, FunctionType) and is_own(item.__globals__)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet there
        return None
