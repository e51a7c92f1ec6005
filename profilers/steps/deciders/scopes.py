"""What holds another value in each context or thread: context variables, and thread-locals.

``with depth(3): model(x)`` and ``local.depth = 3`` decide as a global does. Such a thing stands among the
places as a container that answers for whoever asks (design/107). No torch is imported here.
"""

from __future__ import annotations

import threading
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeAlias

MISSING = object()
"""In place of a value where there is none."""
VALUE = "value"
"""The name under which a context variable's value is found."""
MOST_SCOPES = 1024


class Variable:
    """A context variable as a container of one value: that of the context in which it is asked."""

    __slots__ = ("variable",)

    def __init__(self, variable: ContextVar[Any]) -> None:
        self.variable = variable

    def __getitem__(self, _name: Any) -> Any:
        return self.variable.get(MISSING)

    def names(self) -> list[Any]:
        """The one name."""
        return [VALUE]


class Local:
    """What a thread-local holds for the thread that asks."""

    __slots__ = ("local",)

    def __init__(self, local: threading.local) -> None:
        self.local = local

    def __getitem__(self, name: Any) -> Any:
        return vars(self.local).get(name, MISSING)

    def __len__(self) -> int:
        return len(vars(self.local))

    def names(self) -> list[Any]:
        """Names of what it holds."""
        return list(vars(self.local))

    def put(self, name: Any, value: Any) -> None:
        """Have it hold a value, or nothing if it is ``MISSING``."""
        if value is MISSING:
            delattr(self.local, name)
        else:
            setattr(self.local, name, value)


Scope: TypeAlias = Variable | Local


class Scopes:
    """The same container for the same thing, as long as it is asked for."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Scope]] = {}

    def of(self, value: Any) -> Scope | None:
        """The container that stands for a context variable or a thread-local; None for anything else."""
        made: Scope
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        if type(value) is ContextVar:
            made = Variable(value)
        elif isinstance(value, threading.local):
            made = Local(value)
        else:
            return None
        self._known[id(value)] = value, made
        while len(self._known) > MOST_SCOPES:
            del self._known[next(iter(self._known))]
        return made


def context_of(values: dict[Variable, Any]) -> Context:
    """A copy of this context in which some variables have these values, or none where it is ``MISSING``.

    A variable cannot be emptied without the token of its first value, so such a context is made anew.
    """
    given = {scope.variable: value for scope, value in values.items()}
    if MISSING in given.values():
        context = Context()
        given = {**copy_context(), **given}
    else:
        context = copy_context()
    for variable, value in given.items():
        if value is not MISSING:
            context.run(variable.set, value)
    return context
