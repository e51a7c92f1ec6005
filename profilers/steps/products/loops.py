"""Where a program's own loop names matrix products, read from the code of those who call an optimizer's step.

A product that is differentiated is found in a graph (:mod:`.outside`). Of one that is not
(scores for an ``argmax``, a projection of gradients) nothing tells but the code. No torch is imported here.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from profilers.steps.deciders.functions import GLOBAL, OF_AN_OBJECT, WORK, is_product
from profilers.steps.deciders.places import LIBRARIES

NAMES = WORK - {
    "bilinear", "cdist", "conv1d", "conv2d", "conv3d", "corrcoef", "cov", "dot", "inner", "linear",
    "scaled_dot_product_attention",
}  # fmt: skip
"""Names of products of matrices. A layer may be called ``linear``; convolutions are said otherwise."""
OTHERS = LIBRARIES | {
    "IPython", "_pytest", "absl", "asyncio", "click", "contextlib", "fire", "flopcount", "functools", "hydra",
    "importlib", "ipykernel", "multiprocessing", "pluggy", "pytest", "ray", "runpy", "trl", "typer",
}  # fmt: skip
"""Packages whose functions are no loop of the program's."""
COMPREHENSIONS = frozenset({"<dictcomp>", "<genexpr>", "<listcomp>", "<setcomp>"})
NO_PLAIN = ("_call_impl", "add_param_group")
"""Methods of modules and of optimizers."""
CONTAINERS = (dict, list, set, str)
"""A method that has the name of one of theirs, or of a tensor's, may well be theirs."""
MOST_FRAMES = 64
MOST_FUNCTIONS = 64


def products_around(frame: FrameType | None) -> dict[str, int]:
    """How many matrix products are named by the functions that are running, and by those that they name.

    Args:
        frame: The innermost of them. Locals are not looked at: that would keep them alive.

    Returns:
        By function and file; those without products are left out.

    """
    waiting: list[tuple[CodeType, dict[str, Any]]] = []
    for _ in range(MOST_FRAMES):
        if frame is None:
            break
        if is_own(frame.f_globals):
            waiting.append((frame.f_code, frame.f_globals))
        frame = frame.f_back
    seen = {code for code, _ in waiting}
    found: dict[str, int] = {}
    for code, around in waiting:
        number = sum(map(_products, _parts(code)))
        if number:
            found[f"{code.co_name} in {code.co_filename.rpartition('/')[2]}"] = number
        for function in _named(code, around):
            if function.__code__ not in seen and len(seen) < MOST_FUNCTIONS:
                seen.add(function.__code__)
                waiting.append((function.__code__, function.__globals__))
    return found


def is_own(around: dict[str, Any]) -> bool:
    """Whether a module's names are of the program itself."""
    name = around.get("__name__")
    return isinstance(name, str) and name.partition(".")[0] not in OTHERS


def _parts(code: CodeType) -> Iterator[CodeType]:
    """A function and its comprehensions. What is defined in it may be a module's method, or a hook."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and constant.co_name in COMPREHENSIONS:
            yield from _parts(constant)


def _products(code: CodeType) -> int:
    return sum(
        is_product(step)
        or (step.opname in (*GLOBAL, *OF_AN_OBJECT) and str(step.argval).rstrip("_") in NAMES)
        for step in dis.get_instructions(code)
    )


def _named(code: CodeType, around: dict[str, Any]) -> Iterator[FunctionType]:
    """Functions of the program's that are called by their names, also by a module's; methods of the same
    class, and of classes that stand around, by their names alone: whose they are is not looked at."""
    kind = around.get(code.co_qualname.partition(".")[0])
    methods = dict(_methods_around(around))
    methods |= vars(kind) if isinstance(kind, type) else {}
    for part in _parts(code):
        holder: ModuleType | None = None
        for step in dis.get_instructions(part):
            item: Any = None
            if step.opname in GLOBAL:
                item = around.get(step.argval)
            elif step.opname in OF_AN_OBJECT:
                item = (methods if holder is None else vars(holder)).get(step.argval)
            is_holder = isinstance(item, ModuleType) and is_own(vars(item))
            holder = item if is_holder else None
            item = getattr(item, "__wrapped__", item)
            if isinstance(item, FunctionType) and is_own(item.__globals__):
                yield item


def _methods_around(around: dict[str, Any]) -> Iterator[tuple[str, FunctionType]]:
    """Methods of the program's plain classes. Of modules and optimizers calls and steps tell."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", object)
    for kind in list(around.values()):
        if not isinstance(kind, type) or not is_own({"__name__": kind.__module__}):
            continue
        if any(hasattr(kind, name) for name in NO_PLAIN):
            continue
        for name, item in vars(kind).items():
            if isinstance(item, FunctionType) and not any(
                hasattr(other, name) for other in (tensor, *CONTAINERS)
            ):
                yield name, item
