"""What a recording puts in place of something of torch's, and how that is undone.

Several recordings may be alive at once, one over the other, and end in any order: what lies under another
one's stays until that ends, and goes then. Else each pair would leave a layer behind, and a long program
would have as many to go through at each call. No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Undo = Callable[[], None]

ABSENT = object()
"""In place of what was there: nothing of its own."""


def together(*undo: Undo) -> Undo:
    """What undoes several at once."""

    def all_of_them() -> None:
        for one in undo:
            one()

    return all_of_them


@dataclass(slots=True, eq=False)
class _Layer:
    owner: Any
    name: str
    ours: Any
    before: Any
    over: bool = False


_LAYERS: list[_Layer] = []


def placed(owner: Any, name: str, ours: Any) -> Undo:
    """Put something of ours in place of an attribute; answers what puts back what was there.

    Where somebody else put something over it since then, that stays there, and ours under it.

    Args:
        owner: A class or a module.
        name: Of the attribute.
        ours: What is put there.

    """
    layer = _Layer(owner, name, ours, vars(owner).get(name, ABSENT))
    setattr(owner, name, ours)
    _LAYERS.append(layer)

    def undo() -> None:
        layer.over = True
        while (top := _top(owner, name)) is not None and top.over:
            _LAYERS.remove(top)
            if top.before is ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, top.before)

    return undo


def _top(owner: Any, name: str) -> _Layer | None:
    """The layer that is there now; None where it is not ours."""
    there = vars(owner).get(name, ABSENT)
    for layer in reversed(_LAYERS):
        if layer.owner is owner and layer.name == name and layer.ours is there:
            return layer
    return None
