"""What a field of a step ledger's line may hold: types and ranges, each checked before it is believed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")

MOST_TEXT = 4096
MOST_ITEMS = 65_536
"""Entries of a list inside one line, except for a block's columns."""
MOST_FLOP = 10**40
MOST_TIME_US = 1 << 62


class Wrong(Exception):  # noqa: N818 - internal: one field that is not what the format says
    """Says which field, and why."""


def items(entry: Mapping[str, Any], name: str, most: int = MOST_ITEMS) -> Iterator[Any]:
    """A list, one by one."""
    values = entry.get(name)
    if not isinstance(values, list) or len(values) > most:
        raise Wrong(f"{name} is no list of at most {most} entries")
    return iter(values)


def or_none(check: Callable[[Any, str], _T]) -> Callable[[Any, str], _T | None]:
    """A check that lets nothing pass, too."""
    return lambda value, name: None if value is None else check(value, name)


def maybe(
    entry: Mapping[str, Any], name: str, check: Callable[[Mapping[str, Any], str], _T]
) -> _T | None:
    """A field that may be missing."""
    return None if entry.get(name) is None else check(entry, name)


def table(value: Any, name: str, check: Callable[[Any, str], _T]) -> dict[str, _T]:
    """A table of names."""
    if not isinstance(value, dict) or len(value) > MOST_ITEMS:
        raise Wrong(f"{name} is no table")
    return {short(key, name): check(item, name) for key, item in value.items()}


def text(entry: Mapping[str, Any], name: str) -> str:
    """A field that is a text."""
    return short(entry.get(name), name)


def count(entry: Mapping[str, Any], name: str) -> int:
    """A field that is a whole number from 0 on."""
    return whole(entry.get(name), name)


def short(value: Any, name: str) -> str:
    """A text that is not long."""
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise Wrong(f"{name} is no text of at most {MOST_TEXT} characters")
    return value


def whole(value: Any, name: str) -> int:
    """A whole number from 0 on."""
    if type(value) is not int or not 0 <= value < MOST_TIME_US:
        raise Wrong(f"{name} is no whole number from 0 to {MOST_TIME_US}")
    return value


def flop(value: Any, name: str) -> int:
    """A number of FLOP."""
    if type(value) is not int or not 0 <= value <= MOST_FLOP:
        raise Wrong(f"{name} is no whole number of FLOP from 0 to {MOST_FLOP:.0e}")
    return value
