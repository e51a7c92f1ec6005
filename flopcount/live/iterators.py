"""A forward that is run once more for a count reads from copies of its model's iterators."""

from __future__ import annotations

import copy
import gc
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from operator import length_hint
from typing import Any

from flopcount.errors import CountError

COPIED: tuple[Any, ...] = (type(iter([])), type(iter(())), type(iter(range(0))))
"""Iterators whose copies share nothing with them."""
_COUNT = re.compile(r"count\(([-+.0-9e]+)(?:, ([-+.0-9e]+))?\)")


class _Unreadable:
    """Stands for a generator and the like, of which nothing can be read twice."""

    def __iter__(self) -> _Unreadable:
        return self

    def __next__(self) -> Any:
        raise CountError("the model reads from an iterator, which cannot be read once more")


@contextmanager
def lent_iterators(model: Any) -> Iterator[None]:
    """Modules read from copies of their iterators."""
    lent: list[tuple[dict[str, Any], str, Any]] = []
    for module in model.modules():
        for name, value in module.__dict__.items():
            if isinstance(value, Iterator) and type(value).__module__ in ("builtins", "itertools"):
                lent.append((module.__dict__, name, value))
    for table, name, value in lent:
        table[name] = _double(value)
    try:
        yield
    finally:
        for table, name, value in lent:
            table[name] = value


def _double(value: Iterator[Any]) -> Iterator[Any]:
    """An iterator that goes on where another one is, which it leaves there."""
    kind: Any = type(value)
    if kind in COPIED:
        return copy.copy(value)
    # Those of itertools are copied with a warning from Python 3.12 on, and not at all from 3.14 on.
    if kind is itertools.count and (match := _COUNT.fullmatch(repr(value))):
        return itertools.count(*(_number(text) for text in match.groups("1")))
    if kind is itertools.repeat:
        *_, item = gc.get_referents(value)
        left = length_hint(value, -1)
        return itertools.repeat(item) if left < 0 else itertools.repeat(item, left)
    return _Unreadable()


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
