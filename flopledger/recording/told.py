"""What a program says of itself, as the ledger takes it: whole numbers within bounds, or a word why not.

A number that a reader would refuse costs the whole ledger, so it is refused where it is said.
"""

from __future__ import annotations

import operator
from typing import Any

MOST_COUNT = 1 << 53
"""Tokens or samples of a step, or a step's number."""
MOST_FLOP = 10**40


class WronglyToldError(Exception):
    """It is no whole number that a ledger can hold."""


def whole(value: Any, what: str, most: int = MOST_COUNT) -> int:
    """Return a whole number: any type that has one, and a float without a fraction.

    A tensor on a device is not read, because that would wait for the device.
    """
    kind = type(value).__name__
    device = getattr(value, "device", None)
    if getattr(device, "type", "cpu") != "cpu":
        raise WronglyToldError(f"{what} is a tensor on a device, which is not waited for")
    try:
        whole_float = isinstance(value, float) and value.is_integer()
        number = int(value) if whole_float else operator.index(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise WronglyToldError(f"{what} is no whole number but a {kind}") from None
    if not 0 <= number <= most:
        raise WronglyToldError(f"{what} is not between 0 and {most:.3g}")
    return number


def whole_or_none(value: Any, what: str) -> int | None:
    """Return the same, and None for None."""
    return None if value is None else whole(value, what)
