"""Numbers and placeholders as people and programs print them."""

import math
import re

from flopledger.logs import limits

_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][+-]?\d{1,4})?", re.ASCII)

#: Words that stand where a value should be.
_PLACEHOLDERS = frozenset(
    {
        "",
        "-",
        "--",
        "?",
        "n/a",
        "na",
        "[n/a]",
        "none",
        "null",
        "nan",
        "todo",
        "tbd",
        "tba",
        "unknown",
    }
    | {"not available", "not applicable", "not specified", "[not supported]", "[unknown error]"}
    | {"more information needed", "[more information needed]", "xxx", "undefined", "cpuname"}
)


def parse_number(text: object) -> int | float | None:
    """Read a finite number, thousands separators allowed; ``None`` for anything else."""
    if isinstance(text, bool):
        return None
    if isinstance(text, int):
        return text if abs(text) < 10**300 else None
    if isinstance(text, float):
        return text if math.isfinite(text) else None
    if not isinstance(text, str) or len(text) > limits.NUMBER_CHARACTERS:
        return None
    if len(text) < 16 and text.isascii() and text.replace(".", "", 1).isdecimal():
        return float(text) if "." in text else int(text)  # nearly every number of a long log
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    plain = text.replace(",", "")
    try:
        value = float(plain)
        if not math.isfinite(value):
            return None
        return value if "." in plain or "e" in plain or "E" in plain else int(plain)
    except ValueError:
        return None


#: What makes another number of the one before it: more digits, a decimal comma, an exponent, a suffix.
_GOES_ON = re.compile(
    r"(?:[.,_]?\d){0,80}(?:[eE][-+]?\d{1,4})?(?:[kKMGTPB](?![A-Za-z]))?",
    re.ASCII,
)


def printed(match: re.Match[str], group: int | str) -> str:
    """Give what a pattern took for a number as it is printed, to its end.

    ``17,3`` is not 17, ``1.2e+03`` not 1.2 and ``12K`` not 12, where a pattern stops at what it knows:
    the whole is a number (the exponent), or none and to be told (``Notes.misfit``).
    """
    text: str = match[group] or ""
    if not text:
        return text
    rest = _GOES_ON.match(match.string, match.end(group))
    return text + rest[0] if rest is not None else text


def parse_count(text: object) -> int | None:
    """Read a whole number above 0, such as ``"8"``, ``8.0`` or ``"1,024"``."""
    value = parse_number(text)
    if value is None or value <= 0 or value != int(value):
        return None
    return int(value)


def parse_positive(text: object) -> int | float | None:
    """Read a number above 0."""
    value = parse_number(text)
    return value if value is not None and value > 0 else None


def is_misfit(value: object) -> bool:
    """Say whether something that gave no figure was meant as one: too large, below zero, cut, or misspelt.

    0, -1 and words are how programs say that nobody counted.
    """
    if value is None or isinstance(value, bool) or is_placeholder(value):
        return False
    if isinstance(value, int | float):
        return value not in (0, -1) and value == value
    if isinstance(value, str):
        return any(one in "0123456789" for one in value) and parse_number(value) not in (0, -1)
    return True


def is_placeholder(value: object) -> bool:
    """Say whether ``value`` is a word for "nobody filled this in"."""
    if value is None:
        return True
    if not isinstance(value, str):
        return False
    word = value.strip().strip("[]").lower()
    return word in _PLACEHOLDERS or word.endswith("_placeholder") or "placeholder" in word


_DURATION = re.compile(
    r"(?:(\d{1,6})(?:-| days?, ))?(\d{1,7}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)", re.ASCII
)
_SHORT_DURATION = re.compile(r"(\d{1,7}):(\d{1,2}(?:\.\d{1,9})?)", re.ASCII)


def parse_duration(text: str) -> float | None:
    """Read ``[days-]hh:mm:ss[.us]``, Python's ``2 days, h:mm:ss``, or ``mm:ss`` as seconds."""
    text = text.strip()
    if match := _DURATION.fullmatch(text):
        days, hours, minutes, seconds = match.groups()
        return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if match := _SHORT_DURATION.fullmatch(text):
        return int(match[1]) * 60 + float(match[2])
    return None
