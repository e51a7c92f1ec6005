"""The number of a layer among its like, and whether the layer asks for it.

Like layers differ in nothing but their own number. One that only hands it on, to the row of a cache
that is its own, computes what the others do; one that looks at it (a threshold, a remainder, an entry
of a list of kinds) may compute something else. So while a layer is traced its number is a stand-in
that refuses to be looked at, except where all its like would be told the same: what only the first layer
does (RWKV's first norm) is no question among the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

NUMBERED = frozenset(
    """layer_idx layer_id layer_index layer_number layer_num block_idx block_id block_index idx
    index i layer depth_idx module_name""".split()  # noqa: SIM905
)
"""Attributes in which like layers may differ: their own number."""
ROWS = frozenset({"transformers.cache_utils"})
"""Modules whose objects ask for a number to find the row that belongs to it."""

COMPARISONS = frozenset("__lt__ __le__ __eq__ __ne__ __gt__ __ge__".split())  # noqa: SIM905


class SharingRefusedError(Exception):
    """The step cannot be counted by sharing; internal, the caller traces without."""


class Number:
    """A number that may be handed on and, except by caches, not be looked at."""

    __slots__ = ("like", "value")
    __class__ = property(lambda _: int)

    def __init__(self, value: int, like: Iterable[int] = ()) -> None:
        self.value = value
        self.like = frozenset(like)


def _looked_at(name: str) -> Callable[..., Any]:
    operation = getattr(int, name)

    def ask(self: Number, *others: Any) -> Any:
        if name in COMPARISONS and type(others[0]) is int:
            answers = {operation(value, others[0]) for value in self.like}
            if len(answers) == 1:
                return answers.pop()
        if sys._getframe(1).f_globals.get("__name__") not in ROWS:
            raise SharingRefusedError("a layer looks at its own number")
        return operation(self.value, *(o.value if isinstance(o, Number) else o for o in others))

    return ask


for (
    _name
) in """__lt__ __le__ __eq__ __ne__ __gt__ __ge__ __hash__ __bool__ __index__ __int__ __float__
    __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __mod__ __rmod__ __floordiv__ __rfloordiv__
    __truediv__ __rtruediv__ __divmod__ __pow__ __rpow__ __neg__ __pos__ __abs__ __and__ __rand__
    __or__ __ror__ __xor__ __rxor__ __lshift__ __rlshift__ __rshift__ __rrshift__ __invert__
    __round__ __str__ __repr__ __format__""".split():  # noqa: SIM905
    setattr(Number, _name, _looked_at(_name))


def hide(modules: Sequence[Any]) -> None:
    """Put stand-ins for the numbers of like modules, in the dictionaries of their doubles."""
    states = [module.__dict__ for module in modules]
    for name in NUMBERED.intersection(*states):
        values = [state[name] for state in states]
        like = values if all(type(value) is int for value in values) else ()
        for state, value in zip(states, values, strict=True):
            if type(value) is int:
                state[name] = Number(value, like)
