"""Stands behind a method of a class: who is told of each call, and how it is undone.

No torch is imported here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from profilers.steps.standing.layers import Undo, placed

__all__ = ["Undo", "wrapped"]

Tell = Callable[[Any, tuple[Any, ...], Any], None]
"""The object, what the method was given (by position, then by name), and what it answered."""


def wrapped(owner: Any, name: str, tell: Tell, ask: Callable[[Any], None] | None = None) -> Undo:
    """Call ``tell`` after a method of a class, and ``ask`` before it; answers what undoes it.

    Where somebody stands behind it too, since then, it stays there and tells nobody.
    """
    original = owner.__dict__[name]

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if ask is not None and method.tell is not None:  # type: ignore[attr-defined]
            ask(self)
        found = original(self, *args, **kwargs)
        if method.tell is not None:  # type: ignore[attr-defined]
            method.tell(self, (*args, *kwargs.values()), found)  # type: ignore[attr-defined]
        return found

    method.tell = tell  # type: ignore[attr-defined]
    uncover = placed(owner, name, method)

    def undo() -> None:
        method.tell = None  # type: ignore[attr-defined]
        uncover()

    return undo
