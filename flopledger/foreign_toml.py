"""TOML that somebody else wrote: it is read in bounded time, or refused by a ``ValueError``."""

import re
import tomllib
from collections.abc import Callable
from typing import Any

#: No file of ours goes deeper than five. What goes much deeper was made to break its reader.
MAX_DEPTH = 32
_KEY = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
#: A key of so many parts. Python's parser takes a time that grows with the square of their number.
_LONG_KEY = re.compile(
    rf"(?:^|[{{,\[])[ \t]*{_KEY}(?:[ \t]*\.[ \t]*{_KEY}){{{MAX_DEPTH},}}", re.MULTILINE
)


def loads(text: str, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Parse TOML; raises ``ValueError`` for what is none, and for what is nested too deeply."""
    text = text.removeprefix("\ufeff")  # editors of Windows put it before the first letter
    found = _LONG_KEY.search(text)
    if found is not None:
        number = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"a key of more than {MAX_DEPTH} parts (at line {number})")
    try:
        raw = tomllib.loads(text, parse_float=parse_float)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    if _is_deep(raw):
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    return raw


def _is_deep(raw: dict[str, Any]) -> bool:
    """Look without recursion: what is done with the values later may need more of the stack than this."""
    level: list[Any] = [raw]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.values()
            elif isinstance(value, list):
                below += value
        level = below
    return any(isinstance(value, dict | list) for value in level)
