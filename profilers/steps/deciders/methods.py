"""What a model's classes and hooks do: methods that the program exchanges, parts that change their class.

``Block.forward = other`` leaves no trace in any of the model's parts, nor does ``part.__class__ = Other``
(design/107). No torch is imported here.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Container, Hashable, Iterable, Iterator
from functools import lru_cache, partial
from sys import getrefcount
from types import CellType, CodeType, FunctionType
from typing import Any

from profilers.steps.deciders.places import DESCRIPTORS, ENTRIES, LIBRARIES, names_in, root_of

HOOKS = ("_forward_hooks", "_forward_pre_hooks")
"""Where a part keeps the hooks that are called with it."""


class Kinds:
    """The classes of a model's parts; its length is 0 as long as they are what they were.

    Each part holds its class. So a class that has the same number of holders lost none, and the parts need
    be asked only where a number is another. Two parts that exchange their classes with each other pass here;
    they are asked once a second (``passed_unseen``).
    """

    __slots__ = ("_parts", "counts", "distinct", "kinds")

    def __init__(self, parts: Iterable[Any]) -> None:
        """Take the parts, of which none is held."""
        parts = list(parts)
        self._parts = [weakref.ref(part) for part in parts]
        self.kinds = tuple(map(type, parts))
        self.distinct = list(dict.fromkeys(self.kinds))
        self.counts: list[int] = []
        """How many hold each of them; changed in place."""

    def __len__(self) -> int:
        """Whether a part has another class."""
        counts = list(map(getrefcount, self.distinct))
        if counts == self.counts:
            return 0
        if self._are_others():
            return 1
        self.counts[:] = counts
        return 0

    def passed_unseen(self) -> bool:
        """Whether parts have other classes of which no number tells, so that no call can have seen it."""
        return list(map(getrefcount, self.distinct)) == self.counts and self._are_others()

    def _are_others(self) -> bool:
        return any(
            type(part()) is not kind for part, kind in zip(self._parts, self.kinds, strict=True)
        )

    def give_back(self, undo: list[Callable[[], None]]) -> None:
        """Give parts the classes that they had; what undoes it joins a list."""
        for ref, kind in zip(self._parts, self.kinds, strict=True):
            part = ref()
            if part is not None and type(part) is not kind:
                undo.append(partial(setattr, part, "__class__", type(part)))
                part.__class__ = kind


@lru_cache(maxsize=4096)
def names_of(code: CodeType) -> tuple[str, ...]:
    """Names of globals and attributes that a function and those inside of it read, once each."""
    return tuple(dict.fromkeys(names_in(code)))


def functions_of(value: Any) -> Iterator[FunctionType]:
    """The functions behind what a class has under a name, also those that a decorator wrapped."""
    found = getattr(value, "fget", None) or getattr(value, "__func__", value)
    for _ in range(4):
        if isinstance(found, FunctionType):
            yield found
        inner = getattr(found, "__wrapped__", None)
        if inner is None:
            return
        found = inner


def methods_of(own: Iterable[type], others: Iterable[type]) -> list[tuple[type, str, Any]]:
    """Whatever of some classes a call may come to.

    Args:
        own: The program's classes, of which everything is found that ``forward`` names, or what it names.
        others: Classes of libraries, of which ``forward`` itself is found.

    """
    tables = [(kind, vars(kind)) for kind in own]
    found = [(kind, "forward", vars(kind)["forward"]) for kind in others if "forward" in vars(kind)]
    waiting = list(ENTRIES)
    reached = set(waiting)
    for name in waiting:
        for kind, table in tables:
            value = table.get(name)
            if not isinstance(value, DESCRIPTORS):
                continue
            found.append((kind, name, value))
            for function in functions_of(value):
                fresh = [each for each in names_of(function.__code__) if each not in reached]
                reached.update(fresh)
                waiting += fresh
    return found


def code_of(value: Any, depth: int = 2) -> Hashable:
    """What stands for a function: one that is made anew by the same code does the same.

    What it reads from around it is a part of it.
    """
    function = next(functions_of(value), None)
    if function is None:
        return id(value)
    around: list[Hashable] = [id(getattr(value, "__self__", None))]
    for item in (*(function.__defaults__ or ()), *map(_content, function.__closure__ or ())):
        if isinstance(item, FunctionType) and depth:
            around.append(code_of(item, depth - 1))
        elif isinstance(item, bool | int | float | str | bytes | None):
            around.append((type(item), item))
        else:
            around.append(id(item))
    return function.__code__, id(function.__globals__), tuple(around)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def outline_of(hook: Any) -> Any:
    """What is kept of a hook: the program's own by its code alone, for a count does not run it.

    What it reads from around it (activations that it collects) would be kept alive with it.
    """
    function = getattr(hook, "func", hook)
    function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType):
        function = getattr(type(function), ENTRIES[1], None)
    if not isinstance(function, FunctionType) or root_of(function) in LIBRARIES:
        return hook
    code = function.__code__
    cells = tuple(CellType() for _ in code.co_freevars)
    outline = FunctionType(code, {}, function.__name__, None, cells)
    outline.__module__, outline.__qualname__ = function.__module__, function.__qualname__
    return outline


def bare_tables_of(parts: Iterable[Any]) -> list[dict[Any, Any]]:
    """Where parts would keep hooks, of which they have none."""
    tables = (part.__dict__.get(name) for part in parts for name in HOOKS)
    return [table for table in tables if table is not None and not table]


def tables_of(
    parts: Iterable[Any], hooked: Container[int] = ()
) -> list[tuple[int, dict[Any, Any]]]:
    """Where parts keep hooks, and the parts' places; of those without only what had some (``hooked``)."""
    return [
        (place, hooks)
        for place, part in enumerate(parts)
        for name in HOOKS
        if (hooks := part.__dict__.get(name)) is not None and (hooks or id(hooks) in hooked)
    ]
