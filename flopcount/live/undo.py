"""Functions that put one thing back as it was: a table, a list, a generator of random numbers.

Values are put back, and not objects, so that everybody who holds one still holds it; and only where
something changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Undo = Callable[[], None]
"""Puts one thing back; it may raise whatever the thing raises."""


def reset_generator(generator: torch.Generator, state: torch.Tensor) -> None:
    """Give torch's generator the state that it had."""
    if not torch.equal(generator.get_state(), state):
        generator.set_state(state)


def put_entries(table: dict[str, Any], before: dict[str, Any]) -> None:
    """Write back those entries of a table that are another object now."""
    for name, value in before.items():
        if table.get(name, table) is not value:
            table[name] = value


def take_away(table: dict[str, Any], names: frozenset[str]) -> None:
    """Delete what joined a table beside some names."""
    for name in [name for name in table if name not in names]:
        del table[name]


def undo_table(table: Any) -> Undo:
    """What gives a table the entries that it has now."""
    before = dict(table)

    def undo() -> None:
        if len(table) != len(before) or any(
            table.get(k, table) is not v for k, v in before.items()
        ):
            table.clear()
            table.update(before)

    return undo


def undo_list(items: Any) -> Undo:
    """What gives a list or a deque the items that it has now."""
    before = list(items)

    def undo() -> None:
        if len(items) != len(before) or any(
            a is not b for a, b in zip(items, before, strict=False)
        ):
            items.clear()
            items.extend(before)

    return undo


def undo_set(items: set[Any]) -> Undo:
    """What gives a set the members that it has now."""
    before = set(items)

    def undo() -> None:
        if items != before:
            items.clear()
            items.update(before)

    return undo


def undo_bytes(items: bytearray) -> Undo:
    """What gives an array of bytes those that it has now."""
    before = bytes(items)

    def undo() -> None:
        if items != before:
            items[:] = before

    return undo
